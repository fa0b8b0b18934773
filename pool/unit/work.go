package unit

import (
	"fmt"
	"math/big"
	"math/bits"
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
func (w Work) Cmp(o Work) int { return w.big().Cmp(o.big()) }

// Float is the nearest float, for statistics.
func (w Work) Float() float64 { return float64(w.hi)*0x1p64 + float64(w.lo) }

// Bytes is the sum in 16 bytes, big-endian: its form in the journal.
func (w Work) Bytes() (b [16]byte) {
	w.big().FillBytes(b[:])
	return b
}

// WorkFromBytes reads what Bytes wrote.
func WorkFromBytes(b [16]byte) Work {
	n := new(big.Int).SetBytes(b[:])
	lo := new(big.Int).And(n, new(big.Int).SetUint64(^uint64(0)))
	return Work{new(big.Int).Rsh(n, 64).Uint64(), lo.Uint64()}
}

// String is the sum in decimal, exact.
func (w Work) String() string { return w.big().String() }

// MarshalText is the decimal form: JSON numbers would lose digits.
func (w Work) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText reads a decimal number below 2^128.
func (w *Work) UnmarshalText(b []byte) error {
	n, ok := new(big.Int).SetString(string(b), 10)
	if !ok || n.Sign() < 0 || n.BitLen() > 128 {
		return fmt.Errorf("work %q: a decimal number of hashes below 2^128 is accepted", b)
	}
	var raw [16]byte
	n.FillBytes(raw[:])
	*w = WorkFromBytes(raw)
	return nil
}

func (w Work) big() *big.Int {
	n := new(big.Int).SetUint64(w.hi)
	return n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(w.lo))
}
