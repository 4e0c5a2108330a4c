package handshake

import (
	"fmt"
	"time"

	"onconn/internal/capture"
)

// judge decides what became of an attempt.
func (a *Analysis) judge(c *conn) {
	c.Near = a.side(c)
	c.Notes = c.notes()
	switch {
	case c.simultaneous:
		c.Verdict = say(Simultaneous, Certain, "both ends sent a SYN: a simultaneous open", "two-syns")
	case c.SYNs.N == 0 && !c.clientSpoke && c.ResetBy != TheClient:
		c.Verdict = say(OneWay, CannotTell, "only the server's packets are in the capture", "no-client-packet")
	case c.SYNACKs.N == 0 && c.clientSpoke:
		c.Verdict = say(OneWay, CannotTell, "the client went on as if it were answered: the server's packets are not in the capture", "no-server-packet")
	case c.SYNACKs.N == 0 && !c.Reset.IsZero():
		c.Verdict = c.refused()
	case c.SYNACKs.N == 0:
		c.Verdict = a.unanswered(c)
	case c.ACK.IsZero():
		c.Verdict = a.half(c)
	default:
		c.Verdict = a.finished(c)
	}
}

func say(k Kind, sure Certainty, text string, rules ...string) Verdict {
	return Verdict{k, sure, text, rules}
}

// refused judges a SYN that a RST answered.
func (c *conn) refused() Verdict {
	if c.ResetBy == TheClient {
		return say(ClientLeft, Certain, "the client gave up before any answer", "client-rst")
	}
	text := "nobody listens on the port, or a firewall rejects it with a reset"
	if c.SYNs.N > 1 {
		text = fmt.Sprintf("%s, after %s without an answer", text, count(c.SYNs.N-1, "SYN"))
	}
	return say(ClosedPort, Consistent, text, "rst-answers-syn")
}

// unanswered judges SYNs without any answer. A full accept queue, a full SYN
// queue without cookies, a firewall and loss on the way look alike.
func (a *Analysis) unanswered(c *conn) Verdict {
	rules := []string{"no-syn-ack"}
	if c.SYNs.N > 1 {
		rules = append(rules, "syn-repeated")
	} else if a.totals.End.Sub(c.Start) < time.Second {
		return say(Unfinished, CannotTell, "no answer within the capture, which ends less than a second later", rules...)
	}
	full, room, unknown := c.queue()
	switch {
	case full > 0 && room+unknown == 0:
		return c.fullVerdict(SYNUnanswered, "the accept queue was full at each SYN, so the kernel dropped them", append(rules, "queue-full-at-syn"))
	case full > 0:
		return c.fullVerdict(SYNUnanswered, fmt.Sprintf("the accept queue was full at %d of %s", full, count(c.SYNs.N, "SYN")), append(rules, "queue-full-at-syn"))
	case room > 0:
		return say(SYNUnanswered, Consistent, "the accept queue had room: the SYN queue was full without SYN cookies, or a firewall drops them", append(rules, "queue-had-room")...)
	}
	h := a.hosts[c.Server.Addr()]
	switch {
	case h == nil || !h.speaks:
		return say(SYNUnanswered, CannotTell, "refused or lost: nothing from this server is in the capture", append(rules, "server-unseen")...)
	case c.Near.atServer():
		return say(SYNUnanswered, Consistent, "refused by a full accept queue: the SYNs reached the server's host, which answered others (a firewall there would look the same)", append(rules, "near-server", "server-answered-others")...)
	}
	return say(SYNUnanswered, CannotTell, "refused or lost: run explain --live on the server, which sees the queue", append(rules, "server-answered-others")...)
}

func (c *conn) fullVerdict(k Kind, text string, rules []string) Verdict {
	for _, d := range c.Depths {
		if d.Members > 1 {
			return say(k, Consistent, text+" (at least in one socket of the SO_REUSEPORT group)", rules...)
		}
	}
	return say(k, Certain, text, rules...)
}

// queue counts the SYNs that went without an answer by how the accept queue was
// then. The last one before a SYN-ACK was answered.
func (c *conn) queue() (full, room, unknown int) {
	depths := c.Depths
	if c.SYNACKs.N > 0 && len(depths) > 0 {
		depths = depths[:len(depths)-1]
	}
	for _, d := range depths {
		switch {
		case d.Members == 0:
			unknown++
		case d.Full():
			full++
		default:
			room++
		}
	}
	return full, room, unknown
}

// half judges a handshake without a final ACK.
func (a *Analysis) half(c *conn) Verdict {
	switch {
	case c.ResetBy == TheClient:
		return say(ClientLeft, Certain, "the client answered the SYN-ACK with a reset: it had gone, or only looked whether the port is open", "client-rst")
	case c.ResetBy == TheServer:
		return say(ResetAfterACK, Consistent, "the server took its SYN-ACK back with a reset: its listener was closed", "server-rst-before-ack")
	case c.clientFIN || c.clientSpoke:
		return say(OneWay, CannotTell, "the final ACK isn't in the capture", "no-final-ack")
	case c.SYNACKs.N > 1 || a.totals.End.Sub(c.synackAt) > time.Second:
		text := "the client never answered the SYN-ACK: it has gone, its address is false (a SYN flood), or the SYN-ACKs were lost"
		if c.Near == NearClient {
			text = "the client's host never answered the SYN-ACK: a firewall there, or a false address"
		}
		return say(NeverFinished, Consistent, text, "no-final-ack")
	}
	return say(Unfinished, CannotTell, "the capture ends within the handshake", "no-final-ack")
}

// notes is what the options of the SYN and the SYN-ACK say.
func (c *conn) notes() (all []string) {
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if c.SYNs.N == 0 {
		add("its SYN was before the capture")
	}
	answered := c.SYNACKs.N > 0
	switch c.syn.MPTCP {
	case capture.MPCapable:
		if answered && c.synack.MPTCP == capture.MPCapable {
			add("MPTCP")
		} else if answered {
			add("MPTCP offered, plain TCP agreed on")
		}
	case capture.MPJoin:
		add("joins an MPTCP connection")
	}
	switch {
	case !answered:
	case c.syn.Payload > 0 && c.synack.Ack == c.isn+1+uint32(c.syn.Payload):
		add("fast open: %s in the SYN taken", count(c.syn.Payload, "byte"))
	case c.syn.Payload > 0:
		add("fast open refused: the data in the SYN was not taken (switched off, another cookie, or too many at once)")
	case c.syn.FastOpen == capture.CookieRequest && c.synack.FastOpen == capture.CookiePresent:
		add("fast open: a cookie for the next time")
	case c.syn.FastOpen == capture.CookieRequest && c.SYNs.N > 0:
		add("fast open asked for, not offered")
	}
	switch {
	case c.cookie():
		add("SYN cookie (consistent with): the SYN-ACK's timestamp is %d ms behind the server's clock", c.excess.Milliseconds())
	case c.SYNs.N > 0 && answered && !c.syn.HasTS && c.syn.SACK && c.syn.WScale >= 0 && !c.synack.SACK && c.synack.WScale < 0:
		add("SYN cookie (consistent with): the SYN-ACK agrees to neither SACK nor window scaling")
	}
	return all
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
