package node

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"

	"github.com/btcsuite/btcd/chainhash/v2"
)

var errTx = errors.New("not a whole transaction")

// txShape is what identifies a raw transaction without looking into its scripts.
type txShape struct {
	id      chainhash.Hash // without witness
	weight  int64
	witness bool
}

// inspectTx walks over a serialised transaction (BIP144) to find its parts.
// It takes no memory and accepts exactly one whole transaction.
func inspectTx(raw []byte) (txShape, error) {
	c := cursor{b: raw}
	c.skip(4)
	shape := txShape{}
	from := 4
	if len(raw) > 6 && raw[4] == 0 && raw[5] == 1 { // marker and flag
		shape.witness = true
		c.skip(2)
		from = 6
	}
	inputs := c.count()
	c.items(inputs, 36, 4)   // outpoint, script, sequence
	c.items(c.count(), 8, 0) // value, script
	to := c.i
	if shape.witness {
		for n := inputs; n > 0 && !c.short; n-- {
			c.items(c.count(), 0, 0)
		}
	}
	end := c.i
	c.skip(4)
	if c.short || c.i != len(raw) || inputs == 0 {
		return txShape{}, errTx
	}
	stripped := 4 + (to - from) + 4
	shape.weight = int64(3*stripped + len(raw))
	shape.id = hashParts(raw[:4], raw[from:to], raw[end:])
	return shape, nil
}

func hashParts(parts ...[]byte) chainhash.Hash {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	var first [sha256.Size]byte
	return sha256.Sum256(h.Sum(first[:0]))
}

// cursor walks over bytes and remembers whether they ended early.
type cursor struct {
	b     []byte
	i     int
	short bool
}

func (c *cursor) skip(n uint64) {
	if c.short || n > uint64(len(c.b)-c.i) {
		c.short = true
		return
	}
	c.i += int(n)
}

// items skips n times a string of bytes with its size, and what is around it.
func (c *cursor) items(n, before, after uint64) {
	for ; n > 0 && !c.short; n-- {
		c.skip(before)
		c.skip(c.count())
		c.skip(after)
	}
}

// count reads a compact size.
func (c *cursor) count() uint64 {
	at := c.i
	c.skip(1)
	if c.short {
		return 0
	}
	first := c.b[at]
	if first < 0xfd {
		return uint64(first)
	}
	size := uint64(2) << (first - 0xfd)
	c.skip(size)
	if c.short {
		return 0
	}
	var le [8]byte
	copy(le[:], c.b[at+1:c.i])
	n := binary.LittleEndian.Uint64(le[:])
	if n > math.MaxInt32 {
		c.short = true
		return 0
	}
	return n
}
