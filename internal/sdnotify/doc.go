// Package sdnotify speaks the protocol of sd_notify(3) from both sides: a
// [Notifier] tells the supervisor that started this process, and a [Receiver]
// hears the processes that this one started.
package sdnotify
