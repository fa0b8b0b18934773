package conformance

import (
	"net"
	"time"
)

// tap is a TCP connection whose bytes are counted, and whose writes go out in pieces.
type tap struct {
	net.Conn

	read   int
	pieces func(b []byte) [][]byte // how a write is cut; nil: not at all
	pause  func(piece int)         // before each piece but the first; nil: none
}

func (c *tap) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read += n
	return n, err
}

func (c *tap) Write(b []byte) (n int, err error) {
	list := [][]byte{b}
	if c.pieces != nil {
		list = c.pieces(b)
	}
	for i, piece := range list {
		if i > 0 && c.pause != nil {
			c.pause(i)
		}
		m, err := c.Conn.Write(piece)
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// silent fails if bytes come within a moment.
func (t *T) silent(raw net.Conn, after string) {
	var b [1024]byte
	_ = raw.SetReadDeadline(time.Now().Add(moment))
	if n, err := raw.Read(b[:]); n > 0 {
		t.Failf("expected no byte after %s, got %d", after, n)
	} else if !isTimeout(err) {
		t.Failf("expected the connection to stay open after %s, got %v", after, err)
	}
	_ = raw.SetReadDeadline(time.Time{})
}

// ended fails unless the pool ends a connection in time; it returns what came before.
func (t *T) ended(raw net.Conn, after string, within time.Duration) []byte {
	var all []byte
	b := make([]byte, 1024)
	_ = raw.SetReadDeadline(time.Now().Add(within))
	for {
		n, err := raw.Read(b)
		all = append(all, b[:n]...)
		if isTimeout(err) {
			t.Failf("expected the connection to end after %s, but it is open after %v", after, within)
		}
		if err != nil {
			return all
		}
	}
}

// moment is how long silence is listened to.
const moment = 100 * time.Millisecond

func isTimeout(err error) bool {
	e, ok := err.(net.Error) //nolint:errorlint // from the connection itself
	return ok && e.Timeout()
}
