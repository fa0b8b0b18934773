package leaserpc

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/hashlease/hashlease/lease"
)

// Admin is the name in the operator's keys. No tenant may have it.
const Admin = "admin"

const (
	keyPrefix    = "hl_"
	secretBytes  = 32
	secretLength = 52 // of 32 bytes in base32
)

var secretText = base32.StdEncoding.WithPadding(base32.NoPadding)

// Hash is the SHA-256 of a whole key: all that a server keeps of it. A secret has 256 random
// bits, so that a slow hash would add nothing.
type Hash [sha256.Size]byte

// String is the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText is the hash in hexadecimal.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads 64 hexadecimal digits.
func (h *Hash) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("key hash has %d characters: 64 hexadecimal digits are accepted", len(b))
	}
	if _, err := hex.Decode(h[:], b); err != nil {
		return fmt.Errorf("key hash: 64 hexadecimal digits are accepted: %w", err)
	}
	return nil
}

// NewKey makes a key "hl_<owner>_<secret>" for a tenant, or for the operator with Admin. The key is
// shown once; the server's configuration gets HashKey of it.
func NewKey(owner string) (string, error) {
	if !lease.ValidName(owner) {
		return "", fmt.Errorf("owner %q: 1 to %d of a-z 0-9 - _ are accepted", owner, lease.MaxName)
	}
	var secret [secretBytes]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return "", fmt.Errorf("making a secret: %w", err)
	}
	return keyPrefix + owner + "_" + strings.ToLower(secretText.EncodeToString(secret[:])), nil
}

// ParseKey is the owner in a key. It says nothing about whether the key is good.
func ParseKey(key string) (owner string, err error) {
	rest, ok := strings.CutPrefix(key, keyPrefix)
	i := strings.LastIndexByte(rest, '_')
	if !ok || i < 0 || len(rest)-i-1 != secretLength || !lease.ValidName(rest[:i]) {
		return "", errors.New("an API key looks like hl_<tenant>_<52 letters and digits>")
	}
	if _, err := secretText.DecodeString(strings.ToUpper(rest[i+1:])); err != nil {
		return "", errors.New("an API key looks like hl_<tenant>_<52 letters and digits>")
	}
	return rest[:i], nil
}

// HashKey is what a server keeps of a key.
func HashKey(key string) Hash { return sha256.Sum256([]byte(key)) }

// Key is one accepted key: whose it is, and its hash. An owner may have several, so that
// one can be replaced without a gap.
type Key struct {
	Owner string // a tenant, or Admin
	Hash  Hash
}

// Identity is who calls.
type Identity struct {
	Tenant lease.TenantID // empty for the operator
	Admin  bool
}

// owner is the name that limits are kept under.
func (i Identity) owner() string {
	if i.Admin {
		return Admin
	}
	return string(i.Tenant)
}

// Keyring is the accepted keys. It is immutable.
type Keyring struct{ hashes map[string][]Hash }

// NewKeyring accepts the keys.
func NewKeyring(keys []Key) (*Keyring, error) {
	r := &Keyring{hashes: map[string][]Hash{}}
	for i, k := range keys {
		if !lease.ValidName(k.Owner) {
			return nil, fmt.Errorf("key %d: owner %q: 1 to %d of a-z 0-9 - _ are accepted",
				i, k.Owner, lease.MaxName)
		}
		if k.Hash == (Hash{}) {
			return nil, fmt.Errorf("key %d of %q has no hash: the SHA-256 of the key is accepted", i, k.Owner)
		}
		r.hashes[k.Owner] = append(r.hashes[k.Owner], k.Hash)
	}
	return r, nil
}

// Identify says whose key it is. It compares in constant time, and an unknown owner takes
// the same steps as a wrong secret.
func (r *Keyring) Identify(key string) (Identity, bool) {
	owner, err := ParseKey(key)
	hashes := r.hashes[owner]
	if err != nil || len(hashes) == 0 {
		hashes = []Hash{{}}
	}
	sum := HashKey(key)
	good := 0
	for _, h := range hashes {
		good |= subtle.ConstantTimeCompare(h[:], sum[:])
	}
	if err != nil || good != 1 {
		return Identity{}, false
	}
	if owner == Admin {
		return Identity{Admin: true}, true
	}
	return Identity{Tenant: lease.TenantID(owner)}, true
}
