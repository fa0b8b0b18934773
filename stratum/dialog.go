package stratum

import (
	"net"
)

// dialog is the server's side of one connection, in whichever dialect. The server calls its methods one
// at a time: whoever calls them is the connection's reader.
type dialog interface {
	// serve handles what comes, on a goroutine that may wait for anything. It is true when the peer is
	// silent and its transport tells when it no longer is; false when the connection is over.
	serve() (rests bool)
	// poll handles what has come without waiting for anything: other connections wait for it. It is
	// true when there is no more, and false when only serve can go on.
	poll() (rests bool)
	// transport is the connection's socket, without encryption.
	transport() net.Conn
	// leave forgets the connection, after serve has said that it is over.
	leave()
}

// pollFrames is how much of one peer is handled before others have their turn: a peer that sends
// more at once gets a goroutine, until it is silent again.
const pollFrames = 16

// run gives a connection a goroutine of its own until it ends or rests. Its place in s.readers is taken
// already and lasts until it leaves, whether there is a goroutine or not.
func (s *Server) run(d dialog) {
	go func() { // ends with the connection, or when it rests
		if !d.serve() {
			d.leave()
			return
		}
		s.rest(d)
	}()
}

// rest waits for the peer's next bytes: in the poller, without a goroutine, if the transport is there.
// Else on a new goroutine: stacks that have grown do not shrink to their first size any more.
func (s *Server) rest(d dialog) {
	if c, ok := d.transport().(*socket); ok {
		c.rest(d)
		return
	}
	s.run(d)
}

func isSocket(conn net.Conn) bool {
	_, ok := conn.(*socket)
	return ok
}
