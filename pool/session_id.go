package pool

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

const (
	minSessionSecret = 16 // bytes
	sessionMACSize   = 8
	sessionIDSize    = 4 + sessionMACSize
)

// SessionKey signs the ids by which a miner that lost its connection asks for its extranonce prefix
// again (Stratum V1, mining.subscribe). An id says which prefix, and proves that this pool gave it out, so
// that nothing has to be stored and ids outlive the process:
//
//	prefix 4 | HMAC-SHA256 of it, the first 8 bytes
//
// in hexadecimal. It is a claim to a number, not to an account: it says nothing of who mines.
type SessionKey struct {
	key [sha256.Size]byte // immutable
}

// NewSessionKey derives the key from a secret of the pool's that outlives processes: at least 16 bytes,
// the same on every start. Nothing can be learnt of the secret by ids.
func NewSessionKey(secret []byte) (*SessionKey, error) {
	if len(secret) < minSessionSecret {
		return nil, fmt.Errorf("secret of session ids has %d bytes: %d or more are accepted",
			len(secret), minSessionSecret)
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "hashlease stratum v1 session id", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("deriving the key of session ids: %w", err)
	}
	return &SessionKey{key: [sha256.Size]byte(key)}, nil
}

// ID is the session id of a prefix: 24 lower-case hexadecimal digits.
func (k *SessionKey) ID(prefix [4]byte) string {
	mac := k.mac(prefix)
	return hex.EncodeToString(append(prefix[:], mac[:]...))
}

// Prefix is the prefix that a session id names, or false if the id was not made with this key. The
// time it takes does not depend on how much of the MAC is right.
func (k *SessionKey) Prefix(id string) ([4]byte, bool) {
	if len(id) != 2*sessionIDSize {
		return [4]byte{}, false
	}
	var raw [sessionIDSize]byte
	if _, err := hex.Decode(raw[:], []byte(id)); err != nil {
		return [4]byte{}, false
	}
	prefix := [4]byte(raw[:4])
	mac := k.mac(prefix)
	if !hmac.Equal(mac[:], raw[4:]) {
		return [4]byte{}, false
	}
	return prefix, true
}

func (k *SessionKey) mac(prefix [4]byte) [sessionMACSize]byte {
	h := hmac.New(sha256.New, k.key[:])
	_, _ = h.Write(prefix[:]) // a hash takes everything
	var sum [sha256.Size]byte
	return [sessionMACSize]byte(h.Sum(sum[:0]))
}
