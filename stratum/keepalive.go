package stratum

import (
	"net"
	"time"
)

// A peer that has vanished is noticed by TCP: by probes while nothing is sent, and by what it does not
// confirm while something is. Shares say nothing of it: a device whose power is leased sends none for
// hours, and its TCP confirms all the while.
const (
	aliveAfter = 30 * time.Second
	aliveEvery = 10 * time.Second
	aliveTries = 3
	// confirmWithin is how long sent bytes may stay unconfirmed, where the kernel can be told.
	confirmWithin = aliveAfter + aliveTries*aliveEvery
)

// watch lets TCP notice that the peer of a socket has vanished.
func watch(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	_ = tcp.SetNoDelay(true)
	_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: aliveAfter, Interval: aliveEvery, Count: aliveTries,
	})
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { limitUnconfirmed(int(fd), confirmWithin) })
	}
}
