package unit

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/big"
	"math/bits"
	"strings"
)

// Work is a sum of expected hashes. It has 128 bits, because a large pool passes 2^64 hashes in
// seconds: 1 EH/s does so every 18 s.
type Work struct{ hi, lo uint64 }

// WorkOf is n hashes.
func WorkOf(n uint64) Work { return Work{0, n} }

// Add is the sum of both. It wraps at 2^128, which no pool reaches.
func (w Work) Add(o Work) Work {
	lo, carry := bits.Add64(w.lo, o.lo, 0)
	hi, _ := bits.Add64(w.hi, o.hi, carry)
	return Work{hi, lo}
}

// Sub is the difference, for counters that only grow: o must not exceed w.
func (w Work) Sub(o Work) Work {
	lo, borrow := bits.Sub64(w.lo, o.lo, 0)
	hi, _ := bits.Sub64(w.hi, o.hi, borrow)
	return Work{hi, lo}
}

// Cmp compares two sums: -1, 0 or 1.
func (w Work) Cmp(o Work) int {
	if c := cmp.Compare(w.hi, o.hi); c != 0 {
		return c
	}
	return cmp.Compare(w.lo, o.lo)
}

// Float is the nearest float, for statistics.
func (w Work) Float() float64 { return float64(w.hi)*0x1p64 + float64(w.lo) }

// Bytes is the sum in 16 bytes, big-endian: its form in the journal.
func (w Work) Bytes() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:8], w.hi)
	binary.BigEndian.PutUint64(b[8:], w.lo)
	return b
}

// WorkFromBytes reads what Bytes wrote.
func WorkFromBytes(b [16]byte) Work {
	return Work{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// String is the sum in decimal, exact.
func (w Work) String() string { return w.big().String() }

// MarshalText is the decimal form: JSON numbers would lose digits.
func (w Work) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText reads a decimal number below 2^128, digits only.
func (w *Work) UnmarshalText(b []byte) error {
	const most = 39 // digits of 2^128
	var n *big.Int
	ok := len(b) > 0 && len(b) <= most && strings.Trim(string(b), "0123456789") == ""
	if ok {
		n, ok = new(big.Int).SetString(string(b), 10)
	}
	if !ok || n.BitLen() > 128 {
		return fmt.Errorf("work %q: a decimal number of hashes below 2^128 is accepted", clip(string(b)))
	}
	var raw [16]byte
	n.FillBytes(raw[:])
	*w = WorkFromBytes(raw)
	return nil
}

func (w Work) big() *big.Int {
	b := w.Bytes()
	return new(big.Int).SetBytes(b[:])
}
