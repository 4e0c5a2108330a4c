package chaos

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A request and its answer have the same form: a header of fixed size and a
// payload. The answer repeats both, so that the client can check every byte.
//
//	 0  magic   4 bytes
//	 4  run     4
//	 8  client  2   which client process
//	10  index   2   of the request on its connection, from 0
//	12  number  4   of the connection, from 0
//	16  size    2   of the payload
//	18  flags   2
//	20  worker  4   the ID of the one that answers; 0 in a request
//	24  sum     4   CRC-32C of all the rest
const (
	headerSize = 28
	maxPayload = 8 << 10
	maxMessage = headerSize + maxPayload
)

const (
	magicRequest = 0x6f6e6371 // "onqc"
	magicAnswer  = 0x6f6e6361
)

const (
	// flagLast, from a client: the connection ends with the answer.
	flagLast = 1 << iota
	// flagClosing, from a worker: it does so too.
	flagClosing
)

// A header is what stands before the payload.
type header struct {
	magic  uint32
	run    uint32
	client uint16
	index  uint16
	number uint32
	size   uint16
	flags  uint16
	worker uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// put writes the header of a message whose payload stands in its place.
func (h header) put(message []byte) {
	le := binary.LittleEndian
	le.PutUint32(message[0:], h.magic)
	le.PutUint32(message[4:], h.run)
	le.PutUint16(message[8:], h.client)
	le.PutUint16(message[10:], h.index)
	le.PutUint32(message[12:], h.number)
	le.PutUint16(message[16:], h.size)
	le.PutUint16(message[18:], h.flags)
	le.PutUint32(message[20:], h.worker)
	le.PutUint32(message[24:], checksum(message))
}

func checksum(message []byte) uint32 {
	sum := crc32.Update(0, castagnoli, message[:headerSize-4])
	return crc32.Update(sum, castagnoli, message[headerSize:])
}

func parseHeader(b []byte) header {
	le := binary.LittleEndian
	return header{
		magic: le.Uint32(b[0:]), run: le.Uint32(b[4:]), client: le.Uint16(b[8:]), index: le.Uint16(b[10:]),
		number: le.Uint32(b[12:]), size: le.Uint16(b[16:]), flags: le.Uint16(b[18:]), worker: le.Uint32(b[20:]),
	}
}

// whole returns how long the message that begins with b is: 0 if that can't be
// told yet.
func whole(b []byte, magic uint32) (int, error) {
	if len(b) < headerSize {
		return 0, nil
	}
	h := parseHeader(b)
	switch {
	case h.magic != magic:
		return 0, fmt.Errorf("it begins with %#x instead of %#x", h.magic, magic)
	case h.size > maxPayload:
		return 0, fmt.Errorf("a payload of %d bytes", h.size)
	}
	return headerSize + int(h.size), nil
}

// check verifies the sum of a whole message.
func check(message []byte) (header, error) {
	if sum := binary.LittleEndian.Uint32(message[24:]); sum != checksum(message) {
		return header{}, fmt.Errorf("its sum is %#x, and says %#x", checksum(message), sum)
	}
	return parseHeader(message), nil
}

// checkAnswer compares an answer with its request.
func checkAnswer(request, answer []byte) (header, error) {
	h, err := check(answer)
	if err != nil {
		return h, err
	}
	want := parseHeader(request)
	want.magic, want.worker, want.flags = magicAnswer, h.worker, h.flags
	switch {
	case h != want:
		return h, fmt.Errorf("it is the answer to client %d, number %d, request %d, %d bytes", h.client, h.number, h.index, h.size)
	case h.worker == 0:
		return h, errors.New("it is from no worker")
	case !bytes.Equal(request[headerSize:], answer[headerSize:]):
		return h, errors.New("its payload differs from the request's")
	}
	return h, nil
}

// A source of numbers that are the same for the same seed in every process:
// splitmix64.
type numbers uint64

func (n *numbers) next() uint64 {
	*n += 0x9e3779b97f4a7c15
	z := uint64(*n)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below is a number from 0 to n-1.
func (n *numbers) below(limit int) int { return int(n.next() % uint64(limit)) }

// fill makes a payload.
func (n *numbers) fill(b []byte) {
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, n.next())
		b = b[8:]
	}
	for i := range b {
		b[i] = byte(n.next())
	}
}
