// HTTP by fasthttp: one process, or its prefork with SO_REUSEPORT.
//
//	fasthttp ADDRESS WORKERS
package main

import (
	"io"
	"log"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/prefork"
)

func main() {
	address := os.Args[1]
	workers, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	body := []byte(strings.Repeat("onconnecti", 10))
	server := &fasthttp.Server{
		NoDefaultServerHeader: true,
		NoDefaultDate:         true,
		Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetContentType("text/plain")
			ctx.SetBody(body)
		},
	}
	if workers == 1 {
		log.Fatal(server.ListenAndServe(address))
	}
	runtime.GOMAXPROCS(workers) // as many children
	p := prefork.New(server)
	p.Reuseport = true
	p.Logger = log.New(io.Discard, "", 0)
	p.OnMasterDeath = func() { os.Exit(0) } // which looks twice a second
	if err := p.ListenAndServe(address); err != nil {
		log.Fatal(err)
	}
}
