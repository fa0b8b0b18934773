package stamp

import (
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// Conn is a TCP connection whose reads are few, each takes what there is, and which notes when that came.
// One goroutine reads, and it alone looks at Came and Took.
type Conn struct {
	*net.TCPConn
	Came time.Time // when the newest bytes of the newest read reached the socket
	Took time.Time // when they were read

	raw        syscall.RawConn
	receive    func(fd uintptr) bool // made once: it would be allocated for each read
	n, control int                   // of the newest receive
	err        error
	start, end int
	buf        [1024]byte
	oob        [64]byte
}

// New takes over a connection from which nothing was read.
func New(tcp *net.TCPConn) (*Conn, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("stamping a connection: %w", err)
	}
	c := &Conn{TCPConn: tcp, raw: raw}
	c.receive = c.once
	if cerr := raw.Control(func(fd uintptr) { err = ask(fd) }); cerr != nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("asking the kernel for stamps: %w", err)
	}
	return c, nil
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	if c.start == c.end {
		if err := c.raw.Read(c.receive); err != nil {
			return 0, err
		}
		c.start, c.end = 0, max(0, c.n)
		switch {
		case c.err != nil:
			return 0, fmt.Errorf("receiving: %w", c.err)
		case c.n == 0:
			return 0, io.EOF
		}
		c.Took = time.Now()
		c.Came = stamped(c.oob[:c.control], c.Took)
	}
	n := copy(p, c.buf[c.start:c.end])
	c.start += n
	return n, nil
}
