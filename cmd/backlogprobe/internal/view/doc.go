// Package view lays reports out for people: the table of listeners, what is
// found, and the details of each listener.
package view
