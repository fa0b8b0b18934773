package noise

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"
)

const (
	// certificateVersion is the only one that deployed initiators accept.
	certificateVersion = 0
	certificateSize    = 2 + 4 + 4 + schnorr.SignatureSize

	// clockSkew is how far the clocks of a miner and its pool may disagree.
	clockSkew = 10 * time.Second
)

// certificate is the SIGNATURE_NOISE_MESSAGE (sv2-spec 04 §4.5.2), little-endian:
//
//	 0  version         2  0
//	 2  valid_from      4  Unix seconds
//	 6  not_valid_after 4  Unix seconds
//	10  signature      64  BIP340, by the authority, over SHA-256 of bytes 0..9 and
//	                       the responder's static key, x-only
type certificate [certificateSize]byte

// newCertificate signs static, an x-only key.
func newCertificate(
	a *Authority, static *[keySize]byte, from, until time.Time, aux *[32]byte,
) (certificate, error) {
	var c certificate
	if !fitsUint32(from) || !fitsUint32(until) || !from.Before(until) {
		return c, fmt.Errorf("%w: from %v until %v, where from < until in 1970..2106 is accepted",
			ErrValidity, from.UTC(), until.UTC())
	}
	binary.LittleEndian.PutUint16(c[0:], certificateVersion)
	binary.LittleEndian.PutUint32(c[2:], uint32(from.Unix()))
	binary.LittleEndian.PutUint32(c[6:], uint32(until.Unix()))
	digest := c.digest(static)
	sig, err := schnorr.Sign(a.secret, digest[:], schnorr.CustomNonce(*aux))
	if err != nil {
		return c, fmt.Errorf("signing the certificate: %w", err)
	}
	copy(c[10:], sig.Serialize())
	return c, nil
}

func fitsUint32(t time.Time) bool {
	s := t.Unix()
	return s >= 0 && s <= 1<<32-1
}

func (c *certificate) from() time.Time { return time.Unix(int64(binary.LittleEndian.Uint32(c[2:])), 0) }

func (c *certificate) until() time.Time {
	return time.Unix(int64(binary.LittleEndian.Uint32(c[6:])), 0)
}

// digest is what the authority signs.
func (c *certificate) digest(static *[keySize]byte) [32]byte {
	return sha256.Sum256(append(append(make([]byte, 0, 10+keySize), c[:10]...), static[:]...))
}

// check reports why the certificate does not vouch for static at now. A zero now
// leaves out the times, for machines without a clock.
func (c *certificate) check(authority *PublicKey, static *[keySize]byte, now time.Time) error {
	if v := binary.LittleEndian.Uint16(c[0:]); v != certificateVersion {
		return fmt.Errorf("%w: version %d where %d is known", ErrCertificate, v, certificateVersion)
	}
	if !now.IsZero() && (now.Before(c.from().Add(-clockSkew)) || now.After(c.until().Add(clockSkew))) {
		return fmt.Errorf("%w: valid from %v until %v, and it is %v",
			ErrCertificate, c.from().UTC(), c.until().UTC(), now.UTC())
	}
	key, err := schnorr.ParsePubKey(authority[:])
	if err != nil {
		return fmt.Errorf("%w: authority key: %w", ErrCertificate, err)
	}
	sig, err := schnorr.ParseSignature(c[10:])
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	if digest := c.digest(static); !sig.Verify(digest[:], key) {
		return fmt.Errorf("%w: not signed by authority %v", ErrCertificate, authority)
	}
	return nil
}
