// Connections and HTTP by gnet's event loops, each with a listening socket of its own
// (SO_REUSEPORT).
//
//	gnet ADDRESS LOOPS close|http
//
// As in the C servers a request comes in one piece and without a body.
package main

import (
	"bytes"
	"log"
	"os"
	"strconv"
	"strings"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"
)

type closing struct{ gnet.BuiltinEventEngine }

func (*closing) OnOpen(gnet.Conn) ([]byte, gnet.Action) { return nil, gnet.Close }

const head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n"

var (
	body       = strings.Repeat("onconnecti", 10)
	answer     = []byte(head + "\r\n" + body)
	lastAnswer = []byte(head + "Connection: close\r\n\r\n" + body)
)

type web struct{ gnet.BuiltinEventEngine }

func (*web) OnTraffic(c gnet.Conn) gnet.Action {
	request, err := c.Next(-1)
	if err != nil || !bytes.HasPrefix(request, []byte("GET ")) || !bytes.HasSuffix(request, []byte("\r\n\r\n")) {
		return gnet.Close
	}
	if bytes.Contains(request, []byte("Connection: close\r\n")) {
		c.Write(lastAnswer)
		return gnet.Close
	}
	c.Write(answer)
	return gnet.None
}

func main() {
	loops, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	var handler gnet.EventHandler = &web{}
	if os.Args[3] == "close" {
		handler = &closing{}
	}
	err = gnet.Run(handler, "tcp://"+os.Args[1], gnet.WithNumEventLoop(loops), gnet.WithReusePort(true),
		gnet.WithLogLevel(logging.ErrorLevel))
	if err != nil {
		log.Fatal(err)
	}
}
