package load

import (
	"net"
	"time"
)

// wire is a connection whose reads are few: each takes what there is. It notes when bytes came, before
// they are opened.
type wire struct {
	net.Conn
	came       time.Time // of the newest read
	start, end int
	buf        [1024]byte
}

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	if w.start == w.end {
		n, err := w.Conn.Read(w.buf[:])
		w.came, w.start, w.end = time.Now(), 0, n
		if n == 0 {
			return 0, err
		}
	}
	n := copy(p, w.buf[w.start:w.end])
	w.start += n
	return n, nil
}
