package stratum

import (
	"syscall"
	"time"
)

// tcpUserTimeout is TCP_USER_TIMEOUT, which package syscall has on some architectures only (tcp(7)).
const tcpUserTimeout = 0x12

// limitUnconfirmed ends a connection whose peer does not confirm bytes for so long. Without it the kernel
// goes on sending for a quarter of an hour. An old kernel that refuses is as before.
func limitUnconfirmed(fd int, d time.Duration) {
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, tcpUserTimeout, int(d.Milliseconds()))
}
