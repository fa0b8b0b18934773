//go:build !linux

package stratum

import (
	"net"
)

// poller is Linux's: elsewhere each connection has a goroutine.
type poller struct{}

func (*Server) takeOut(conn net.Conn) net.Conn { return conn }

func (*Server) stopPoller() {}

// socket is a connection of the poller: there is none.
type socket struct{ net.TCPConn }

func (*socket) rest(dialog) {}
