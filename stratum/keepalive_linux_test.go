package stratum

import (
	"syscall"
	"testing"
)

// checkWatched reads the socket's options back.
func checkWatched(t *testing.T, raw syscall.RawConn) {
	t.Helper()
	if err := raw.Control(func(fd uintptr) {
		for name, o := range map[string]struct{ level, option, want int }{
			"SO_KEEPALIVE":     {syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
			"TCP_KEEPIDLE":     {syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 30},
			"TCP_KEEPINTVL":    {syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 10},
			"TCP_KEEPCNT":      {syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 3},
			"TCP_USER_TIMEOUT": {syscall.IPPROTO_TCP, tcpUserTimeout, 60_000},
		} {
			got, err := syscall.GetsockoptInt(int(fd), o.level, o.option)
			if err != nil || got != o.want {
				t.Errorf("%s is %d, want %d: %v", name, got, o.want, err)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
}
