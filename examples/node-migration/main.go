// Node-migration is a service that moves from Node to Go, one worker at a time,
// behind the same port and without losing a request. This is the Go program; app.js
// is what it replaces, and migrate.js the primary, which is Node's own.
//
//	go build ./examples/node-migration
//	node examples/node-migration/migrate.js ./node-migration
//
// Things to try while it runs:
//
//	curl http://127.0.0.1:8000/     which of the two answers
//	ab -n 100000 -c 8 http://127.0.0.1:8000/
//
// Nothing in this program is about Node: cluster.Listen finds out whose worker it
// is. Under onconn it runs as it is, and so does app.js:
//
//	onconn -n 4 -- node examples/node-migration/app.js
//	onconn -n 4 -- ./node-migration
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"

	"onconn/cluster"
	"onconn/cluster/httpserve"
)

func main() {
	address := flag.String("listen", "127.0.0.1:8000", "where to listen, `host:port`")
	flag.Parse()
	if err := serve(*address); err != nil {
		fmt.Fprintln(os.Stderr, "node-migration:", err)
		os.Exit(1)
	}
}

func serve(address string) error {
	ln, err := cluster.Listen("tcp", address)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "Go, worker %d\n", cluster.ID())
	})}
	return httpserve.Serve(srv, ln)
}
