// Package top is a live view of listeners in a terminal: a table of all, and one
// of them in detail.
//
// The model is a plain value: what comes in is messages, what goes out is a
// screen of text, and nothing in between touches the kernel. Run feeds it.
package top
