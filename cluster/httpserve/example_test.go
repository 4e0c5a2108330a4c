package httpserve_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"onconn/cluster"
	"onconn/cluster/httpserve"
)

// The worker of a cluster.
func ExampleServe() {
	ln, err := cluster.Listen("tcp", ":8000")
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: 5 * time.Second}
	if err := httpserve.Serve(srv, ln); err != nil {
		log.Fatal(err)
	}
}

// Outside of a cluster a channel begins the drain.
func ExampleServer() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	drain := make(chan struct{})
	s := &httpserve.Server{
		HTTP: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/long" {
				close(drain) // while a request is being answered
			}
			io.WriteString(w, "hello")
		})},
		Begin:   drain,
		Timeout: time.Minute,
	}
	ended := make(chan error)
	go func() { ended <- s.Serve(ln) }()

	for _, path := range []string{"/", "/long"} {
		resp, err := http.Get("http://" + ln.Addr().String() + path)
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Printf("%s; the last one: %v\n", body, resp.Close)
	}
	fmt.Println(<-ended)
	// Output:
	// hello; the last one: false
	// hello; the last one: true
	// <nil>
}
