package scoreboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"onconn/cluster"
	"onconn/cluster/httpserve"
)

var roles = map[string]func() error{
	"http":      httpRole,
	"block":     blockRole,
	"exclusive": exclusiveRole,
	"twice":     twiceRole,
}

// handler says "ok", or which worker it is, or waits for a file to appear.
func handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("/id", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, cluster.ID()) })
	mux.HandleFunc("/wait", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Println("begun")
		for {
			if _, err := os.Stat(os.Getenv(envFile)); err == nil {
				io.WriteString(w, "ok\n")
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	return mux
}

// httpRole is a worker as one would write it, which also goes at SIGTERM.
func httpRole() error {
	ln, err := cluster.Listen(loopback.Network, loopback.Address)
	if err != nil {
		return err
	}
	return serve(ln)
}

func serve(ln net.Listener) error {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() {
		<-term
		cluster.Disconnect()
	}()
	cluster.OnMessage(func(json.RawMessage) {})
	return httpserve.Serve(&http.Server{Handler: handler()}, ln)
}

// A gate is a listener that takes nothing while it is shut.
type gate struct {
	net.Listener
	shut, open chan bool
}

func (g *gate) Accept() (net.Conn, error) {
	select {
	case <-g.shut:
		cluster.Send("shut")
		<-g.open
	default:
	}
	return g.Listener.Accept()
}

// blockRole takes no connections between two messages.
func blockRole() error {
	ln, err := cluster.Listen(loopback.Network, loopback.Address)
	if err != nil {
		return err
	}
	g := &gate{ln, make(chan bool, 1), make(chan bool, 1)}
	next := g.shut
	cluster.OnMessage(func(json.RawMessage) {
		next <- true
		next = g.open
	})
	return httpserve.Serve(&http.Server{Handler: handler()}, g)
}

// exclusiveRole serves on a port that the primary doesn't know.
func exclusiveRole() error {
	own, err := cluster.ListenConfig{Exclusive: true}.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go httpRole()
	return serve(own)
}

// twiceRole listens on one port twice, and tells how that went when it is asked.
func twiceRole() error {
	ln, err := cluster.Listen(loopback.Network, loopback.Address)
	if err != nil {
		return err
	}
	_, err = cluster.Listen("tcp", ln.Addr().String())
	cluster.OnMessage(func(json.RawMessage) { cluster.Send(errors.Is(err, unix.EADDRINUSE)) })
	return httpserve.Serve(&http.Server{Handler: handler()}, ln)
}

// primaryRole is a primary that says where it listens, and goes with its standard
// input.
func primaryRole(name string) error {
	mode, err := cluster.ParseMode(name)
	if err != nil {
		return err
	}
	ready := make(chan bool, 100)
	cfg := cluster.Config{
		Workers: 2, Mode: mode, Listen: []cluster.Address{loopback},
		OnEvent: func(e cluster.Event) {
			if e.Kind == cluster.Ready {
				fmt.Println("worker", e.Worker.PID)
				ready <- true
			}
		},
	}
	fmt.Sscan(os.Getenv("SCOREBOARD_MAX_CONNS"), &cfg.MaxConns)
	p, err := cluster.New(cfg)
	if err != nil {
		return err
	}
	if err := p.Start(context.Background()); err != nil {
		return err
	}
	<-ready
	<-ready
	fmt.Println("address", p.Addrs()[0])
	io.Copy(io.Discard, os.Stdin)
	p.Shutdown(context.Background())
	return nil
}
