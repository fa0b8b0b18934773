package noise

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

// loop is a connection whose reader gets the same frame again and again, or nothing: reads
// and writes cost no system call.
type loop struct {
	script
	wire []byte
	at   int
}

func (l *loop) Read(p []byte) (int, error) {
	if l.at == len(l.wire) {
		l.at = 0
	}
	n := copy(p, l.wire[l.at:])
	l.at += n
	return n, nil
}

// frameOf is a plaintext frame with n bytes of payload.
func frameOf(n int) []byte {
	f := make([]byte, HeaderSize+n)
	f[1], f[2], f[3], f[4], f[5] = 0x80, 0x1b, byte(n), byte(n>>8), byte(n>>16)
	return f
}

// sealOpen is a function that seals a frame of n bytes of payload, and opens it again.
func sealOpen(tb testing.TB, n int) func() {
	tb.Helper()
	k := [32]byte{1}
	wire := &loop{}
	from, to := newConn(nil, &k, &k), newConn(wire, &k, &k)
	frame := frameOf(n)
	sealed := make([]byte, 0, SealedSize(n))
	buf := make([]byte, n+Overhead)
	limit := func([6]byte) error { return nil }
	return func() {
		sealed = from.AppendFrame(sealed[:0], frame)
		wire.wire, wire.at = sealed, 0
		to.in.start, to.in.end = 0, 0
		if _, p, err := to.ReadFrame(buf, limit); err != nil || len(p) != n {
			tb.Fatalf("%d bytes, %v", len(p), err)
		}
	}
}

// Ensure frames that fit their buffers cost no allocation, in either direction.
func TestConn_AllocatesNothing(t *testing.T) {
	for _, n := range []int{0, 24, 33, 256, 70000} {
		if got := testing.AllocsPerRun(100, sealOpen(t, n)); got != 0 {
			t.Errorf("a payload of %d bytes costs %v allocations", n, got)
		}
	}
}

// BenchmarkFrame_SealOpen is one frame through both ends, without the network: two blocks each.
func BenchmarkFrame_SealOpen(b *testing.B) {
	for _, n := range []int{24, 256} {
		b.Run(fmt.Sprintf("payload=%d", n), func(b *testing.B) {
			run := sealOpen(b, n)
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}

// BenchmarkAccept is the responder's handshake without the network, with and without
// ephemeral keys made ahead.
func BenchmarkAccept(b *testing.B) {
	a, err := NewAuthority()
	if err != nil {
		b.Fatal(err)
	}
	e, err := newKeypair()
	if err != nil {
		b.Fatal(err)
	}
	run := func(b *testing.B, stock *Stock) {
		b.Helper()
		id, err := NewIdentity(a, testTime, testTime.Add(time.Hour))
		if err != nil {
			b.Fatal(err)
		}
		id.Stock = stock
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			if stock != nil && stock.Len() == 0 {
				b.StopTimer()
				fill(b, stock)
				b.StartTimer()
			}
			conn := &script{in: bytes.NewReader(e.encoded[:])}
			if _, err := Accept(conn, id); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N), "us/handshake")
	}
	b.Run("fresh", func(b *testing.B) { run(b, nil) })
	b.Run("stock", func(b *testing.B) { run(b, NewStock(64)) })
}

// fill puts as many keys into s as fit.
func fill(b *testing.B, s *Stock) {
	b.Helper()
	for len(s.keys) < cap(s.keys) {
		k, err := newKeypair()
		if err != nil {
			b.Fatal(err)
		}
		s.keys <- k
	}
}

// BenchmarkConnect is the initiator's handshake with the check of the certificate.
func BenchmarkConnect(b *testing.B) {
	a, err := NewAuthority()
	if err != nil {
		b.Fatal(err)
	}
	id, err := NewIdentity(a, testTime, testTime.Add(time.Hour))
	if err != nil {
		b.Fatal(err)
	}
	e, _ := newKeypair()
	re, _ := newKeypair()
	r := responder{id: id, e: re}
	act2, err := r.answer(&e.encoded)
	if err != nil {
		b.Fatal(err)
	}
	public := a.Public()
	b.ReportAllocs()
	for b.Loop() {
		i := initiator{e: e}
		i.begin()
		if err := i.finish((*[Act2Size]byte)(act2), &public, testTime); err != nil {
			b.Fatal(err)
		}
	}
}
