package chaos

import (
	"encoding/json"
	"fmt"
	"os"

	"onconn/cluster"
)

// What a process of this package is told through its environment.
const (
	envRole   = "ONCONN_CHAOS_ROLE"
	envConfig = "ONCONN_CHAOS_CONFIG"
)

// roleEnv is the environment of a process with that role.
func roleEnv(role string, config any) ([]string, error) {
	data, err := json.Marshal(config)
	return []string{envRole + "=" + role, envConfig + "=" + string(data)}, err
}

// HasRole reports whether this process is one of the processes that [Run]
// started, which are the same program: then it must call [Role] and end with its
// result.
func HasRole() bool { return os.Getenv(envRole) != "" }

// Role is what such a process does: it is the primary, a worker or a client.
// It returns an exit code.
func Role() int {
	role := os.Getenv(envRole)
	err := runRole(role, []byte(os.Getenv(envConfig)))
	if err == nil {
		return 0
	}
	if cluster.IsWorker() {
		role = fmt.Sprintf("worker %d", cluster.ID())
	}
	fmt.Fprintf(os.Stderr, "chaos: %s: %v\n", role, err)
	return 1
}

func runRole(role string, config []byte) error {
	switch role {
	case "primary":
		return withConfig(config, primaryMain)
	case "worker":
		return withConfig(config, workerMain)
	case "client":
		return withConfig(config, clientMain)
	}
	return fmt.Errorf("%s=%s is no role", envRole, role)
}

func withConfig[T any](data []byte, run func(T) error) error {
	var config T
	if err := json.Unmarshal(data, &config); err != nil {
		return fmt.Errorf("%s: %w", envConfig, err)
	}
	return run(config)
}
