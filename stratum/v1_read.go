package stratum

import (
	"errors"
	"io"
	"sync"
	"syscall"
)

// arrival is one read of a socket that waits without a buffer. They are lent, because the function that
// the runtime calls with the descriptor would else be allocated for each.
type arrival struct {
	b    *[readSize]byte
	n    int
	err  error
	read func(fd uintptr) bool
}

var arrivals = sync.Pool{New: func() any {
	a := new(arrival)
	a.read = func(fd uintptr) bool {
		b, _ := reads.Get().(*[readSize]byte) // the pool holds nothing else
		a.n, a.err = syscall.Read(int(fd), b[:])
		if a.n > 0 {
			a.b = b
			return true
		}
		reads.Put(b)
		a.n = 0
		return !errors.Is(a.err, syscall.EAGAIN) && !errors.Is(a.err, syscall.EINTR)
	}
	return a
}}

// readWhenReady waits for a socket to have something to read and only then takes a buffer.
func readWhenReady(raw syscall.RawConn) (b *[readSize]byte, n int, err error) {
	a, _ := arrivals.Get().(*arrival) // the pool holds nothing else
	err = raw.Read(a.read)
	b, n = a.b, a.n
	if err == nil {
		err = a.err
	}
	a.b, a.n, a.err = nil, 0, nil
	arrivals.Put(a)
	if err == nil && n == 0 {
		err = io.EOF
	}
	return b, n, err
}
