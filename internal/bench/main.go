package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"

	"onconn/internal/bench/load"
	"onconn/internal/bench/serve"
	"onconn/internal/cli"
)

// The main goroutine stays on the first thread, which starts all servers: they die
// with the thread that started them (PR_SET_PDEATHSIG) and inherit its CPUs.
func init() { runtime.LockOSThread() }

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] { // what this program starts itself as
		case "serve":
			runtime.UnlockOSThread() // a goroutine that owns a thread is woken by two more switches
			os.Exit(serve.Main(os.Args[2:]))
		case "load", "hold":
			os.Exit(client(os.Args[1], os.Args[2:]))
		}
	}
	os.Exit(cli.Execute(newRoot(), os.Args[1:]))
}

// client is "load CONFIG" or "hold ADDRESS NUMBER ASK".
func client(what string, args []string) int {
	debug.SetGCPercent(-1) // it keeps nothing that grows
	if err := clientErr(what, args); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

func clientErr(what string, args []string) error {
	switch {
	case what == "load" && len(args) == 1:
		var cfg load.Config
		if err := json.Unmarshal([]byte(args[0]), &cfg); err != nil {
			return err
		}
		result, err := load.Run(cfg)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(result)
	case what == "hold" && len(args) == 3:
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		return load.Hold(args[0], n, args[2] == "true", func() error {
			fmt.Println("ready")
			_, err := io.Copy(io.Discard, os.Stdin) // until who started it has gone
			return err
		})
	}
	return errors.New("load and hold are what bench starts itself as")
}
