//go:build !linux

package linux

var _ = onconn_is_for_Linux_only
