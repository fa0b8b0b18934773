package noise

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ellswift"
	second "github.com/flynn/noise"
)

// ellswiftDH teaches the second implementation our curve. Its interface shows DH only the
// private key, so ours carries its own encoding behind the scalar.
type ellswiftDH struct{ initiator bool }

func (ellswiftDH) DHLen() int     { return encodedSize }
func (ellswiftDH) DHName() string { return "Secp256k1+EllSwift" }

func (ellswiftDH) GenerateKeypair(io.Reader) (second.DHKey, error) {
	secret, encoded, err := ellswift.EllswiftCreate()
	if err != nil {
		return second.DHKey{}, err
	}
	return second.DHKey{Private: append(secret.Serialize(), encoded[:]...), Public: encoded[:]}, nil
}

func (d ellswiftDH) DH(private, public []byte) ([]byte, error) {
	secret, _ := btcec.PrivKeyFromBytes(private[:32])
	shared, err := ellswift.V2Ecdh(secret, [64]byte(public), [64]byte(private[32:]), d.initiator)
	if err != nil {
		return nil, err
	}
	return shared[:], nil
}

func secondConfig(initiator bool) second.Config {
	suite := second.NewCipherSuite(ellswiftDH{initiator}, second.CipherChaChaPoly, second.HashSHA256)
	return second.Config{CipherSuite: suite, Pattern: second.HandshakeNX, Initiator: initiator}
}

// sealSecond is a frame as the second implementation seals it.
func sealSecond(t *testing.T, c *second.CipherState, frame []byte) (wire []byte) {
	t.Helper()
	seal := func(p []byte) {
		var err error
		if wire, err = c.Encrypt(wire, nil, p); err != nil {
			t.Fatal(err)
		}
	}
	seal(frame[:HeaderSize])
	for p := frame[HeaderSize:]; len(p) > 0; {
		n := min(len(p), blockSize)
		seal(p[:n])
		p = p[n:]
	}
	return wire
}

// exchange holds our conn to the second implementation's ciphers, both ways.
func exchange(t *testing.T, c *Conn, peer net.Conn, send, receive *second.CipherState) {
	t.Helper()
	for _, n := range []int{0, 1, 24, 300, blockSize, blockSize + 1} {
		frame := make([]byte, HeaderSize+n)
		binary.LittleEndian.PutUint32(frame[2:], uint32(n)<<8|7)
		go peer.Write(sealSecond(t, send, frame))
		header, payload, err := c.ReadFrame(nil, nil)
		if err != nil || !bytes.Equal(append(header[:], payload...), frame) {
			t.Fatalf("reading %d bytes: %v", n, err)
		}
		if got, want := c.AppendFrame(nil, frame), sealSecond(t, receive, frame); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes are sealed otherwise", n)
		}
	}
}

// Ensure our initiator and the responder of another implementation understand each other.
func TestConnect_AgreesWithSecondImplementation(t *testing.T) {
	for range 10 {
		a, err := NewAuthority()
		if err != nil {
			t.Fatal(err)
		}
		id, err := NewIdentity(a, testTime, testTime.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		config := secondConfig(false)
		config.StaticKeypair = second.DHKey{
			Private: append(id.static.secret.Serialize(), id.static.encoded[:]...),
			Public:  id.static.encoded[:],
		}
		peer, err := second.NewHandshakeState(config)
		if err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		ciphers := make(chan [2]*second.CipherState, 1)
		go func() {
			defer close(ciphers)
			act1 := make([]byte, Act1Size)
			if _, err := io.ReadFull(far, act1); err != nil {
				return
			}
			if p, _, _, err := peer.ReadMessage(nil, act1); err != nil || len(p) != 0 {
				t.Errorf("act 1: %x %v", p, err)
			}
			act2, k1, k2, err := peer.WriteMessage(nil, id.certificate[:])
			if err != nil || len(act2) != Act2Size {
				t.Errorf("act 2 has %d bytes: %v", len(act2), err)
			}
			far.Write(act2)
			ciphers <- [2]*second.CipherState{k1, k2}
		}()
		public := a.Public()
		c, err := Connect(near, &public, testTime)
		if err != nil {
			t.Fatal(err)
		}
		k := <-ciphers
		exchange(t, c, far, k[1], k[0])
	}
}

// Ensure our responder and the initiator of another implementation understand each other.
func TestAccept_AgreesWithSecondImplementation(t *testing.T) {
	a, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	id, err := NewIdentity(a, testTime, testTime.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		peer, err := second.NewHandshakeState(secondConfig(true))
		if err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		conns := make(chan *Conn, 1)
		go func() {
			c, err := Accept(near, id)
			if err != nil {
				t.Error(err)
			}
			conns <- c
		}()
		act1, _, _, err := peer.WriteMessage(nil, nil)
		if err != nil || len(act1) != Act1Size {
			t.Fatalf("act 1 has %d bytes: %v", len(act1), err)
		}
		far.Write(act1)
		act2 := make([]byte, Act2Size)
		if _, err := io.ReadFull(far, act2); err != nil {
			t.Fatal(err)
		}
		payload, k1, k2, err := peer.ReadMessage(nil, act2)
		if err != nil {
			t.Fatal(err)
		}
		public := a.Public()
		static, err := xOnly((*[encodedSize]byte)(peer.PeerStatic()))
		if err != nil {
			t.Fatal(err)
		}
		c := certificate(payload)
		if err := c.check(&public, &static, testTime); err != nil {
			t.Fatal(err)
		}
		exchange(t, <-conns, far, k1, k2)
	}
}
