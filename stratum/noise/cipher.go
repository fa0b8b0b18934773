package noise

import (
	"crypto/cipher"
	"encoding/binary"
	"math"

	"golang.org/x/crypto/chacha20poly1305"
)

// cipherState seals or opens the blocks of one direction. Each block has its own
// nonce; a counter that would reach 2^64-1 ends the key's life, for that value is
// reserved and a nonce must never come twice.
type cipherState struct {
	aead cipher.AEAD
	n    uint64

	// nonce lives here and not on the stack: through the AEAD interface it
	// would escape, and cost an allocation for every block.
	nonce [chacha20poly1305.NonceSize]byte
}

// initialize starts over with a new key, at nonce 0.
func (c *cipherState) initialize(key *[32]byte) {
	aead, err := chacha20poly1305.New(key[:])
	if err != nil {
		// The key has the right size, so this is a FIPS-140-only process, in
		// which no Stratum V2 connection can exist at all.
		panic("noise: " + err.Error())
	}
	c.aead, c.n = aead, 0
}

// exhausted reports whether fewer than blocks nonces are left.
func (c *cipherState) exhausted(blocks int) bool {
	return c.n > math.MaxUint64-uint64(blocks)
}

// seal appends the sealed plain to dst. The caller has asked exhausted.
func (c *cipherState) seal(dst, plain, ad []byte) []byte {
	binary.LittleEndian.PutUint64(c.nonce[4:], c.n)
	c.n++
	return c.aead.Seal(dst, c.nonce[:], plain, ad)
}

// open appends the plaintext of one sealed block to dst. The nonce moves on only when
// the block authenticates.
func (c *cipherState) open(dst, sealed, ad []byte) ([]byte, error) {
	if c.exhausted(1) {
		return nil, ErrNonce
	}
	binary.LittleEndian.PutUint64(c.nonce[4:], c.n)
	out, err := c.aead.Open(dst, c.nonce[:], sealed, ad)
	if err != nil {
		return nil, ErrMAC
	}
	c.n++
	return out, nil
}
