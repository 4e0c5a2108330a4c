package backlog

import (
	"strings"
	"testing"
)

func TestCgroupNames(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	const pod = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
	for _, tt := range []struct{ text, unit, container string }{
		{"", "", ""},
		{"0::/\n", "", ""},
		{"0::/init.scope\n", "init.scope", ""},
		{"0::/system.slice/nginx.service\n", "nginx.service", ""},
		{"0::/system.slice/nginx.service (deleted)\n", "nginx.service", ""},
		{"0::/system.slice/nginx.service/worker/1\n", "nginx.service", ""},
		{"0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service", ""},
		{"0::/system.slice/dbus.socket\n", "dbus.socket", ""},
		{"0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope", ""},
		{"0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-x.service\n", "app-x.service", ""},
		{"0::/user.slice/user-1000.slice/user@1000.service/app.slice/vte-1.scope\n", "user@1000.service", ""},

		{"0::/system.slice/docker-" + id + ".scope\n", "", "0123456789ab"},
		{"0::/docker/" + id + "\n", "", "0123456789ab"},
		{"0::/docker/" + id + "/system.slice/nginx.service\n", "nginx.service", "0123456789ab"},
		{"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12.slice/cri-containerd-" + id + ".scope\n", "", "0123456789ab"},
		{"0::/kubepods/besteffort/pod1234-56/" + id + "\n", "", "0123456789ab"},
		{"0::/kubepods.slice/kubepods-pod12.slice/crio-" + id + ".scope\n", "", "0123456789ab"},
		{"0::/system.slice/containerd.service/kubepods-pod12.slice:cri-containerd:" + id + "\n", "containerd.service", "0123456789ab"},
		{"0::/machine.slice/libpod-" + id + ".scope/container\n", "", "0123456789ab"},
		{"0::/machine.slice/machine-libpod_pod_" + pod + ".slice/libpod-" + id + ".scope\n", "", "0123456789ab"},
		{"0::/machine.slice/libpod-conmon-" + id + ".scope\n", "libpod-conmon-" + id + ".scope", ""},
		{"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + id + ".scope\n", "user@1000.service", "0123456789ab"},
		{"0::/ecs/task/" + id + "\n", "", "0123456789ab"},

		{"12:pids:/docker/" + pod + "\n1:name=systemd:/docker/" + id + "\n0::/\n", "", "0123456789ab"},
		{"1:name=systemd:/system.slice/redis.service\n0::/system.slice/redis.service\n", "redis.service", ""},
		{"4:memory:/other.service\n0::/\n", "", ""},
		{"0::/a:b/c:d.service\n", "c:d.service", ""},

		{"0::/x" + id + "\n", "", ""},
		{"0::/" + strings.ToUpper(id) + "\n", "", ""},
		{"0::/" + id[1:] + "\n", "", ""},
		{"nonsense\n:\n::\n", "", ""},
	} {
		if unit, container := cgroupNames(tt.text); unit != tt.unit || container != tt.container {
			t.Errorf("%q: %q, %q; not %q, %q", tt.text, unit, container, tt.unit, tt.container)
		}
	}
}

func FuzzCgroupNames(f *testing.F) {
	f.Add("0::/system.slice/nginx.service\n")
	f.Add("1:name=systemd:/docker/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n")
	f.Add("0::/a.scope (deleted)")
	f.Fuzz(func(t *testing.T, text string) {
		unit, container := cgroupNames(text)
		if strings.ContainsAny(unit, "/\n") || !strings.Contains(text, unit) {
			t.Errorf("unit %q", unit)
		}
		if container != "" && (len(container) != 12 || strings.Trim(container, "0123456789abcdef") != "") {
			t.Errorf("container %q", container)
		}
	})
}
