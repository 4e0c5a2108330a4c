package survey

import (
	"fmt"
	"slices"
	"strings"
)

// defaults are the backlogs that programs ask for when nobody tells them, and
// how their processes are called.
var defaults = []struct {
	limit    int
	name     string
	commands []string
}{
	{511, "Node", []string{"node", "MainThread"}},
	{511, "nginx", []string{"nginx"}},
	{511, "Redis", []string{"redis-server", "valkey-server"}},
	{511, "Apache", []string{"apache2", "httpd"}},
	{5, "Python's socketserver", []string{"python", "python2", "python3"}},
	{50, "Java's ServerSocket", []string{"java"}},
	{100, "Python's asyncio", []string{"python", "python3"}},
	{100, "Tomcat", []string{"java"}},
	{128, "sshd", []string{"sshd"}},
	{128, "Python's socket.listen", []string{"python", "python3"}},
	{128, "systemd", []string{"systemd"}},
	{1024, "Puma", []string{"puma", "ruby"}},
	{2048, "Gunicorn", []string{"gunicorn", "python", "python3"}},
	{2048, "Uvicorn", []string{"uvicorn", "python", "python3"}},
}

// limit explains where the limit comes from, as far as it can be known: the
// kernel keeps only what was granted.
func (j *judgement) limit(row, worst *Row, n *Namespace) Finding {
	limit, most := worst.Limit, n.Sysctls.Somaxconn
	f := found(OK, row, "default-limit")
	switch {
	case most <= 0:
		return f
	case limit == most:
		f.Code = "clamped"
		f.Lines = []string{fmt.Sprintf("Its limit, %d, is net.core.somaxconn: the program asked for this much, as Go programs do, or for more.", limit),
			"A higher somaxconn changes nothing until listen is called again: by a restart, or by backlogprobe set."}
	case limit > most:
		f.Code = "somaxconn-lowered"
		f.Lines = []string{fmt.Sprintf("Its limit, %d, is above net.core.somaxconn, %d, which was lowered since it began to listen.", limit, most)}
	default:
		f.Lines = []string{fmt.Sprintf("%s; net.core.somaxconn, now %d, is not the cap.", origin(limit, command(row)), most)}
		if defaultOf(limit, command(row)) == "" {
			f.Code = "asked-limit"
		}
	}
	f.Try = j.trySet(row, worst, n)
	return f
}

func command(row *Row) string {
	if len(row.Owners) == 0 {
		return ""
	}
	return row.Owners[0].Command
}

// origin says who asks for such a limit.
func origin(limit int, command string) string {
	if names := defaultOf(limit, command); names != "" {
		text := fmt.Sprintf("A limit of %d is the default of %s", limit, names)
		if limit >= 128 && limit&(limit-1) == 0 { // as somaxconn is set: 128 by default before Linux 5.4
			text += fmt.Sprintf(", or somaxconn was %d when listen was called", limit)
		}
		return text
	}
	return fmt.Sprintf("Listen was last called with %d, its limit, or somaxconn was %d then", limit, limit)
}

// defaultOf names the programs that have a limit as their default: those that
// run as a command, or any for "".
func defaultOf(limit int, command string) string {
	var names []string
	for _, d := range defaults {
		if d.limit == limit && (command == "" || slices.Contains(d.commands, base(command))) {
			names = append(names, d.name)
		}
	}
	return either(names)
}

// base drops what some programs add to their name: "node-22", "python3.12", "nginx: worker".
func base(command string) string {
	command, _, _ = strings.Cut(command, ":")
	if strings.HasPrefix(command, "python") {
		command, _, _ = strings.Cut(command, ".")
	}
	if strings.HasPrefix(command, "node-") {
		return "node"
	}
	return command
}

func either(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// larger is a limit that the namespace would grant and that is worth a try; 0: none.
func (j *judgement) larger(row, worst *Row) int {
	const enough = 4096 // net.core.somaxconn by default, since Linux 5.4
	most := j.namespaceOf(row).Sysctls.Somaxconn
	if n := min(enough, most); n > worst.Limit {
		return n
	}
	return 0
}

// trySet is how the limit is raised now.
func (j *judgement) trySet(row, worst *Row, n *Namespace) []string {
	if larger := j.larger(row, worst); larger > 0 {
		return []string{fmt.Sprintf("backlogprobe set %s %d", j.target(row), larger)}
	}
	if worst.Limit < 1024 && row.Netns == host { // somaxconn is in the way
		return []string{"sysctl -w net.core.somaxconn=4096", fmt.Sprintf("backlogprobe set %s 4096", j.target(row))}
	}
	return nil
}

// Permanent is how the limit of a kind of server is set for good, or empty where
// we don't know the kind.
func Permanent(o Owner, limit int) string {
	switch base(o.Command) {
	case "node", "MainThread":
		return fmt.Sprintf("server.listen({port, backlog: %d})", limit)
	case "nginx":
		return fmt.Sprintf("in nginx.conf: listen PORT backlog=%d;", limit)
	case "redis-server", "valkey-server":
		return fmt.Sprintf("in redis.conf: tcp-backlog %d", limit)
	case "apache2", "httpd":
		return fmt.Sprintf("in the configuration of Apache: ListenBacklog %d", limit)
	case "haproxy":
		return fmt.Sprintf("in haproxy.cfg: backlog %d", limit)
	case "gunicorn", "uvicorn":
		return fmt.Sprintf("%s --backlog %d", base(o.Command), limit)
	case "python", "python2", "python3":
		return fmt.Sprintf("sock.listen(%d); with socketserver request_queue_size = %d; with asyncio backlog=%d", limit, limit, limit)
	case "java":
		return fmt.Sprintf("new ServerSocket(port, %d); in Tomcat acceptCount=\"%d\"", limit, limit)
	case "puma", "ruby":
		return fmt.Sprintf("in puma.rb: bind \"tcp://0.0.0.0:PORT?backlog=%d\"", limit)
	case "php-fpm":
		return fmt.Sprintf("in the pool's configuration: listen.backlog = %d", limit)
	case "envoy":
		return fmt.Sprintf("in the listener's configuration: tcp_backlog_size: %d", limit)
	case "systemd":
		return fmt.Sprintf("in the socket unit: Backlog=%d", limit)
	case "mysqld", "mariadbd":
		return fmt.Sprintf("in my.cnf: back_log = %d", limit)
	}
	return ""
}
