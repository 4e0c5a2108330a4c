package words

import (
	"testing"
	"time"
)

func TestWords(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{Duration(0), "0s"},
		{Duration(900 * time.Microsecond), "<1ms"},
		{Duration(41400 * time.Microsecond), "41ms"},
		{Duration(999600 * time.Microsecond), "1.0s"},
		{Duration(9440 * time.Millisecond), "9.4s"},
		{Duration(9960 * time.Millisecond), "10s"},
		{Duration(108 * time.Second), "1m48s"},
		{Duration(120 * time.Second), "2m"},
		{Duration(90 * time.Second), "90s"},
		{Duration(130 * time.Second), "2m10s"},
		{Duration(60 * time.Minute), "1h"},
		{Duration(200 * time.Minute), "3h20m"},
		{Duration(300 * time.Hour), "13d"},
		{Rate(0), "0"},
		{Rate(0.05), "<0.1"},
		{Rate(3.21), "3.2"},
		{Rate(54), "54"},
		{Rate(99.96), "100"},
		{Rate(8120), "8120"},
		{Rate(12345), "12.3k"},
		{Rate(999400), "999k"},
		{Rate(1.26e6), "1.3M"},
		{Count(1, "client"), "1 client"},
		{Count(0, "client"), "0 clients"},
		{Bytes(1023), "1023 B"},
		{Bytes(1536), "1.5 KiB"},
		{Bytes(16 << 20), "16 MiB"},
		{Bytes(1<<20 - 1), "1.0 MiB"},
		{Percent(0), "0%"},
		{Percent(0.001), "<1%"},
		{Percent(0.996), "99%"},
		{Percent(1), "100%"},
		{Percent(0.123), "12%"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}
