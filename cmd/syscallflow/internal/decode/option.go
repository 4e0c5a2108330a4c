package decode

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"onconn/sock"
)

// optionName is the name of a socket option, or its number.
func optionName(level, number int) string {
	if o, ok := sock.Lookup(level, number); ok {
		return o.Name
	}
	return strconv.Itoa(number)
}

// maxOption holds what is printed of an option's value.
const maxOption = 32

// optionValue prints what an option was set to, or read as.
func optionValue(level, number int, b []byte, length uint64) string {
	o, _ := sock.Lookup(level, number)
	switch {
	case o.Name == "SO_LINGER" && len(b) >= 8:
		return fmt.Sprintf("{l_onoff=%d, l_linger=%d}", int32(binary.NativeEndian.Uint32(b)), int32(binary.NativeEndian.Uint32(b[4:])))
	case o.Unit == "timeval" && len(b) >= 16:
		return (time.Duration(word(b, 0))*time.Second + time.Duration(word(b, 8))*time.Microsecond).String()
	case o.Unit == "name" || o.Unit == "interface":
		return strconv.Quote(unixName(b))
	case o.Unit == "instructions" && length == 16 && len(b) >= 2:
		return fmt.Sprintf("{%d instructions}", binary.NativeEndian.Uint16(b))
	case number == unix.SO_TYPE && level == unix.SOL_SOCKET && len(b) >= 4:
		return "[" + Type(int(binary.NativeEndian.Uint32(b))) + "]"
	case number == unix.SO_ERROR && level == unix.SOL_SOCKET && len(b) >= 4:
		v := binary.NativeEndian.Uint32(b)
		if name := Errno(-int64(v)); name != "" {
			return "[" + name + "]"
		}
		return "[0]"
	case length == 4 && len(b) >= 4:
		return "[" + strconv.Itoa(int(int32(binary.NativeEndian.Uint32(b)))) + "]"
	case length == 8 && len(b) >= 8:
		return "[" + strconv.FormatUint(word(b, 0), 10) + "]"
	case length == 1 && len(b) >= 1:
		return "[" + strconv.Itoa(int(b[0])) + "]"
	}
	return fmt.Sprintf("{%d bytes}", length)
}
