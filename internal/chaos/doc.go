// Package chaos finds out whether a cluster loses anything: clients in processes
// of their own send numbered requests to a primary with workers, and check each
// byte that comes back, while a script kills, stops, stalls, squeezes, reloads,
// scales and upgrades. Each loss is then attributed, with the help of notes that
// the workers keep in memory which outlives them. docs/chaos.md says how, and
// what is assumed.
package chaos

import _ "onconn/internal/linux"
