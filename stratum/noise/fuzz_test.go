package noise

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"time"
)

// script is a connection that says what it was given and swallows what it is told.
type script struct {
	net.Conn // nil: nothing else may be called
	in       *bytes.Reader
	out      int
}

func (s *script) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s *script) Write(p []byte) (int, error) { s.out += len(p); return len(p), nil }

func fuzzIdentity(f *testing.F) *Identity {
	f.Helper()
	a, err := NewAuthority()
	if err != nil {
		f.Fatal(err)
	}
	id, err := NewIdentity(a, testTime, testTime.Add(time.Hour))
	if err != nil {
		f.Fatal(err)
	}
	return id
}

// FuzzAccept gives the responder arbitrary bytes: any 64 are a key and are answered, what
// comes after never authenticates.
func FuzzAccept(f *testing.F) {
	id := fuzzIdentity(f)
	for _, seed := range [][]byte{nil, make([]byte, 63), make([]byte, 64), bytes.Repeat([]byte{255}, 86)} {
		f.Add(seed, 0)
	}
	f.Add([]byte(`{"id":1,"method":"mining.subscribe","params":[]}`), 16)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		first := b[:max(0, min(n, len(b)))]
		conn := &script{in: bytes.NewReader(b[len(first):])}
		c, err := AcceptAfter(conn, first, id)
		if ok := len(b) >= Act1Size && len(first) <= Act1Size; ok != (err == nil) {
			t.Fatalf("%d bytes, %d of them first: %v", len(b), len(first), err)
		}
		if err != nil {
			if conn.out != 0 {
				t.Fatalf("%d bytes were answered to a refused peer", conn.out)
			}
			return
		}
		if conn.out != Act2Size {
			t.Fatalf("answered %d bytes, want %d", conn.out, Act2Size)
		}
		if _, _, err := c.ReadFrame(nil, nil); err == nil {
			t.Fatal("bytes from before the answer were taken for a frame")
		}
	})
}

// FuzzFinish gives the initiator an arbitrary act 2. None authenticates.
func FuzzFinish(f *testing.F) {
	e, err := newKeypair()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(make([]byte, Act2Size))
	f.Add(bytes.Repeat([]byte{255}, Act2Size))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != Act2Size {
			return
		}
		i := initiator{e: e}
		i.begin()
		if err := i.finish((*[Act2Size]byte)(b), nil, testTime); !errors.Is(err, ErrHandshake) {
			t.Fatalf("got %v", err)
		}
	})
}

// FuzzReadFrame changes a good stream of three frames at one place, or cuts it. What comes out
// is a prefix of what went in, whatever the buffer, and then the session is over.
func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("payload"), 3, byte(1), 100, 16)
	f.Add(make([]byte, 24), 30, byte(0), 62, 64)
	f.Add([]byte{}, 0, byte(128), 22, 0)
	f.Fuzz(func(t *testing.T, payload []byte, at int, change byte, cut, room int) {
		payload = payload[:min(len(payload), 1<<10)]
		frame := []byte{0, 0x80, 0x1b, byte(len(payload)), byte(len(payload) >> 8), 0}
		frame = append(frame, payload...)
		k := [32]byte{3}
		sender := newConn(nil, &k, &k)
		var wire []byte
		for range 3 {
			wire = sender.AppendFrame(wire, frame)
		}
		size := len(wire) / 3
		whole := 3 // frames before the damage
		if cut >= 0 && cut < len(wire) {
			wire = wire[:cut]
			whole = cut / size
		}
		if at >= 0 && at < len(wire) && change != 0 {
			wire[at] ^= change
			whole = min(whole, at/size)
		}
		buf := make([]byte, max(0, min(room, 1<<10)))
		c := newConn(&script{in: bytes.NewReader(wire)}, &k, &k)
		for i := 0; ; i++ {
			header, got, err := c.ReadFrame(buf, nil)
			if err != nil {
				if i != whole {
					t.Fatalf("%d frames came through, want %d: %v", i, whole, err)
				}
				return
			}
			if i >= whole || !bytes.Equal(append(header[:], got...), frame) {
				t.Fatalf("frame %d of %d came through changed", i, whole)
			}
		}
	})
}

// FuzzReadFrame_Bytes reads arbitrary bytes as frames. The first never authenticates, and no
// memory is taken for it.
func FuzzReadFrame_Bytes(f *testing.F) {
	f.Add(make([]byte, 200))
	f.Fuzz(func(t *testing.T, b []byte) {
		k := [32]byte{4}
		c := newConn(&script{in: bytes.NewReader(b)}, &k, &k)
		asked := func([6]byte) error {
			t.Fatal("a header came through")
			return nil
		}
		if _, _, err := c.ReadFrame(nil, asked); err == nil {
			t.Fatal("a frame came through")
		}
	})
}

// FuzzParsePublicKey reads arbitrary text as both kinds of key: what is accepted is written the same.
func FuzzParsePublicKey(f *testing.F) {
	for _, k := range loadVectors(f).AuthorityKeys {
		f.Add(k.Text + k.Public)
		f.Add(k.Secret)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := ParsePublicKey(text); err == nil && k.String() != text {
			t.Errorf("public key %q is written %q", text, k)
		}
		if a, err := ParseAuthority(text); err == nil && a.Secret() != text {
			t.Errorf("secret key %q is written otherwise", text)
		}
	})
}

// FuzzCertificate changes a certificate: whatever bytes a peer shows, they vouch for a key only if they
// are the ones that were signed.
func FuzzCertificate(f *testing.F) {
	a, err := NewAuthority()
	if err != nil {
		f.Fatal(err)
	}
	public, static := a.Public(), [keySize]byte{1}
	good, err := newCertificate(a, &static, testTime, testTime.Add(time.Hour), new([32]byte))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(make([]byte, certificateSize), static[:])
	f.Add([]byte{}, static[:])
	f.Add(bytes.Repeat([]byte{255}, certificateSize), make([]byte, keySize))
	f.Fuzz(func(t *testing.T, change, key []byte) {
		c, k := good, static
		for i := range min(len(change), certificateSize) {
			c[i] ^= change[i]
		}
		copy(k[:], key)
		err := c.check(&public, &k, testTime)
		if same := c == good && k == static; same != (err == nil) {
			t.Fatalf("changed by %x for key %x: %v", change, k, err)
		}
		if err := c.check((*PublicKey)(&k), &static, time.Time{}); err == nil {
			t.Fatalf("authority %x vouches for what it never saw", k)
		}
	})
}
