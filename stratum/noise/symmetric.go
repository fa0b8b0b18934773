package noise

import (
	"crypto/hmac"
	"crypto/sha256"
)

// protocolName is longer than a hash, so it is hashed to start the transcript.
const protocolName = "Noise_NX_Secp256k1+EllSwift_ChaChaPoly_SHA256"

// symmetric is the SymmetricState of the Noise specification: the chaining key,
// the hash of everything said so far, and the cipher of the moment.
type symmetric struct {
	ck, h  [32]byte
	k      [32]byte // the cipher's key, kept for the published transcripts
	cipher cipherState
}

// init sets ck and h from the protocol name and mixes the empty prologue.
func (s *symmetric) init() {
	s.ck = sha256.Sum256([]byte(protocolName))
	s.h = s.ck
	s.mixHash(nil)
}

func (s *symmetric) mixHash(data []byte) {
	d := sha256.New()
	d.Write(s.h[:])
	d.Write(data)
	d.Sum(s.h[:0])
}

func (s *symmetric) mixKey(secret []byte) {
	s.ck, s.k = hkdf2(&s.ck, secret)
	s.cipher.initialize(&s.k)
}

// sealAndHash appends the sealed plain to dst and mixes what was appended.
func (s *symmetric) sealAndHash(dst, plain []byte) []byte {
	start := len(dst)
	dst = s.cipher.seal(dst, plain, s.h[:])
	s.mixHash(dst[start:])
	return dst
}

// openAndHash is the plaintext of sealed, and mixes sealed.
func (s *symmetric) openAndHash(sealed []byte) ([]byte, error) {
	plain, err := s.cipher.open(nil, sealed, s.h[:])
	if err != nil {
		return nil, err
	}
	s.mixHash(sealed)
	return plain, nil
}

// split is the keys of the connection: first the initiator's, then the responder's.
func (s *symmetric) split() (k1, k2 [32]byte) { return hkdf2(&s.ck, nil) }

// hkdf2 is the HKDF of the Noise specification with two outputs.
func hkdf2(ck *[32]byte, secret []byte) (o1, o2 [32]byte) {
	temp := hmacSum(ck[:], secret)
	o1 = hmacSum(temp[:], []byte{1})
	o2 = hmacSum(temp[:], append(o1[:], 2))
	return o1, o2
}

func hmacSum(key, data []byte) (sum [32]byte) {
	m := hmac.New(sha256.New, key)
	m.Write(data)
	m.Sum(sum[:0])
	return sum
}
