package pool

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"

	"github.com/hashlease/hashlease/pool/unit"
)

// Target is a 256-bit bound: a hash that is numerically less than or equal to it
// counts. Words are little-endian, word 3 is the most significant.
type Target [4]uint64

// MaxTarget is the easiest target of all: every hash meets it.
var MaxTarget = Target{math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64}

// TargetFromBytes reads a U256 as the wire carries it: 32 bytes little-endian (sv2-spec 03 §3.1).
func TargetFromBytes(b *[32]byte) Target {
	return Target{
		binary.LittleEndian.Uint64(b[0:]), binary.LittleEndian.Uint64(b[8:]),
		binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:]),
	}
}

// Bytes is the target as the wire carries it: 32 bytes little-endian.
func (t Target) Bytes() (b [32]byte) {
	for i, w := range t {
		binary.LittleEndian.PutUint64(b[8*i:], w)
	}
	return b
}

// Cmp compares two targets as numbers: -1, 0 or 1.
func (t Target) Cmp(o Target) int {
	for i := 3; i >= 0; i-- {
		switch {
		case t[i] < o[i]:
			return -1
		case t[i] > o[i]:
			return 1
		}
	}
	return 0
}

// Min is the harder of two targets.
func (t Target) Min(o Target) Target {
	if t.Cmp(o) <= 0 {
		return t
	}
	return o
}

// Meets reports whether hash (raw SHA-256d byte order) is at or below the target.
func (t Target) Meets(hash *[32]byte) bool {
	return TargetFromBytes(hash).Cmp(t) <= 0
}

// Work is the expected number of hashes for one share at this target,
// 2^256/(t+1), rounded down. It saturates at the largest uint64: a share of
// 2^64 hashes is 4.3e9 times the difficulty-1 share.
func (t Target) Work() uint64 {
	switch {
	case t[3] == 0:
		return math.MaxUint64 // the quotient would be above 2^64
	case t == MaxTarget:
		return 1
	}
	d, _ := t.add(Target{1})
	// Long division in base 2. The remainder after the first 192 digits of 2^256 is 2^192 < d.
	rest, quotient := Target{3: 1}, uint64(0)
	for range 64 {
		double, over := rest.add(rest)
		rest, quotient = double, quotient<<1
		if less, under := double.sub(d); over != 0 || under == 0 {
			rest, quotient = less, quotient|1
		}
	}
	return quotient
}

// add is the sum, and what is carried out of it.
func (t Target) add(o Target) (sum Target, carry uint64) {
	for i := range t {
		sum[i], carry = bits.Add64(t[i], o[i], carry)
	}
	return sum, carry
}

// sub is the difference, and what is borrowed for it.
func (t Target) sub(o Target) (d Target, borrow uint64) {
	for i := range t {
		d[i], borrow = bits.Sub64(t[i], o[i], borrow)
	}
	return d, borrow
}

// Difficulty is the target's difficulty: 0xffff*2^208 divided by the target (bdiff, what miners mean), to
// the nearest float64. That of TargetForDifficulty(d) is d again, down to a millionth and below. That
// of the zero target is infinite.
func (t Target) Difficulty() float64 {
	i := 3
	for i > 0 && t[i] == 0 {
		i--
	}
	if t[i] == 0 {
		return math.Inf(1)
	}
	shift := bits.LeadingZeros64(t[i])
	top := t[i] << shift // the 64 leading bits; what is cut off is below 2^-63 of them
	if i > 0 {
		top |= t[i-1] >> (64 - shift) // a shift by 64 gives 0
	}
	q, rest := bits.Div64(0xffff<<47, 0, top)
	if rest != 0 {
		q |= 1 // lest a tie is seen where there is none
	}
	return math.Ldexp(float64(q), 208-(64+47)-(64*i-shift))
}

// String is the target in the display order of hashes: 64 hexadecimal digits, big-endian.
func (t Target) String() string {
	const digits = "0123456789abcdef"
	b := t.Bytes()
	var s [64]byte
	for i, c := range b {
		s[62-2*i], s[63-2*i] = digits[c>>4], digits[c&15]
	}
	return string(s[:])
}

// TargetForHashes is the target at which one share takes the given number of
// hashes on average: (2^256-1-h)/(h+1) as the reference implementation rounds
// it, for h = floor(hashes). What is below one hash, or no number, gives MaxTarget.
func TargetForHashes(hashes float64) Target {
	if !(hashes >= 1) {
		return MaxTarget
	}
	if hashes < 0x1p64 {
		return targetForWork(uint64(hashes))
	}
	h, _ := big.NewFloat(math.Min(hashes, 0x1p200)).Int(nil)
	n := new(big.Int).Lsh(big.NewInt(1), 256)
	n.Sub(n, big.NewInt(1)).Sub(n, h)
	n.Div(n, h.Add(h, big.NewInt(1)))
	return targetFromBig(n)
}

// targetForWork is the same for a whole number, without a big one: (2^256-1-h)/(h+1) is 2^256/(h+1) - 1,
// rounded alike.
func targetForWork(h uint64) (t Target) {
	if h == math.MaxUint64 {
		return Target{math.MaxUint64, math.MaxUint64, math.MaxUint64}
	}
	rest := uint64(1) // the digit above the highest of t
	for i := 3; i >= 0; i-- {
		t[i], rest = bits.Div64(rest, 0, h+1)
	}
	t, _ = t.sub(Target{1})
	return t
}

// TargetForHashrate is the target that yields the given shares a minute at a hashrate.
func TargetForHashrate(h unit.Hashrate, sharesPerMinute float64) Target {
	return TargetForHashes(float64(h) * 60 / sharesPerMinute)
}

// TargetFromBits expands the compact form of a block header. Negative and
// overflowing encodings give the zero target, which nothing meets.
func TargetFromBits(compact uint32) Target {
	mantissa, exponent := uint64(compact&0x007fffff), int(compact>>24)
	if compact&0x00800000 != 0 || mantissa == 0 {
		return Target{}
	}
	shift := 8 * (exponent - 3)
	if shift < 0 {
		return Target{mantissa >> -shift}
	}
	if shift+bits.Len64(mantissa) > 256 {
		return Target{}
	}
	var t Target
	t[shift/64] = mantissa << (shift % 64)
	if over := shift%64 + bits.Len64(mantissa) - 64; over > 0 {
		t[shift/64+1] = mantissa >> (64 - shift%64)
	}
	return t
}

func targetFromBig(n *big.Int) Target {
	var be [32]byte
	n.FillBytes(be[:])
	var t Target
	for i := range t {
		t[i] = binary.BigEndian.Uint64(be[24-8*i:])
	}
	return t
}

// TargetForDifficulty is the target of a difficulty: 0xffff*2^208 divided by it (bdiff), as a miner
// that is told the difficulty computes it. Fractions count. What is not above 0, or
// easier than every hash, gives MaxTarget.
func TargetForDifficulty(difficulty float64) Target {
	if !(difficulty > 0) {
		return MaxTarget
	}
	fraction, exponent := math.Frexp(math.Min(difficulty, 0x1p224))
	n := new(big.Int).Lsh(big.NewInt(0xffff), 53+208+32) // 32 spare bits for small difficulties
	d := big.NewInt(int64(math.Ldexp(fraction, 53)))
	n.Div(n, d)
	if shift := 32 + exponent; shift >= 0 {
		n.Rsh(n, uint(shift))
	} else {
		n.Lsh(n, uint(-shift))
	}
	if n.BitLen() > 256 {
		return MaxTarget
	}
	return targetFromBig(n)
}
