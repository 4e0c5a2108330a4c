// Package linux is imported by the lowest floor of this module, so that building
// it elsewhere fails here, with one line, and not in every file that names a
// Linux system call. The documentation renders everywhere.
package linux
