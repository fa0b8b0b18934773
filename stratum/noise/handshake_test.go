package noise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

var testTime = time.Unix(1767225600, 0)

// answered is an initiator before act 2, and the act 2 that a responder gave it.
func answered(t *testing.T) (i initiator, act2 [Act2Size]byte, public PublicKey) {
	t.Helper()
	a, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	id, err := NewIdentity(a, testTime.Add(-time.Minute), testTime.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	re, err := newKeypair()
	if err != nil {
		t.Fatal(err)
	}
	if i.e, err = newKeypair(); err != nil {
		t.Fatal(err)
	}
	r := responder{id: id, e: re}
	b, err := r.answer(&i.e.encoded)
	if err != nil {
		t.Fatal(err)
	}
	i.begin()
	return i, [Act2Size]byte(b), a.Public()
}

// Ensure no single bit of act 2 can be changed on the way.
func TestSV2_005_ConnectRefusesEveryBitFlipOfAct2(t *testing.T) {
	t.Parallel()
	i, act2, public := answered(t)
	again := i
	if err := again.finish(&act2, &public, testTime); err != nil {
		t.Fatalf("unchanged: %v", err)
	}
	const parts = 4
	for part := range parts {
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			t.Parallel()
			for bit := part * stride; bit < Act2Size*8; bit += parts * stride {
				again, changed := i, act2
				changed[bit/8] ^= 1 << (bit % 8)
				if err := again.finish(&changed, &public, testTime); !errors.Is(err, ErrHandshake) {
					t.Fatalf("bit %d: got %v", bit, err)
				}
			}
		})
	}
}

