package noise

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/btcsuite/btcd/address/v2/base58"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
)

const (
	keySize      = 32
	checksumSize = 4

	// publicVersion stands before a public key in its text (sv2-spec 04 §4.7).
	publicVersion = 1

	// maxKeyText bounds the text that is looked at: decoding base58 is quadratic,
	// and the longest key has 52 characters.
	maxKeyText = 64
)

// PublicKey is an authority's public key: the x coordinate of BIP340.
type PublicKey [keySize]byte

// ParsePublicKey reads the text that stands in a pool's URL: base58check of a
// little-endian 1 in two bytes, and the key. It starts with "9".
func ParsePublicKey(text string) (PublicKey, error) {
	payload, err := decodeKeyText(text)
	if err != nil {
		return PublicKey{}, err
	}
	if len(payload) != 2+keySize {
		return PublicKey{}, fmt.Errorf("%w: %d bytes where version and key have %d",
			ErrKeyText, len(payload), 2+keySize)
	}
	if v := binary.LittleEndian.Uint16(payload); v != publicVersion {
		return PublicKey{}, fmt.Errorf("%w: version %d where %d is known", ErrKeyText, v, publicVersion)
	}
	if _, err := schnorr.ParsePubKey(payload[2:]); err != nil {
		return PublicKey{}, fmt.Errorf("%w: %w", ErrKeyText, err)
	}
	return PublicKey(payload[2:]), nil
}

// String is the text that ParsePublicKey reads.
func (k PublicKey) String() string {
	payload := binary.LittleEndian.AppendUint16(nil, publicVersion)
	return encodeKeyText(append(payload, k[:]...))
}

// MarshalText is String, for configuration files and JSON.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what ParsePublicKey accepts.
func (k *PublicKey) UnmarshalText(text []byte) (err error) {
	*k, err = ParsePublicKey(string(text))
	return err
}

// Authority is the key pair that vouches for a pool's servers. All servers behind one name share it.
type Authority struct {
	secret *btcec.PrivateKey // immutable
	public PublicKey         // immutable
}

// NewAuthority makes a random authority.
func NewAuthority() (*Authority, error) {
	secret, err := btcec.NewPrivateKey()
	if err != nil {
		return nil, fmt.Errorf("making an authority key: %w", err)
	}
	return newAuthority(secret), nil
}

// ParseAuthority reads the text that Secret writes: base58check of the 32 bytes alone.
func ParseAuthority(secret string) (*Authority, error) {
	payload, err := decodeKeyText(secret)
	if err != nil {
		return nil, err
	}
	if len(payload) != keySize {
		return nil, fmt.Errorf("%w: %d bytes where a secret key has %d", ErrKeyText, len(payload), keySize)
	}
	var scalar btcec.ModNScalar
	if overflow := scalar.SetByteSlice(payload); overflow || scalar.IsZero() {
		return nil, fmt.Errorf("%w: the secret is 0 or not below the order of the curve", ErrKeyText)
	}
	return newAuthority(btcec.PrivKeyFromScalar(&scalar)), nil
}

func newAuthority(secret *btcec.PrivateKey) *Authority {
	return &Authority{secret: secret, public: PublicKey(schnorr.SerializePubKey(secret.PubKey()))}
}

// Public is the key that miners are told.
func (a *Authority) Public() PublicKey { return a.public }

// String is the public key's text, so that an authority in a log line gives nothing away.
func (a *Authority) String() string { return a.public.String() }

// GoString is String: %#v must not print the secret either.
func (a *Authority) GoString() string { return a.public.String() }

// Secret is the text to store where only the server can read it.
func (a *Authority) Secret() string {
	b := a.secret.Key.Bytes()
	return encodeKeyText(b[:])
}

func encodeKeyText(payload []byte) string {
	sum := keyChecksum(payload)
	return base58.Encode(append(bytes.Clone(payload), sum[:]...))
}

func decodeKeyText(text string) ([]byte, error) {
	if len(text) > maxKeyText {
		return nil, fmt.Errorf("%w: %d characters where at most %d are read",
			ErrKeyText, len(text), maxKeyText)
	}
	raw := base58.Decode(text)
	if len(raw) < checksumSize {
		return nil, fmt.Errorf("%w: not base58, or too short for a checksum", ErrKeyText)
	}
	payload := raw[:len(raw)-checksumSize]
	if sum := keyChecksum(payload); !bytes.Equal(sum[:], raw[len(payload):]) {
		return nil, fmt.Errorf("%w: the checksum does not match, a character is wrong or missing", ErrKeyText)
	}
	return payload, nil
}

// keyChecksum is the first four bytes of SHA-256d.
func keyChecksum(payload []byte) [checksumSize]byte {
	once := sha256.Sum256(payload)
	twice := sha256.Sum256(once[:])
	return [checksumSize]byte(twice[:])
}
