package steer_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"time"

	"onconn/reuseport"
	"onconn/reuseport/steer"
)

// A group is steered by load where we may, and else by what needs no privilege.
func Example() {
	var s reuseport.Steering
	p, err := steer.New(steer.Config{Policy: steer.LeastLoaded, HangAfter: 200 * time.Millisecond})
	if err != nil {
		log.Print("steering by hash: ", err) // "... needs CAP_BPF ..."
		s = reuseport.Hash{}
	} else {
		defer p.Close()
		s = p
	}

	g, err := reuseport.Config{Steering: s}.Listen(context.Background(), "tcp", "127.0.0.1:0", 2)
	if err != nil {
		log.Fatal(err)
	}
	defer g.Close()
	for _, m := range g.Members() {
		go func() {
			for {
				c, err := m.Accept()
				if err != nil {
					return
				}
				fmt.Fprint(c, "hello")
				c.Close()
			}
		}()
	}
	c, err := net.Dial("tcp", g.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	b := make([]byte, 5)
	c.Read(b)
	fmt.Println(string(b))
	// Output: hello
}
