package pool

import (
	"crypto/sha256"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// Ensure that double sums are those of crypto/sha256 whatever a hasher summed before, for messages of all
// lengths around its blocks, and also where the state of a digest cannot be read.
func TestHasher_SumsLikeSum256(t *testing.T) {
	if !readable {
		t.Error("the state of crypto/sha256 has another form: double sums are slow")
	}
	plain := newHasher()
	plain.state = nil
	for name, h := range map[string]*hasher{"direct": newHasher(), "plain": plain} {
		message := make([]byte, 0, 400)
		for n := range cap(message) {
			message = append(message, byte(n*n))
			first := sha256.Sum256(message)
			want := chainhash.Hash(sha256.Sum256(first[:]))
			h.text = append(h.text[:0], message...)
			if got := h.hashText(); got != want || doubleHash(message) != want {
				t.Fatalf("%s: %d bytes have %x, want %x", name, n+1, got[:], want[:])
			}
			left, right := chainhash.Hash(first), want
			pair := append(left[:], right[:]...)
			first = sha256.Sum256(pair)
			want = sha256.Sum256(first[:])
			if got := h.hashPair(&left, &right); got != want {
				t.Fatalf("%s: pair %d has %x, want %x", name, n, got[:], want[:])
			}
		}
	}
}
