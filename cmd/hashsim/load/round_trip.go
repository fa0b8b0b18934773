package load

import (
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// loopbackFor is how long the machine's own speed is measured.
const loopbackFor = 300 * time.Millisecond

// roundTrip is the CPU time of one round trip of a sealed share's size over loopback, both ends, now: how
// fast the machine is while others use it too. It is the yardstick for everything else that is measured.
func roundTrip() (perTrip time.Duration, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("measuring the loopback: %w", err)
	}
	defer func() { _ = ln.Close() }()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { // ends with the connection, or with the listener if there will be none
		if conn, err := ln.Accept(); err == nil {
			_, _ = io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{conn}) // not spliced in the kernel
			_ = conn.Close()
		}
	})
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("measuring the loopback: %w", err)
	}
	defer func() { _ = conn.Close() }()
	var frame [62]byte
	before, begin, trips := ownCPU(), time.Now(), 0
	for ; time.Since(begin) < loopbackFor; trips++ {
		if _, err := conn.Write(frame[:]); err != nil {
			return 0, fmt.Errorf("measuring the loopback: %w", err)
		}
		if _, err := io.ReadFull(conn, frame[:]); err != nil {
			return 0, fmt.Errorf("measuring the loopback: %w", err)
		}
	}
	return (ownCPU() - before) / time.Duration(trips), nil
}

// ownCPU is the CPU time of this process, finer than /proc has it.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0 // it cannot fail for oneself
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
