package noise

import (
	"fmt"
	"io"
	"net"
	"time"
)

// Sizes of the two handshake messages. The text of the specification once said 170
// for the second; its fields, and every implementation, have 234.
const (
	Act1Size = encodedSize
	Act2Size = encodedSize + (encodedSize + Overhead) + (certificateSize + Overhead)
)

// Accept is the responder's handshake on conn: it reads 64 bytes and writes 234. It blocks as
// long as conn does; set a deadline before and clear it after. On an error the caller closes conn.
func Accept(conn net.Conn, id *Identity) (*Conn, error) {
	return AcceptAfter(conn, nil, id)
}

// AcceptAfter is Accept for a connection from which the first bytes were already read, to
// tell the dialects apart. It does not keep first.
func AcceptAfter(conn net.Conn, first []byte, id *Identity) (*Conn, error) {
	var act1 [Act1Size]byte
	if len(first) > Act1Size {
		return nil, fmt.Errorf("%w: %d bytes came before the answer, where act 1 has %d",
			ErrHandshake, len(first), Act1Size)
	}
	n := copy(act1[:], first)
	if _, err := io.ReadFull(conn, act1[n:]); err != nil {
		return nil, fmt.Errorf("reading act 1: %w", err)
	}
	e, err := id.ephemeral()
	if err != nil {
		return nil, err
	}
	defer e.wipe()
	r := responder{id: id, e: e}
	act2, err := r.answer(&act1)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(act2); err != nil {
		return nil, fmt.Errorf("writing act 2: %w", err)
	}
	k1, k2 := r.split()
	return newConn(conn, &k1, &k2), nil
}

// Connect is the initiator's handshake on conn. A nil authority accepts any responder,
// which protects against listeners but not against somebody in between. A zero now leaves
// out the certificate's times, for machines without a clock. On an error the caller closes conn.
func Connect(conn net.Conn, authority *PublicKey, now time.Time) (*Conn, error) {
	e, err := newKeypair()
	if err != nil {
		return nil, err
	}
	defer e.wipe()
	i := initiator{e: e}
	i.begin()
	if _, err := conn.Write(e.encoded[:]); err != nil {
		return nil, fmt.Errorf("writing act 1: %w", err)
	}
	var act2 [Act2Size]byte
	if _, err := io.ReadFull(conn, act2[:]); err != nil {
		return nil, fmt.Errorf("reading act 2: %w", err)
	}
	if err := i.finish(&act2, authority, now); err != nil {
		return nil, err
	}
	k1, k2 := i.split()
	return newConn(conn, &k2, &k1), nil
}

// responder is the server's side of one handshake. Its steps are apart so that a test
// can hold each of them to the published transcript.
type responder struct {
	symmetric
	id *Identity
	e  keypair
	re [encodedSize]byte
	es [32]byte // computed with ee, mixed in later
}

// answer is act 2 for act 1.
func (r *responder) answer(act1 *[Act1Size]byte) ([]byte, error) {
	r.hear(act1)
	act2, err := r.ephemeral(make([]byte, 0, Act2Size))
	if err != nil {
		return nil, err
	}
	act2 = r.static(act2)
	r.mixStatic()
	return r.vouch(act2), nil
}

// hear takes act 1: "-> e" with an empty payload, which is mixed in too.
func (r *responder) hear(act1 *[Act1Size]byte) {
	r.init()
	r.re = *act1
	r.mixHash(r.re[:])
	r.mixHash(nil)
}

// ephemeral appends "<- e, ee".
func (r *responder) ephemeral(dst []byte) ([]byte, error) {
	r.mixHash(r.e.encoded[:])
	ee, es, err := ecdhBoth(&r.e, &r.id.static, &r.re)
	if err != nil {
		return nil, err
	}
	r.mixKey(ee[:])
	r.es = es
	return append(dst, r.e.encoded[:]...), nil
}

// static appends "<- s", sealed.
func (r *responder) static(dst []byte) []byte {
	return r.sealAndHash(dst, r.id.static.encoded[:])
}

// mixStatic is "<- es".
func (r *responder) mixStatic() { r.mixKey(r.es[:]) }

// vouch appends the certificate, sealed.
func (r *responder) vouch(dst []byte) []byte {
	return r.sealAndHash(dst, r.id.certificate[:])
}

// initiator is the miner's side of one handshake.
type initiator struct {
	symmetric
	e keypair
}

// begin is "-> e" with an empty payload.
func (i *initiator) begin() {
	i.init()
	i.mixHash(i.e.encoded[:])
	i.mixHash(nil)
}

// finish takes act 2. Nothing of it may be trusted before all of it was checked.
func (i *initiator) finish(act2 *[Act2Size]byte, authority *PublicKey, now time.Time) error {
	re := [encodedSize]byte(act2[:encodedSize])
	i.mixHash(re[:])
	shared, err := i.e.ecdh(&re, true)
	if err != nil {
		return err
	}
	i.mixKey(shared[:])
	rest := act2[encodedSize:]
	plain, err := i.openAndHash(rest[:encodedSize+Overhead])
	if err != nil {
		return fmt.Errorf("%w: static key: %w", ErrHandshake, err)
	}
	rs := [encodedSize]byte(plain)
	if shared, err = i.e.ecdh(&rs, true); err != nil {
		return err
	}
	i.mixKey(shared[:])
	plain, err = i.openAndHash(rest[encodedSize+Overhead:])
	if err != nil {
		return fmt.Errorf("%w: certificate: %w", ErrHandshake, err)
	}
	if authority == nil {
		return nil
	}
	static, err := xOnly(&rs)
	if err != nil {
		return err
	}
	c := certificate(plain)
	return c.check(authority, &static, now)
}
