// Package deploy has no code: it tests the files for operators beside it.
package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"onconn/cmd/backlogprobe/internal/export"
)

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// readYAML goes through JSON, which doesn't care for the case of keys.
func readYAML(t *testing.T, name string, to any) {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(read(t, name)), &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, to); err != nil {
		t.Fatal(err)
	}
}

// metrics are the names that the exporter describes.
func metrics(t *testing.T) map[string]bool {
	t.Helper()
	ch := make(chan *prometheus.Desc, 100)
	export.New(nil, false).Describe(ch)
	close(ch)
	names := map[string]bool{}
	for d := range ch {
		m := regexp.MustCompile(`fqName: "(\w+)"`).FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("no name in %v", d)
		}
		names[m[1]] = true
	}
	return names
}

// A name that the exporter doesn't have would make a rule or a panel that stays
// empty for ever.
func TestMetricsExist(t *testing.T) {
	known := metrics(t)
	for _, file := range []string{"alerts.yml", "alerts_test.yml", "grafana-dashboard.json", "README.md"} {
		used := regexp.MustCompile(`\bbacklog_[a-z_]+`).FindAllString(read(t, file), -1)
		if len(used) == 0 {
			t.Errorf("%s uses no metric", file)
		}
		for _, name := range used {
			if !known[name] {
				t.Errorf("%s uses %s, which the exporter doesn't have", file, name)
			}
		}
	}
	dashboard := read(t, "grafana-dashboard.json")
	for name := range known {
		if !strings.Contains(dashboard, name) {
			t.Errorf("no panel shows %s", name)
		}
	}
}

func TestRules(t *testing.T) {
	promtool := need(t, "promtool", "apt-get install prometheus")
	run(t, promtool, "check", "rules", "alerts.yml")
	run(t, promtool, "test", "rules", "alerts_test.yml")
}

// Each alert has a test in which it fires, and says what to do.
func TestAlerts(t *testing.T) {
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	readYAML(t, "alerts.yml", &rules)
	tests := read(t, "alerts_test.yml")
	for _, r := range rules.Groups[0].Rules {
		if r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s lacks a severity, summary or description", r.Alert)
		}
		fires := regexp.MustCompile(`alertname: ` + r.Alert + `\n\s+exp_alerts:\n\s+- exp_labels`)
		if !fires.MatchString(tests) {
			t.Errorf("%s fires in no test", r.Alert)
		}
	}
}

func TestDashboard(t *testing.T) {
	var d struct {
		Title, UID string
		Panels     []struct {
			ID                int
			Title             string
			GridPos           struct{ X, Y, W, H int }
			FieldConfig       struct{ Defaults struct{ Unit string } }
			Targets           []struct{ RefID, Expr string }
			Type, Description string
		}
		Templating struct{ List []struct{ Name string } }
	}
	if err := json.Unmarshal([]byte(read(t, "grafana-dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	if d.Title == "" || d.UID == "" || len(d.Panels) == 0 {
		t.Fatalf("title %q, uid %q, %d panels", d.Title, d.UID, len(d.Panels))
	}
	variables := map[string]bool{"__rate_interval": true, "__range": true}
	for _, v := range d.Templating.List {
		variables[v.Name] = true
	}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if p.Title == "" || p.FieldConfig.Defaults.Unit == "" || p.Type == "" || ids[p.ID] {
			t.Errorf("panel %d %q: type %q, unit %q, or its id is used twice", p.ID, p.Title, p.Type, p.FieldConfig.Defaults.Unit)
		}
		ids[p.ID] = true
		if g := p.GridPos; g.W == 0 || g.H == 0 || g.X+g.W > 24 {
			t.Errorf("panel %q is at %+v of a grid 24 wide", p.Title, g)
		}
		if len(p.Targets) == 0 {
			t.Errorf("panel %q asks nothing", p.Title)
		}
		for _, target := range p.Targets {
			for _, v := range regexp.MustCompile(`\$(\w+)`).FindAllStringSubmatch(target.Expr, -1) {
				if !variables[v[1]] {
					t.Errorf("panel %q uses $%s, which isn't defined", p.Title, v[1])
				}
			}
		}
	}
}

// The queries of the dashboard, with Grafana's variables filled in, are PromQL:
// as recording rules promtool reads them.
func TestDashboardQueries(t *testing.T) {
	promtool := need(t, "promtool", "apt-get install prometheus")
	var d struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal([]byte(read(t, "grafana-dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	fill := strings.NewReplacer("$__rate_interval", "1m", "$__range", "1h")
	var rules []rule
	for _, p := range d.Panels {
		for i, target := range p.Targets {
			rules = append(rules, rule{"panel:" + strings.Repeat("x", len(rules)+i+1), fill.Replace(target.Expr)})
		}
	}
	b, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, promtool, "check", "rules", file)
}

func TestUnit(t *testing.T) {
	analyze := need(t, "systemd-analyze", "it comes with systemd")
	unit := read(t, "backlogprobe.service")
	installed := strings.ReplaceAll(unit, "/usr/local/bin/backlogprobe", "/bin/true")
	if installed == unit {
		t.Fatal("the unit doesn't start backlogprobe")
	}
	file := filepath.Join(t.TempDir(), "backlogprobe.service")
	if err := os.WriteFile(file, []byte(installed), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := run(t, analyze, "verify", "--man=no", file); strings.TrimSpace(out) != "" {
		t.Errorf("systemd-analyze verify:\n%s", out)
	}
}

func TestDaemonSet(t *testing.T) {
	var d struct {
		Kind string
		Spec struct {
			Selector struct{ MatchLabels map[string]string }
			Template struct {
				Metadata struct{ Labels map[string]string }
				Spec     struct {
					HostNetwork, HostPID bool
					Containers           []struct {
						Args            []string
						SecurityContext struct {
							AllowPrivilegeEscalation *bool
							ReadOnlyRootFilesystem   bool
							Capabilities             struct{ Add, Drop []string }
						}
					}
				}
			}
		}
	}
	readYAML(t, "daemonset.yaml", &d)
	pod := d.Spec.Template.Spec
	if d.Kind != "DaemonSet" || !pod.HostNetwork || !pod.HostPID || len(pod.Containers) != 1 {
		t.Fatalf("it is not what it should be: %+v", d)
	}
	for k, v := range d.Spec.Selector.MatchLabels {
		if d.Spec.Template.Metadata.Labels[k] != v {
			t.Errorf("the selector wants %s=%s, which the pods don't have", k, v)
		}
	}
	c := pod.Containers[0]
	s := c.SecurityContext
	if !s.ReadOnlyRootFilesystem || strings.Join(s.Capabilities.Drop, " ") != "ALL" ||
		strings.Join(s.Capabilities.Add, " ") != "SYS_ADMIN SYS_PTRACE DAC_READ_SEARCH NET_RAW" {
		t.Errorf("it may do too much, or too little: %+v", s)
	}
	if s.AllowPrivilegeEscalation != nil {
		t.Error("Kubernetes refuses allowPrivilegeEscalation: false beside SYS_ADMIN")
	}
	if len(c.Args) == 0 || c.Args[0] != "export" {
		t.Errorf("it runs %q", c.Args)
	}
}

func need(t *testing.T, program, how string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed (%s)", program, how)
	}
	return path
}

func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}
