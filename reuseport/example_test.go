package reuseport_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"onconn/reuseport"
)

// Four members serve; one leaves without a loss.
func Example() {
	g, err := reuseport.Listen("tcp", "127.0.0.1:0", 4)
	if err != nil {
		log.Fatal(err)
	}
	defer g.Close()
	for _, m := range g.Members() {
		go http.Serve(m, http.NotFoundHandler())
	}

	report, err := g.Drain(context.Background(), g.Members()[0], reuseport.Drain{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.HalfOpen+report.Queued, "given up;", len(g.Members()), "members")
	// Output: 0 given up; 3 members
}

// A share of the connections, as for a new version that is to be tried.
func ExampleGroup_SetWeight() {
	g, err := reuseport.Config{Steering: reuseport.Weighted{}}.Listen(context.Background(), "tcp", "127.0.0.1:0", 2)
	if err != nil {
		log.Fatal(err)
	}
	defer g.Close()
	fmt.Println(g.SetWeight(g.Member(1), 95), g.SetWeight(g.Member(2), 5))
	// Output: <nil> <nil>
}
