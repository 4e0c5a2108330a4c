package accept

import "runtime"

// goid is the number of the calling goroutine, so that [Listener.Remove] knows
// whether it is called from a callback. Go tells it only at the head of a stack
// trace: "goroutine 18 [running]:".
func goid() (id uint64) {
	var buf [40]byte
	n := runtime.Stack(buf[:], false)
	for _, c := range buf[len("goroutine "):n] {
		if c < '0' || c > '9' {
			break
		}
		id = id*10 + uint64(c-'0')
	}
	return id
}
