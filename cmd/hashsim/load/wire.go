package load

import (
	"io"
	"net"
)

// wire is the transport under a Noise connection whose bytes come by themselves: reads take what is there.
type wire struct {
	net.Conn         // closed: what is left of the connection before it was taken over
	socket   *socket // set before the first byte is written
	rest     []byte  // came and is not read yet
}

// feed adds bytes that came.
func (w *wire) feed(b []byte) { w.rest = append(w.rest, b...) }

// Read implements net.Conn. Callers know how much there is.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.rest) == 0 {
		return 0, io.ErrNoProgress
	}
	n := copy(p, w.rest)
	if w.rest = w.rest[n:]; len(w.rest) == 0 {
		w.rest = nil
	}
	return n, nil
}

// Write implements net.Conn.
func (w *wire) Write(p []byte) (int, error) { return w.socket.Write(p) }
