package pool

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"hash"
	"sync"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// hasher makes double SHA-256 sums of short messages. Sum256 spends as long on copies of its state and on
// padding as on the two blocks of a pair of hashes. So messages are padded here, where the padding of a
// pair and of a hash are written once, and what follows the last block is read as the state that
// crypto/sha256 saves:
//
//	4   magic
//	32  state, which is the sum
//	72  what waits for a whole block (nothing), length
//
// That form is not promised: if it is another one, there is no state, and Sum256 does it all.
type hasher struct {
	digest hash.Hash
	state  encoding.BinaryAppender // the digest's; nil if it cannot be read
	text   []byte                  // a message, then its padding
	pair   [2 * sha256.BlockSize]byte
	single [sha256.BlockSize]byte
	saved  [128]byte
}

const (
	stateAt  = 4
	stateEnd = stateAt + sha256.Size
)

// hashers are lent, because a digest is handed what it hashes through an interface.
var hashers = sync.Pool{New: func() any {
	h := newHasher()
	if !readable {
		h.state = nil
	}
	return h
}}

func borrowHasher() *hasher {
	h, _ := hashers.Get().(*hasher) // the pool holds nothing else
	return h
}

func newHasher() *hasher {
	h := &hasher{digest: sha256.New()}
	h.state, _ = h.digest.(encoding.BinaryAppender)
	copy(h.pair[sha256.BlockSize:], pad(make([]byte, sha256.BlockSize))[sha256.BlockSize:])
	copy(h.single[sha256.Size:], pad(make([]byte, sha256.Size))[sha256.Size:])
	return h
}

// readable says that a saved state is as hasher knows it.
var readable = func() bool {
	h := newHasher()
	if h.state == nil {
		return false
	}
	for n := range 3 * sha256.BlockSize {
		message := make([]byte, n)
		for i := range message {
			message[i] = byte(n + i)
		}
		sum, ok := h.sum(pad(message))
		if !ok || [sha256.Size]byte(sum) != sha256.Sum256(message) {
			return false
		}
	}
	return true
}()

// pad appends the padding of SHA-256 to a whole message.
func pad(b []byte) []byte {
	bits := uint64(len(b)) * 8
	b = append(b, 0x80)
	var zeros [sha256.BlockSize]byte
	// 8 bytes of a block are for the length.
	b = append(b, zeros[:(2*sha256.BlockSize-8-len(b)%sha256.BlockSize)%sha256.BlockSize]...)
	return binary.BigEndian.AppendUint64(b, bits)
}

// sum is the sum of a message with its padding, until the next one.
func (h *hasher) sum(padded []byte) (sum []byte, ok bool) {
	h.digest.Reset()
	_, _ = h.digest.Write(padded) // never fails
	saved, err := h.state.AppendBinary(h.saved[:0])
	if err != nil || len(saved) < stateEnd {
		return nil, false
	}
	return saved[stateAt:stateEnd], true
}

// twice is the double sum of a message with its padding.
func (h *hasher) twice(padded []byte, size int) chainhash.Hash {
	if h.state != nil {
		if first, ok := h.sum(padded); ok {
			copy(h.single[:], first)
			if second, ok := h.sum(h.single[:]); ok {
				return chainhash.Hash(second)
			}
		}
	}
	first := sha256.Sum256(padded[:size])
	return sha256.Sum256(first[:])
}

// hashText is the double sum of text.
func (h *hasher) hashText() chainhash.Hash {
	size := len(h.text)
	h.text = pad(h.text)
	return h.twice(h.text, size)
}

// hashPair is the node above two others.
func (h *hasher) hashPair(left, right *chainhash.Hash) chainhash.Hash {
	copy(h.pair[:sha256.Size], left[:])
	copy(h.pair[sha256.Size:], right[:])
	return h.twice(h.pair[:], sha256.BlockSize)
}

// foldPath is the merkle root above a coinbase id.
func (h *hasher) foldPath(root chainhash.Hash, path []chainhash.Hash) chainhash.Hash {
	for i := range path {
		root = h.hashPair(&root, &path[i])
	}
	return root
}

// doubleHash is the double sum of a message.
func doubleHash(b []byte) chainhash.Hash {
	h := borrowHasher()
	h.text = append(h.text[:0], b...)
	sum := h.hashText()
	hashers.Put(h)
	return sum
}
