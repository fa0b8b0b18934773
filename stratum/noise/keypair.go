package noise

import (
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ellswift"
	"github.com/btcsuite/btcd/chainhash/v2"
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
	secret, err := btcec.NewPrivateKey()
	if err != nil {
		return keypair{}, fmt.Errorf("making a key: %w", err)
	}
	var public btcec.JacobianPoint
	btcec.ScalarBaseMultNonConst(&secret.Key, &public)
	public.ToAffine()
	return keypair{secret: secret, encoded: encode(&public.X)}, nil
}

// wipe forgets the secret. An ephemeral key is used for one handshake only.
func (k *keypair) wipe() { k.secret.Zero() }

// ecdhTag is the tag of BIP324's hash over a shared secret.
var ecdhTag = []byte("bip324_ellswift_xonly_ecdh")

// ecdhBoth is ecdh with the responder's two keys, ephemeral and static, against one key of the initiator:
// its encoding is mapped to the curve once, and one inversion serves both results.
func ecdhBoth(e, s *keypair, theirs *[encodedSize]byte) (ee, es [32]byte, err error) {
	p, err := decode(theirs)
	if err != nil {
		return ee, es, err
	}
	var a, b btcec.JacobianPoint
	btcec.ScalarMultNonConst(&e.secret.Key, &p, &a)
	btcec.ScalarMultNonConst(&s.secret.Key, &p, &b)
	// The affine x is X/Z^2. Neither Z is 0: the group's order is prime and no secret is 0.
	inverse := new(btcec.FieldVal).Mul2(&a.Z, &b.Z).Inverse()
	za := new(btcec.FieldVal).Mul2(inverse, &b.Z).Square()
	zb := new(btcec.FieldVal).Mul2(inverse, &a.Z).Square()
	xa, xb := a.X.Mul(za).Normalize().Bytes(), b.X.Mul(zb).Normalize().Bytes()
	ee = *chainhash.TaggedHash(ecdhTag, theirs[:], e.encoded[:], xa[:])
	es = *chainhash.TaggedHash(ecdhTag, theirs[:], s.encoded[:], xb[:])
	return ee, es, nil
}

// decode is a point behind an encoding. Which of the two with its x does not matter to an ECDH that looks
// at x only.
func decode(encoded *[encodedSize]byte) (p btcec.JacobianPoint, err error) {
	x, err := xOnly(encoded)
	if err != nil {
		return p, err
	}
	p.X.SetBytes(&x)
	square := new(btcec.FieldVal).SquareVal(&p.X).Mul(&p.X).AddInt(7)
	if !p.Y.SquareRootVal(square) { // never: what XSwiftEC returns is on the curve
		return p, fmt.Errorf("%w: encoded key is not on the curve", ErrHandshake)
	}
	p.Y.Normalize()
	p.Z.SetInt(1)
	return p, nil
}

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
