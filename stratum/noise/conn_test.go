package noise_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/hashlease/hashlease/stratum/noise"
)

var epoch = time.Unix(1767225600, 0)

func newIdentity(tb testing.TB) (*noise.Authority, *noise.Identity) {
	tb.Helper()
	a, err := noise.NewAuthority()
	if err != nil {
		tb.Fatal(err)
	}
	id, err := noise.NewIdentity(a, epoch.Add(-10*time.Minute), epoch.Add(time.Hour))
	if err != nil {
		tb.Fatal(err)
	}
	return a, id
}

// pair is two ends of one connection after the handshake: the pool's and the miner's.
func pair(tb testing.TB) (pool, miner *noise.Conn) {
	tb.Helper()
	a, id := newIdentity(tb)
	public := a.Public()
	near, far := socketPair(tb)
	type result struct {
		conn *noise.Conn
		err  error
	}
	accepted := make(chan result, 1)
	go func() {
		c, err := noise.Accept(near, id)
		accepted <- result{c, err}
	}()
	miner, err := noise.Connect(far, &public, epoch)
	if err != nil {
		tb.Fatal(err)
	}
	r := <-accepted
	if r.err != nil {
		tb.Fatal(r.err)
	}
	return r.conn, miner
}

// socketPair is a real TCP connection: it has a buffer, where net.Pipe has none.
func socketPair(tb testing.TB) (near, far net.Conn) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	far, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	near, err = l.Accept()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// frame is a plaintext frame of type 0x1b with n bytes of payload.
func frame(n int) []byte {
	f := make([]byte, 6+n)
	f[1] = 0x80
	binary.LittleEndian.PutUint32(f[2:], 0x1b|uint32(n)<<8)
	for i := range n {
		f[6+i] = byte(i % 251)
	}
	return f
}

