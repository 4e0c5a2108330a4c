package backlog

import (
	"encoding/json"
	"testing"
)

func TestSysctlsJSON(t *testing.T) {
	s := Sysctls{Somaxconn: 4096, MigrateReq: -1, SynCookies: 1}
	b, err := json.Marshal(s)
	want := `{"net.core.somaxconn":4096,"net.ipv4.tcp_abort_on_overflow":0,"net.ipv4.tcp_fastopen":0,"net.ipv4.tcp_max_syn_backlog":0,` +
		`"net.ipv4.tcp_migrate_req":null,"net.ipv4.tcp_synack_retries":0,"net.ipv4.tcp_syncookies":1}`
	if err != nil || string(b) != want {
		t.Errorf("%s, %v", b, err)
	}
	var back Sysctls
	if err := json.Unmarshal(b, &back); err != nil || back != s {
		t.Errorf("%+v, %v", back, err)
	}
}
