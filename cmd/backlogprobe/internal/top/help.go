package top

import "strings"

const helpText = `
 up down j k PgUp PgDn   choose a listener    Enter  see it in detail
 Esc     back to the table                    s      choose how to sort
 /       show only some: :443, 127.0.0.1:80, pid=12, comm=node, or any text
 d       only listeners with drops            space  hold the screen
 r       forget peaks                         w      write the report as JSON
 q       quit

 Recv-Q  connections that wait for accept(2)  Send-Q limit; it holds one more
 Peak    greatest Recv-Q since r              Full   Peak of what it holds
 Drops   segments refused since it was made: packets, not clients
 Drops+  those of the last second             SynQ   unfinished handshakes
 Conn/s  connections accepted                 Wait   of the oldest in the queue

 A full queue refuses SYNs in silence: clients try again after a second, and
 again. In the plot a column is a second, and x marks one with drops.`

// helpPage says what keys and columns are.
func (m model) helpPage() []string { return strings.Split(helpText, "\n") }
