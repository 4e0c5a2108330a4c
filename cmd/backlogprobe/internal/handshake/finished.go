package handshake

import (
	"fmt"
	"time"

	"onconn/internal/words"
)

// finished judges an attempt whose final ACK was seen.
func (a *Analysis) finished(c *conn) Verdict {
	switch {
	case c.again > 0:
		return a.resent(c)
	case c.ResetBy == TheServer && !c.serverData:
		return a.resetByServer(c)
	case c.Reply.IsZero() && c.Resent > 1:
		return c.ignored()
	case c.SYNs.N > 1 && !c.synackAt.Before(c.SYNs.Times[1]):
		return a.late(c)
	case !c.serverData && (c.clientFIN || c.ResetBy == TheClient):
		return say(ClientLeft, CannotTell, "the client left before the server's program said anything; it may or may not have been accepted", "no-server-data")
	}
	return say(Connected, Certain, "connected", "handshake")
}

// resent judges SYN-ACKs that were sent again after the client's ACK. The
// kernel does that when the ACK found the accept queue full. With
// TCP_DEFER_ACCEPT it does it once, at the end of the time that it waits for
// data (syn_ack_recalc); data in turn ends the wait at once.
func (a *Analysis) resent(c *conn) Verdict {
	rules := []string{"syn-ack-after-ack"}
	sure := Consistent
	if c.Near.atServer() {
		sure = Certain
		rules = append(rules, "near-server")
	}
	end := c.ended(a.totals.End)
	switch {
	case c.againFull > 0:
		return say(ACKRefused, Certain, "the accept queue was full when the handshake ended"+end, append(rules, "queue-full-at-syn-ack")...)
	case c.againData > 0 && c.Resent > 0:
		return say(ACKRefused, sure, c.noRoom(sure)+end, append(rules, "data-ignored")...)
	case c.again > 1:
		return say(ACKRefused, sure, c.noRoom(sure)+end, append(rules, "acks-ignored")...)
	case c.firstAgain.Sub(c.synackAt) > 2*time.Second && c.SYNACKs.N == 2:
		return say(Deferred, Consistent, "TCP_DEFER_ACCEPT: the kernel waited for data, and sent no SYN-ACK again until the end of its patience", append(rules, "resend-skipped")...)
	case c.resetByServer():
		return a.resetByServer(c)
	}
	return say(ACKRefused, Consistent, "the final ACK found the accept queue full once, or TCP_DEFER_ACCEPT waited for data"+end, append(rules, "resent-once")...)
}

func (c *conn) resetByServer() bool { return c.ResetBy == TheServer && c.Reply.IsZero() }

func (c *conn) noRoom(sure Certainty) string {
	if sure == Certain {
		return "the kernel had no room for the finished handshake: the accept queue was full"
	}
	return "the accept queue was full when the handshake ended, or the client's ACKs were lost on the way"
}

// ended says how a refused final ACK went on.
func (c *conn) ended(end time.Time) string {
	switch {
	case !c.Reply.IsZero():
		return fmt.Sprintf("; let in after %s", words.Duration(c.Reply.Sub(c.Start)))
	case c.ResetBy == TheServer:
		return fmt.Sprintf("; reset after %s", words.Duration(c.Reset.Sub(c.Start)))
	case c.ResetBy == TheClient || c.clientFIN:
		return fmt.Sprintf("; the client gave up after %s", words.Duration(c.End.Sub(c.Start)))
	case end.Sub(c.SYNACKs.Last) > 2*time.Second<<min(c.SYNACKs.N, 6):
		return "; then silence: the client, having nothing to send, may still believe that it is connected"
	}
	return "; still waiting when the capture ended"
}

// resetByServer judges a reset that is the server's first answer to the final
// ACK. Where no socket exists the kernel sends a bare RST; a program that closes
// a connection with unread data, or a listener with a queue, sends RST with ACK.
func (a *Analysis) resetByServer(c *conn) Verdict {
	s := a.config.Sysctls
	switch {
	case !c.Reply.IsZero() && c.resetBare:
		return say(ResetAfterACK, Consistent, "the server had forgotten the connection", "rst-after-reply")
	case !c.resetBare:
		return say(ResetAfterACK, Consistent, "the server's program closed it unread, or closed its listener while the connection waited in the accept queue", "rst-with-ack")
	case c.resetFull && s != nil && s.AbortOnOverflow > 0:
		return say(ResetAfterACK, Certain, "tcp_abort_on_overflow=1 and a full accept queue: the final ACK was answered with a reset", "rst-answers-ack", "queue-full-at-rst", "sysctl-known")
	case s != nil && s.AbortOnOverflow == 0:
		return say(ResetAfterACK, Consistent, "the listener was closed while the handshake ended, or a firewall reset it (tcp_abort_on_overflow is 0)", "rst-answers-ack", "sysctl-known")
	}
	return say(ResetAfterACK, Consistent, "tcp_abort_on_overflow=1 and a full accept queue; a listener that was just closed would look the same", "rst-answers-ack")
}

// ignored judges data that was sent again and again without an answer, and
// without a SYN-ACK: nothing was kept of the handshake.
func (c *conn) ignored() Verdict {
	if c.Near.atServer() {
		return say(ACKRefused, Consistent, "a handshake by SYN cookie that found the accept queue full: its data is ignored in silence", "data-ignored", "no-syn-ack-again", "near-server")
	}
	return say(DataIgnored, CannotTell, "the client's data is not answered: the server refuses it (SYN cookie, full accept queue) or it is lost", "data-ignored", "no-syn-ack-again")
}

// late judges a SYN that was answered only after it had been sent again.
func (a *Analysis) late(c *conn) Verdict {
	n := 0
	for _, t := range c.SYNs.Times {
		if t.Before(c.lastSYN) {
			n++
		}
	}
	after := words.Duration(c.synackAt.Sub(c.Start))
	rules := []string{"syn-repeated", "answered-after-retry"}
	full, room, _ := c.queue()
	switch {
	case full > 0:
		text := fmt.Sprintf("accept queue full (%d of %s), then accepted after %s", full, count(n, "SYN"), after)
		return c.fullVerdict(AnsweredLate, text, append(rules, "queue-full-at-syn"))
	case room > 0:
		return say(AnsweredLate, Consistent, fmt.Sprintf("%s dropped though the accept queue had room: the SYN queue was full without SYN cookies, or a firewall; answered after %s", count(n, "SYN"), after), append(rules, "queue-had-room")...)
	case c.Near.atServer():
		return say(AnsweredLate, Consistent, fmt.Sprintf("%s refused by a full accept queue, then answered after %s", count(n, "SYN"), after), append(rules, "near-server")...)
	}
	return say(AnsweredLate, CannotTell, fmt.Sprintf("%s refused or lost, then answered after %s", count(n, "SYN"), after), rules...)
}
