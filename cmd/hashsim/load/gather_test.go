package load

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// listener notes what it receives.
type listener struct {
	mu   sync.Mutex
	got  []byte
	late bool // a stamp was older than the one before, or in the future
	came time.Time
	bad  error         // what it finds wrong with the next bytes
	over error         // guarded by mu
	done chan struct{} // closed at the end
}

func (l *listener) receive(b []byte, came time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.late = l.late || came.Before(l.came) || came.After(time.Now())
	l.got, l.came = append(l.got, b...), came
	return l.bad
}

func (l *listener) ended(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = err
	close(l.done)
}

// connected is a connection under a gatherer, and its other end.
func connected(t *testing.T, g *gatherer, to receiver) (*socket, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	near, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	s, err := g.add(near, to)
	if err != nil {
		t.Fatal(err)
	}
	return s, far
}

func newTestGatherer(t *testing.T) *gatherer {
	t.Helper()
	g, err := newGatherer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.close)
	return g
}

// Ensure that every byte of every connection comes to its receiver once and in order, then the end, and
// that what is written goes out.
func TestGatherer_LosesNothing(t *testing.T) {
	g := newTestGatherer(t)
	want := bytes.Repeat([]byte("0123456789abcdefg"), 20_000)
	var all []*listener
	for range 20 {
		l := &listener{done: make(chan struct{})}
		s, far := connected(t, g, l)
		all = append(all, l)
		go func() { // ends with the bytes
			_, _ = far.Write(want)
			_ = far.(*net.TCPConn).CloseWrite()
		}()
		if n, err := s.Write(want[:100]); n != 100 || err != nil {
			t.Fatalf("%d bytes are written, %v", n, err)
		}
		echo := make([]byte, 100)
		if _, err := io.ReadFull(far, echo); err != nil || !bytes.Equal(echo, want[:100]) {
			t.Fatalf("%q came, %v", echo, err)
		}
	}
	for _, l := range all {
		<-l.done
		if !bytes.Equal(l.got, want) || l.late || !errors.Is(l.over, io.EOF) {
			t.Errorf("%d bytes of %d came, late %v, ended by %v", len(l.got), len(want), l.late, l.over)
		}
	}
}

// Ensure that a receiver's error ends its connection, and that one which was cut here is not reported.
func TestGatherer_EndsConnections(t *testing.T) {
	g := newTestGatherer(t)
	wrong := errors.New("wrong")
	l := &listener{done: make(chan struct{}), bad: wrong}
	s, far := connected(t, g, l)
	if _, err := far.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	<-l.done
	if !errors.Is(l.over, wrong) {
		t.Errorf("it ended by %v", l.over)
	}
	if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writing to it: %v", err)
	}
	quiet := &listener{done: make(chan struct{})}
	s, far = connected(t, g, quiet)
	s.cut()
	if _, err := far.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the other end of a cut reads %v", err)
	}
	if quiet.over != nil {
		t.Errorf("a cut is reported: %v", quiet.over)
	}
	near, end := net.Pipe()
	defer func() { _, _ = near.Close(), end.Close() }()
	if _, err := g.add(near, quiet); err == nil {
		t.Error("what has no descriptor is taken over")
	}
}
