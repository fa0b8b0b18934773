package stratum

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"

	"github.com/hashlease/hashlease/stratum/sv1"
)

const (
	// lineLimit is how long a line may be. The longest of honest firmware has some 400 bytes.
	lineLimit = 8 << 10
	// readSize is how much is read at once: dozens of shares.
	readSize = 4 << 10
)

// reads lends what lines are read into, so that an idle connection holds none.
var reads = sync.Pool{New: func() any { return new([readSize]byte) }}

// lines cuts a stream into lines. It holds nothing but the beginning of one that has not ended.
type lines struct {
	conn net.Conn
	raw  syscall.RawConn // nil if the connection is not a socket
	held []byte          // read, and not handled: whole lines only for who handles them next
}

func newLines(conn net.Conn, first []byte) lines {
	l := lines{conn: conn, held: bytes.Clone(first)}
	if sc, ok := conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			l.raw = raw
		}
	}
	return l
}

// waits reports whether a line has begun and not ended.
func (l *lines) waits() bool { return len(l.held) > 0 }

// next waits for bytes and handles every line that they end.
func (l *lines) next(handle func(line []byte) error) error {
	if i := bytes.IndexByte(l.held, '\n'); i >= 0 {
		held := l.held
		l.held = nil
		return l.cut(held, handle)
	}
	b, n, err := l.fill()
	if b != nil {
		defer reads.Put(b)
	}
	if n > 0 {
		if err := l.cut(b[:n], handle); err != nil {
			return err
		}
	}
	return err
}

// cut handles the lines that end in b and holds what is left: a line that is left for later, with all that
// follows it, or the beginning of one.
func (l *lines) cut(b []byte, handle func(line []byte) error) error {
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			break
		}
		whole := b[:i]
		if len(l.held) > 0 {
			whole = append(l.held, whole...)
			l.held = nil
		}
		if len(whole) > lineLimit {
			return fmt.Errorf("%w: up to %d bytes are accepted", sv1.ErrLength, lineLimit)
		}
		if line := bytes.TrimSpace(whole); len(line) > 0 {
			err := handle(line)
			if errors.Is(err, errLater) {
				l.held = slices.Concat(whole, b[i:])
			}
			if err != nil {
				return err
			}
		}
		b = b[i+1:]
	}
	if len(b) > 0 {
		l.held = append(l.held, b...)
	}
	if len(l.held) > lineLimit {
		return fmt.Errorf("%w: up to %d bytes are accepted", sv1.ErrLength, lineLimit)
	}
	return nil
}

// fill reads into a buffer that is lent, and the caller's to give back. On a socket it is lent only when
// there is something to read.
func (l *lines) fill() (b *[readSize]byte, n int, err error) {
	if l.raw == nil {
		b, _ = reads.Get().(*[readSize]byte) // the pool holds nothing else
		n, err = l.conn.Read(b[:])
		return b, n, err
	}
	return readWhenReady(l.raw)
}
