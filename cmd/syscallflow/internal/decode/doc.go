// Package decode turns the arguments of socket calls into text, as strace(1) prints
// them, and finds in them what a drawing needs: the address, the descriptors and the
// first bytes of the data. What it reads comes from another process's memory, so it
// believes nothing of it.
package decode
