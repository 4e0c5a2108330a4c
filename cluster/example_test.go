package cluster_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/netip"
	"os"
	"os/signal"

	"onconn/cluster"
	"onconn/cluster/httpserve"
	"onconn/sock"
)

// A whole server. Started by hand it is the primary, which starts it again as
// the workers; these all serve port 8000.
func Example() {
	if cluster.IsPrimary() {
		p, err := cluster.New(cluster.Config{Workers: 4})
		if err != nil {
			log.Fatal(err)
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		if err := p.Run(ctx); err != nil {
			log.Fatal(err)
		}
		return
	}
	ln, err := cluster.Listen("tcp", ":8000")
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "hello from worker %d\n", cluster.ID())
	})}
	if err := httpserve.Serve(srv, ln); err != nil { // nil: asked to go, and all is answered
		log.Fatal(err)
	}
}

// In a primary, Listen is an ordinary listen.
func ExampleListen() {
	ln, err := cluster.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	fmt.Println(cluster.IsPrimary(), cluster.ID(), ln.Addr().Network())
	// Output: true 0 tcp
}

// parity is a policy of one's own: clients with an even port to the first worker.
type parity struct{}

func (parity) Pick(peer sock.Addr, workers []cluster.Load) int {
	return int(peer.Port()) % len(workers)
}

func ExamplePolicy() {
	p := parity{}
	workers := []cluster.Load{{Slot: 0}, {Slot: 1}}
	for _, client := range []string{"192.0.2.1:5000", "192.0.2.1:5001"} {
		peer := sock.IPAddr(netip.MustParseAddrPort(client))
		fmt.Println(client, "to slot", workers[p.Pick(peer, workers)].Slot)
	}
	_ = cluster.Config{Policy: func() cluster.Policy { return p }}
	// Output:
	// 192.0.2.1:5000 to slot 0
	// 192.0.2.1:5001 to slot 1
}

func ExampleParsePolicy() {
	newPolicy, err := cluster.ParsePolicy("weighted=3,1")
	if err != nil {
		log.Fatal(err)
	}
	p := newPolicy()
	workers := []cluster.Load{{Slot: 0}, {Slot: 1}}
	for range 4 {
		fmt.Print(workers[p.Pick(sock.Addr{}, workers)].Slot, " ")
	}
	// Output: 0 0 1 0
}
