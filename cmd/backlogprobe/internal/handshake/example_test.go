package handshake_test

import (
	"fmt"

	"onconn/cmd/backlogprobe/internal/handshake"
)

func ExampleReadFile() {
	r, _, err := handshake.ReadFile("../../../../testdata/pcap/syn-dropped-accept-queue-full-abort0.pcap", handshake.Config{}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	worst := r.Attempts[0]
	fmt.Printf("%v: %s, %d SYNs, %s\n", worst.Client, worst.Verdict.Kind, worst.SYNs.N, worst.Verdict.Certainty)
	// Output: 10.77.0.2:41726: syn-refused-or-lost, 11 SYNs, consistent with
}
