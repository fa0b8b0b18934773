package conformance

import (
	"bytes"
	"cmp"
	"math"
	"math/big"
	"slices"
)

// Target is a 256-bit number, little-endian, as it travels: byte 31 weighs most.
type Target [32]byte

// Easiest is met by every hash.
var Easiest = Target(bytes.Repeat([]byte{0xff}, 32))

// Cmp compares as numbers: -1, 0 or 1.
func (t Target) Cmp(o Target) int {
	for i := len(t) - 1; i >= 0; i-- {
		if t[i] != o[i] {
			return cmp.Compare(t[i], o[i])
		}
	}
	return 0
}

// Meets reports whether a hash, in its raw byte order, is at most t.
func (t Target) Meets(hash [32]byte) bool { return Target(hash).Cmp(t) <= 0 }

// Int is t as a number.
func (t Target) Int() *big.Int {
	b := slices.Clone(t[:])
	slices.Reverse(b)
	return new(big.Int).SetBytes(b)
}

// targetOf is the number as a target; it must fit.
func targetOf(n *big.Int) (t Target) {
	n.FillBytes(t[:])
	slices.Reverse(t[:])
	return t
}

// Divide is t made n times harder.
func (t Target) Divide(n int64) Target { return targetOf(new(big.Int).Div(t.Int(), big.NewInt(n))) }

// Hashes is how many tries a share takes on average.
func (t Target) Hashes() float64 {
	f, _ := new(big.Float).SetInt(t.Int()).Float64()
	return math.Exp2(256) / (f + 1)
}

// Difficulty is pdiff: 0xffff * 2^208 / t.
func (t Target) Difficulty() float64 {
	f, _ := new(big.Float).SetInt(t.Int()).Float64()
	return 0xffff * math.Exp2(208) / f
}

// NetworkTarget is what nBits says.
func NetworkTarget(bits uint32) Target {
	n := big.NewInt(int64(bits & 0x7fffff))
	e := int(bits >> 24)
	if e <= 3 {
		n.Rsh(n, uint(8*(3-e)))
	} else {
		n.Lsh(n, uint(8*(min(e, 32)-3)))
	}
	return targetOf(n)
}

// String is the number in hexadecimal, most significant digit first.
func (t Target) String() string {
	const digits = "0123456789abcdef"
	b := make([]byte, 0, 64)
	for i := len(t) - 1; i >= 0; i-- {
		b = append(b, digits[t[i]>>4], digits[t[i]&15])
	}
	return string(b)
}
