package stamp_test

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/stamp"
)

// pair is a stamped connection and its other end.
func pair(t *testing.T) (near *stamp.Conn, far net.Conn) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var d net.Dialer
	raw, err := d.DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if far, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	tcp, ok := raw.(*net.TCPConn)
	if !ok {
		t.Fatalf("%T", raw)
	}
	if near, err = stamp.New(tcp); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// Ensure that bytes carry the time at which they came, not that at which they were read.
func TestConn_StampsArrival(t *testing.T) {
	near, far := pair(t)
	for _, size := range []int{1, 900, 3000} {
		// The kernel begins to stamp some time after it was asked to, and until then gives the time of
		// the read.
		const tries = 100
		for i := range tries {
			late := arrive(t, near, far, size)
			if !stamp.Kernel || late < stayed/2 {
				break
			}
			if i == tries-1 {
				t.Errorf("%d bytes came %v after they were written, as often as they were", size, late)
			}
		}
	}
}

// stayed is how long bytes wait to be read.
const stayed = 20 * time.Millisecond

// arrive writes bytes, reads them after a while and returns how late their stamp is.
func arrive(t *testing.T, near *stamp.Conn, far net.Conn, size int) time.Duration {
	t.Helper()
	before := time.Now()
	if _, err := far.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	written := time.Now()
	late := time.NewTimer(stayed)
	<-late.C
	if _, err := io.ReadFull(near, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	early := near.Came.Before(before.Add(-time.Millisecond))
	if !near.Took.After(written) || near.Came.After(near.Took) || early {
		t.Errorf("%d bytes: written %v to %v, came %v, taken %v",
			size, before, written, near.Came, near.Took)
	}
	return near.Came.Sub(written)
}

// Ensure that the end and a deadline are what they are of any connection.
func TestConn_ReportsEndAndDeadline(t *testing.T) {
	near, far := pair(t)
	if err := near.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
	if err := near.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	far.Close()
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}
