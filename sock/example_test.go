package sock_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// A server is four calls: socket, bind, listen and accept.
func Example() {
	listener, err := sock.Socket(sock.Inet, sock.Stream, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	if err := listener.Bind(sock.IPAddr(netip.MustParseAddrPort("127.0.0.1:0"))); err != nil {
		log.Fatal(err)
	}
	if err := listener.Listen(511); err != nil {
		log.Fatal(err)
	}
	local, err := listener.Getsockname()
	if err != nil {
		log.Fatal(err)
	}

	// The kernel completes the handshake though nobody has called accept.
	client, err := net.Dial("tcp", local.String())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	conn, peer, err := listener.Accept()
	if err != nil {
		log.Fatal(err) // unix.EAGAIN: nobody waits
	}
	if _, err := conn.Write([]byte("hello")); err != nil {
		log.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		log.Fatal(err)
	}
	greeting, err := io.ReadAll(client)
	fmt.Println(string(greeting), err, peer.String() == client.LocalAddr().String())
	// Output: hello <nil> true
}

func ExampleOption() {
	fd, err := sock.Socket(sock.Inet, sock.Stream, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer fd.Close()

	fmt.Println(sock.RcvBuf.Set(fd, 16384))
	fmt.Println(sock.RcvBuf.Get(fd)) // the kernel doubles it

	fmt.Println(sock.KeepIdle.Set(fd, time.Minute))
	fmt.Println(sock.KeepIdle.Get(fd))

	fmt.Println(sock.V6Only.Set(fd, true))
	// Output:
	// <nil>
	// 32768 <nil>
	// <nil>
	// 1m0s <nil>
	// setsockopt IPV6_V6ONLY: protocol not available
}

// A tracer knows options by number.
func ExampleLookup() {
	o, ok := sock.Lookup(unix.SOL_TCP, unix.TCP_DEFER_ACCEPT)
	fmt.Println(ok, sock.LevelName(o.Level), o.Name, o.Unit, o.Access, o.Inherited)
	// Output: true SOL_TCP TCP_DEFER_ACCEPT s read-write false
}

func ExampleAddr() {
	v4 := sock.IPAddr(netip.MustParseAddrPort("192.0.2.1:80"))
	mapped := sock.IPAddr(netip.MustParseAddrPort("[::ffff:192.0.2.1]:80"))
	fmt.Println(v4, v4.Family(), mapped, mapped.Family())
	fmt.Println(v4 == mapped, v4.AddrPort() == mapped.AddrPort())

	fmt.Println(sock.UnixAddr("@jobs"), sock.UnixAddr("@jobs").IsAbstract())
	fmt.Println(sock.VsockAddr(3, 1024))
	fmt.Println(sock.FromNetAddr(&net.TCPAddr{Port: 443}))
	// Output:
	// 192.0.2.1:80 inet 192.0.2.1:80 inet6
	// false true
	// @jobs true
	// 3:1024
	// [::]:443
}

func ExampleFeature_Probe() {
	if err := sock.HaveReusePort.Probe(); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("this kernel has", sock.HaveReusePort.Name)
	// Output: this kernel has SO_REUSEPORT
}
