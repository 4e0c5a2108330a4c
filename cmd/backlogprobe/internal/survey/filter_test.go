package survey

import (
	"net/netip"
	"slices"
	"testing"

	"onconn/backlog"
	"onconn/sock"
)

func TestFilter(t *testing.T) {
	at := func(s string) backlog.Listener {
		return backlog.Listener{Addr: sock.IPAddr(netip.MustParseAddrPort(s))}
	}
	v6only := at("[::]:80")
	v6only.V6Only = true
	listeners := map[string]backlog.Listener{
		"any4":   at("0.0.0.0:80"),
		"any6":   at("[::]:80"),
		"v6only": v6only,
		"lo4":    at("127.0.0.1:80"),
		"lo6":    at("[::1]:80"),
		"ten":    at("10.1.2.3:443"),
		"path":   {Addr: sock.UnixAddr("/run/x.sock")},
		"name":   {Addr: sock.UnixAddr("@x")},
	}
	owners := map[string][]backlog.Owner{
		"ten":  {{PID: 12, Command: "nginx", Unit: "nginx.service"}, {PID: 13, Command: "node"}},
		"path": {{PID: 14, Command: "node", Container: "0123456789ab"}},
	}
	for _, tt := range []struct {
		words []string
		want  []string
	}{
		{nil, []string{"any4", "any6", "lo4", "lo6", "name", "path", "ten", "v6only"}},
		{[]string{":443"}, []string{"ten"}},
		{[]string{"443"}, []string{"ten"}},
		{[]string{":https"}, []string{"ten"}},
		{[]string{"127.0.0.1:80"}, []string{"any4", "any6", "lo4"}},
		{[]string{"[::1]:80"}, []string{"any6", "lo6", "v6only"}},
		{[]string{"*:80"}, []string{"any4", "any6", "v6only"}},
		{[]string{"127.0.0.2:80"}, []string{"any4", "any6"}},
		{[]string{"/run/x.sock"}, []string{"path"}},
		{[]string{"@x"}, []string{"name"}},
		{[]string{"pid=12"}, []string{"ten"}},
		{[]string{"comm=node"}, []string{"path", "ten"}},
		{[]string{"node"}, []string{"path", "ten"}},
		{[]string{"unit=nginx"}, []string{"ten"}},
		{[]string{"unit=nginx.service", "comm=nginx"}, []string{"ten"}},
		{[]string{"pid=12", "comm=node"}, nil}, // of different processes
		{[]string{"comm=node", ":443"}, []string{"ten"}},
		{[]string{"sport = :443"}, []string{"ten"}},
		{[]string{"sport", "=", "443"}, []string{"ten"}},
		{[]string{"sport eq :80 and src 127.0.0.1"}, []string{"lo4"}},
		{[]string{"src", "127.0.0.1:80"}, []string{"lo4"}},
		{[]string{"src = 10.0.0.0/8"}, []string{"ten"}},
		{[]string{"src [::1]"}, []string{"lo6"}},
		{[]string{"src", ":443"}, []string{"ten"}},
	} {
		f, err := ParseFilter(tt.words)
		if err != nil {
			t.Errorf("%q: %v", tt.words, err)
			continue
		}
		var got []string
		for name, l := range listeners {
			if f.Match(l, owners[name]) {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%q selects %v, want %v", tt.words, got, tt.want)
		}
	}
	for _, word := range []string{":", ":x", ":65536", "-1", "127.0.0.1", "127.0.0.1:", "example.com:80", "pid=", "pid=x", "pid=0", "comm=",
		"port=80", "sport", "sport = ", "sport > 80", "src", "src x", "src 10.0.0.0/33", ":80 or :443", "not :80", "( :80 )", "dport = :80"} {
		if f, err := ParseFilter([]string{word}); err == nil {
			t.Errorf("%q is a filter: %+v", word, f)
		}
	}
}
