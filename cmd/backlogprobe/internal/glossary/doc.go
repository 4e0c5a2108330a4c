// Package glossary explains, offline, the counters, settings and words around
// the queues of a listener: what each means, what it doesn't mean although it is
// often said, and what to do.
package glossary