// Ensure a certificate counts only from the right authority, in its time, and with version 0.
func TestSV2_005_ConnectChecksCertificate(t *testing.T) {
	from, until := testTime.Add(-time.Minute), testTime.Add(time.Hour)
	stranger, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	other := stranger.Public()
	i, act2, public := answered(t)
	for _, c := range []struct {
		name      string
		authority *PublicKey
		now       time.Time
		want      error
	}{
		{"now", &public, testTime, nil},
		{"first second", &public, from, nil},
		{"last second", &public, until, nil},
		{"within the skew before", &public, from.Add(-clockSkew), nil},
		{"within the skew after", &public, until.Add(clockSkew), nil},
		{"too early", &public, from.Add(-clockSkew - time.Second), ErrCertificate},
		{"too late", &public, until.Add(clockSkew + time.Second), ErrCertificate},
		{"no clock", &public, time.Time{}, nil},
		{"other authority", &other, testTime, ErrCertificate},
		{"no authority", nil, testTime.Add(24 * time.Hour), nil},
		{"authority that is no key", &PublicKey{31: 5}, testTime, ErrCertificate},
	} {
		again := i
		if err := again.finish(&act2, c.authority, c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

// Ensure a certificate of another version, or for another key, is refused though it is signed.
func TestSV2_004_CertificateRefusesOtherVersionAndKey(t *testing.T) {
	a, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	public := a.Public()
	static := [keySize]byte{1}
	c, err := newCertificate(a, &static, testTime, testTime.Add(time.Hour), new([32]byte))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.check(&public, &static, testTime); err != nil {
		t.Fatal(err)
	}
	if err := c.check(&public, &[keySize]byte{2}, testTime); !errors.Is(err, ErrCertificate) {
		t.Errorf("another key: got %v", err)
	}
	for i := range certificateSize {
		changed := c
		changed[i] ^= 1 << (i % 8)
		if err := changed.check(&public, &static, testTime); !errors.Is(err, ErrCertificate) {
			t.Errorf("byte %d: got %v", i, err)
		}
	}
}

// Ensure a certificate's period is refused when it is empty, reversed or does not fit its fields.
func TestNewIdentity_RefusesBadPeriod(t *testing.T) {
	a, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string][2]time.Time{
		"empty":       {testTime, testTime},
		"reversed":    {testTime, testTime.Add(-time.Hour)},
		"before 1970": {time.Unix(-1, 0), testTime},
		"after 2106":  {testTime, time.Unix(1<<32, 0)},
		"zero":        {},
	} {
		if _, err := NewIdentity(a, p[0], p[1]); !errors.Is(err, ErrValidity) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	id, err := NewIdentity(a, testTime, testTime.Add(time.Hour))
	if err != nil || !id.Until().Equal(testTime.Add(time.Hour)) {
		t.Errorf("until %v, %v", id.Until(), err)
	}
}

// Ensure a handshake goes on from bytes that were read to tell the dialects apart.
func TestAcceptAfter_TakesFirstBytes(t *testing.T) {
	a, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	id, err := NewIdentity(a, testTime, testTime.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	public := a.Public()
	for _, n := range []int{0, 1, 16, Act1Size} {
		near, far := net.Pipe()
		done := make(chan error, 1)
		go func() {
			defer near.Close()
			first := make([]byte, n)
			if _, err := io.ReadFull(near, first); err != nil {
				done <- err
				return
			}
			c, err := AcceptAfter(near, first, id)
			if err == nil {
				_, err = c.Write([]byte{1, 0, 1, 0, 0, 0})
			}
			done <- err
		}()
		c, err := Connect(far, &public, testTime)
		if err != nil {
			t.Fatal(err)
		}
		if h, _, err := c.ReadFrame(nil, nil); err != nil || h != [6]byte{1, 0, 1} {
			t.Fatalf("after %d bytes: got %x, %v", n, h, err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if _, err := AcceptAfter(nil, make([]byte, Act1Size+1), id); !errors.Is(err, ErrHandshake) {
		t.Errorf("more than act 1: got %v", err)
	}
}

// Ensure a peer that goes away during the handshake leaves an error, not a connection.
func TestAccept_ReportsEndOfStream(t *testing.T) {
	a, _ := NewAuthority()
	id, err := NewIdentity(a, testTime, testTime.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 63, 64} {
		near, far := net.Pipe()
		go func() {
			far.Write(make([]byte, n))
			far.Close()
		}()
		if c, err := Accept(near, id); err == nil {
			t.Errorf("after %d bytes: got %v", n, c)
		}
	}
	near, far := net.Pipe()
	go func() {
		io.ReadFull(far, make([]byte, Act1Size))
		far.Write(make([]byte, 100))
		far.Close()
	}()
	if _, err := Connect(near, nil, testTime); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half of act 2: got %v", err)
	}
}

// Ensure a stock fills to its size, gives each key once, is no fault when empty, and ends.
func TestStock_GivesEachKeyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewStock(3)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		synctest.Wait()
		if s.Len() != 3 {
			t.Fatalf("%d keys, want 3", s.Len())
		}
		id := &Identity{Stock: s}
		seen := map[[encodedSize]byte]bool{}
		for range 8 {
			k, err := id.ephemeral()
			if err != nil || seen[k.encoded] {
				t.Fatalf("key %x came twice, or %v", k.encoded, err)
			}
			seen[k.encoded] = true
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	s := NewStock(0)
	if _, ok := s.take(); ok || s.Len() != 0 {
		t.Error("a new stock is not empty")
	}
}

// Ensure the reserved nonce is never used, in either direction.
func TestConn_NeverUsesLastNonce(t *testing.T) {
	near, far := net.Pipe()
	pool, miner := Twin(near, far)
	const last = 1<<64 - 1
	miner.out.n, pool.in.n = last-2, last-2
	wire := miner.AppendFrame(nil, []byte{0, 0, 0, 1, 0, 0, 7}) // takes the last two
	go far.Write(wire)
	if _, p, err := pool.ReadFrame(nil, nil); err != nil || !bytes.Equal(p, []byte{7}) {
		t.Fatalf("got %x, %v", p, err)
	}
	go far.Write(make([]byte, 22))
	if _, err := pool.ReadHeader(); !errors.Is(err, ErrNonce) {
		t.Errorf("got %v, want %v", err, ErrNonce)
	}
	defer func() {
		if recover() == nil {
			t.Error("a frame was sealed with the reserved nonce")
		}
	}()
	miner.AppendFrame(nil, make([]byte, 6))
}

// Ensure an idle connection is small: thousands of them wait at a time.
func TestConn_IsSmall(t *testing.T) {
	if size := int(sizeofConn); size > 384 {
		t.Errorf("a Conn has %d bytes", size)
	}
}
