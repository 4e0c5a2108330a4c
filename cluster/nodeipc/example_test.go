package nodeipc_test

import (
	"fmt"
	"sync/atomic"

	"onconn/cluster/nodeipc"
	"onconn/sock"
)

// A worker asks its primary for a server, and gets a connection of it.
func Example() {
	ours, theirs, err := sock.Pair(sock.Stream) // theirs is descriptor 3 of a worker
	if err != nil {
		panic(err)
	}
	primary, err := nodeipc.NewPrimary(ours, nodeipc.JSON, new(atomic.Uint64))
	if err != nil {
		panic(err)
	}
	defer primary.Close()
	worker, err := nodeipc.NewWorker(theirs, nodeipc.JSON)
	if err != nil {
		panic(err)
	}
	defer worker.Close()

	worker.QueryServer(nodeipc.Query{Port: 8000, Type: nodeipc.IPv4, FD: -1})
	m, err := primary.Receive()
	fmt.Println(m.Act, m.Query.Port, err)
	primary.Serve(m.Seq, "1", &nodeipc.SockName{Address: "::", Family: "IPv6", Port: 8000}, m.Query.Data)
	m, err = worker.Receive()
	fmt.Println(m.Act, m.Key, m.SockName.Address, err)

	conn, client, err := sock.Pair(sock.Stream)
	if err != nil {
		panic(err)
	}
	defer client.Close()
	primary.NewConn("1", conn)
	conn.Close() // when the worker has answered, in a primary that loses nothing
	m, err = worker.Receive()
	fmt.Println(m.Act, m.Key, m.FD != sock.None, err)
	m.FD.Close()
	worker.AnswerConn(m.Seq, true)
	for range 2 {
		m, err = primary.Receive()
		fmt.Println(m.Act, m.Accepted, err)
	}
	// Output:
	// queryServer 8000 <nil>
	// reply 1 :: <nil>
	// newconn 1 true <nil>
	// NODE_HANDLE_ACK false <nil>
	// reply true <nil>
}