// Ensure frames of every shape arrive whole and in order, also when many wait at once.
func TestConn_CarriesFramesBothWays(t *testing.T) {
	pool, miner := pair(t)
	sizes := []int{0, 1, 24, 33, 94, 110, 1000, 65518, 65519, 65520, 131038, 131039, 0, 7}
	for _, ends := range [][2]*noise.Conn{{miner, pool}, {pool, miner}} {
		from, to := ends[0], ends[1]
		sent := make(chan error, 1)
		go func() {
			var wire []byte
			for _, n := range sizes {
				wire = from.AppendFrame(wire, frame(n))
			}
			_, err := from.Conn.Write(wire)
			sent <- err
		}()
		buf := make([]byte, 200)
		for _, n := range sizes {
			header, payload, err := to.ReadFrame(buf, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := append(header[:], payload...); !bytes.Equal(got, frame(n)) {
				t.Fatalf("a frame of %d bytes arrived as %d bytes, or changed", n, len(payload))
			}
			fits := n > 0 && n+noise.Overhead <= len(buf)
			if aliases := n > 0 && &payload[0] == &buf[0]; aliases != fits {
				t.Fatalf("payload of %d bytes: aliases the buffer: %v", n, aliases)
			}
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
}

// Ensure the limit is asked before the payload, and that its refusal ends the session.
func TestConn_AsksLimitBeforePayload(t *testing.T) {
	pool, miner := pair(t)
	wire := miner.AppendFrame(nil, frame(65519))
	if _, err := miner.Conn.Write(wire[:22]); err != nil { // the header only
		t.Fatal(err)
	}
	tooLong := errors.New("too long")
	_, _, err := pool.ReadFrame(nil, func(h [6]byte) error {
		if h != [6]byte(frame(65519)) {
			t.Errorf("limit saw header %x", h)
		}
		return tooLong
	})
	if !errors.Is(err, tooLong) {
		t.Fatalf("got %v, want the limit's error", err)
	}
	if _, err := pool.ReadHeader(); !errors.Is(err, tooLong) {
		t.Fatalf("got %v, want the session ended", err)
	}
}

// Ensure a changed bit anywhere in a frame ends the session, and stays ended.
func TestConn_RefusesEveryBitFlip(t *testing.T) {
	size := noise.SealedSize(24)
	for i := range size * 8 {
		near, far := net.Pipe()
		pool, miner := noise.Twin(near, far)
		wire := miner.AppendFrame(nil, frame(24))
		wire[i/8] ^= 1 << (i % 8)
		wire = miner.AppendFrame(wire, frame(3))
		go miner.Conn.Write(wire)
		if _, _, err := pool.ReadFrame(nil, nil); !errors.Is(err, noise.ErrMAC) {
			t.Fatalf("bit %d: got %v", i, err)
		}
		if _, _, err := pool.ReadFrame(nil, nil); !errors.Is(err, noise.ErrMAC) {
			t.Fatalf("bit %d: the session goes on: %v", i, err)
		}
		near.Close()
	}
}

// Ensure lost, repeated and reordered frames do not authenticate.
func TestConn_RefusesReplay(t *testing.T) {
	for name, order := range map[string][]int{"repeated": {0, 0}, "lost": {1}, "swapped": {1, 0}} {
		t.Run(name, func(t *testing.T) {
			pool, miner := pair(t)
			frames := [][]byte{miner.AppendFrame(nil, frame(9)), miner.AppendFrame(nil, frame(9))}
			var wire []byte
			for _, i := range order {
				wire = append(wire, frames[i]...)
			}
			go miner.Conn.Write(wire)
			var err error
			for range order {
				if _, _, err = pool.ReadFrame(nil, nil); err != nil {
					break
				}
			}
			if !errors.Is(err, noise.ErrMAC) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

// Ensure a stream that ends inside a frame is told from one that ends between two.
func TestConn_TellsTruncationFromEnd(t *testing.T) {
	for _, cut := range []int{0, 1, 21, 22, 23, 61, 62} {
		pool, miner := pair(t)
		wire := miner.AppendFrame(nil, frame(24))
		miner.Conn.Write(wire[:cut])
		miner.Close()
		_, _, err := pool.ReadFrame(nil, nil)
		if cut == len(wire) && err == nil {
			_, _, err = pool.ReadFrame(nil, nil)
		}
		want := io.ErrUnexpectedEOF
		if cut == 0 || cut == len(wire) {
			want = io.EOF
		}
		if !errors.Is(err, want) {
			t.Errorf("after %d bytes: got %v, want %v", cut, err, want)
		}
	}
}

// Ensure a deadline that passes while waiting for a header loses nothing.
func TestConn_HeaderSurvivesDeadline(t *testing.T) {
	pool, miner := pair(t)
	wire := miner.AppendFrame(nil, frame(24))
	miner.Conn.Write(wire[:10])
	pool.SetReadDeadline(time.Unix(1, 0))
	var timeout net.Error
	if _, err := pool.ReadHeader(); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("got %v, want a timeout", err)
	}
	pool.SetReadDeadline(time.Time{})
	miner.Conn.Write(wire[10:])
	header, payload, err := pool.ReadFrame(nil, nil)
	if err != nil || !bytes.Equal(append(header[:], payload...), frame(24)) {
		t.Fatalf("got %x %x %v", header, payload, err)
	}
}

// hasty is a transport whose reads get a few bytes or come too early, in turn.
type hasty struct {
	net.Conn
	most  int
	early bool
}

func (h *hasty) Read(p []byte) (int, error) {
	if h.early = !h.early; h.early {
		return 0, os.ErrDeadlineExceeded
	}
	return h.Conn.Read(p[:min(len(p), h.most)])
}

// Ensure frames whose bytes come too late for a deadline again and again arrive whole, whatever their size.
func TestConn_FramesSurviveDeadlines(t *testing.T) {
	for _, most := range []int{1, 7, 39, 40, 41, 5000} {
		pool, miner := pair(t)
		pool.Conn = &hasty{Conn: pool.Conn, most: most}
		sizes := []int{24, 3, 200, 0, 82, 112, 113, 4096}
		if most > 1000 {
			sizes = append(sizes, 65519, 65519+40)
		}
		var sent, got []byte
		for _, size := range sizes {
			sent = append(sent, frame(size)...)
		}
		go miner.Write(sent)
		var buf [100]byte
		for len(got) < len(sent) {
			header, err := pool.ReadHeader()
			for errors.Is(err, os.ErrDeadlineExceeded) {
				header, err = pool.ReadHeader()
			}
			if err != nil {
				t.Fatal(err)
			}
			payload, err := pool.ReadPayload(buf[:])
			for errors.Is(err, os.ErrDeadlineExceeded) {
				clear(buf[:]) // it may be lent to somebody else meanwhile
				payload, err = pool.ReadPayload(buf[:])
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(append(got, header[:]...), payload...)
		}
		if !bytes.Equal(got, sent) {
			t.Errorf("%d bytes at most: frames arrived changed", most)
		}
	}
}

// Ensure header and payload are read in turn.
func TestConn_RefusesHeaderBeforePayload(t *testing.T) {
	pool, miner := pair(t)
	miner.Write(frame(5))
	if _, err := pool.ReadHeader(); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.ReadHeader(); !errors.Is(err, noise.ErrOrder) {
		t.Fatalf("got %v", err)
	}
	if p, err := pool.ReadPayload(nil); err != nil || len(p) != 5 {
		t.Fatalf("got %x %v", p, err)
	}
}

// Ensure Read and Write carry frames as a stream of bytes.
func TestConn_IsANetConn(t *testing.T) {
	var _ net.Conn = (*noise.Conn)(nil)
	pool, miner := pair(t)
	sent := append(append(frame(10), frame(0)...), frame(70000)...)
	go func() {
		miner.Write(sent)
		miner.Close()
	}()
	got, err := io.ReadAll(iotestOneByte{pool})
	if err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("got %d bytes, %v", len(got), err)
	}
}

// Ensure Write takes whole frames only, and seals nothing of what it refuses.
func TestConn_WriteRefusesPartOfAFrame(t *testing.T) {
	pool, miner := pair(t)
	for _, p := range [][]byte{frame(4)[:9], frame(0)[:3], append(frame(2), 1)} {
		if n, err := miner.Write(p); n != 0 || !errors.Is(err, noise.ErrFrame) {
			t.Fatalf("Write(%x) = %d, %v", p, n, err)
		}
	}
	if _, err := miner.Write(frame(8)); err != nil {
		t.Fatal(err)
	}
	if _, p, err := pool.ReadFrame(nil, nil); err != nil || len(p) != 8 {
		t.Fatalf("got %x %v", p, err)
	}
}

type iotestOneByte struct{ r io.Reader }

func (o iotestOneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), 3)]) }
