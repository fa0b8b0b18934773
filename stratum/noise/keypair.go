package noise

import (
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ellswift"
)

// encodedSize is the size of a public key as it travels: ElligatorSwift, which looks like random bytes.
const encodedSize = 64

// keypair is a secp256k1 key with one of its ElligatorSwift encodings. The encoding is
// part of the key here: it is hashed as sent, and the ECDH covers both sides' encodings.
type keypair struct {
	secret  *btcec.PrivateKey
	encoded [encodedSize]byte
}

func newKeypair() (keypair, error) {
	secret, encoded, err := ellswift.EllswiftCreate()
	if err != nil {
		return keypair{}, fmt.Errorf("making a key: %w", err)
	}
	return keypair{secret: secret, encoded: encoded}, nil
}

// wipe forgets the secret. An ephemeral key is used for one handshake only.
func (k *keypair) wipe() { k.secret.Zero() }

// ecdh is BIP324's v2_ecdh. The hash under it takes the initiator's encoding first, whoever computes.
func (k *keypair) ecdh(theirs *[encodedSize]byte, initiator bool) ([32]byte, error) {
	shared, err := ellswift.V2Ecdh(k.secret, *theirs, k.encoded, initiator)
	if err != nil {
		return [32]byte{}, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	return *shared, nil
}

// xOnly is the x coordinate behind an encoding. Every 64 bytes are an encoding of some key.
func xOnly(encoded *[encodedSize]byte) ([keySize]byte, error) {
	var u, t btcec.FieldVal
	// SetByteSlice says whether the bytes are at or above the prime; ElligatorSwift
	// takes them modulo the prime then.
	u.SetByteSlice(encoded[:32])
	t.SetByteSlice(encoded[32:])
	x, err := ellswift.XSwiftEC(u.Normalize(), t.Normalize())
	if err != nil {
		return [keySize]byte{}, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	return *x.Bytes(), nil
}
