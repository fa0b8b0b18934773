package noise

import (
	"crypto/rand"

	"github.com/btcsuite/btcd/btcec/v2"
)

// Constants of the encoding, in the field of secp256k1; immutable. minus3 is a square root of -3.
var (
	half      = new(btcec.FieldVal).SetInt(2).Inverse().Normalize()
	minus3    = rootOfMinus3()
	halfLess  = new(btcec.FieldVal).NegateVal(minus3, 1).AddInt(1).Mul(half).Normalize() // (1-c)/2
	halfAbove = new(btcec.FieldVal).Set(minus3).AddInt(1).Mul(half).Normalize()          // (1+c)/2
)

// rootOfMinus3 is BIP324's constant c.
func rootOfMinus3() *btcec.FieldVal {
	var c btcec.FieldVal
	c.SetByteSlice([]byte{
		0x0a, 0x2d, 0x2b, 0xa9, 0x35, 0x07, 0xf1, 0xdf, 0x23, 0x37, 0x70, 0xc2, 0xa7, 0x97, 0x96, 0x2c,
		0xc6, 0x1f, 0x6d, 0x15, 0xda, 0x14, 0xec, 0xd4, 0x7d, 0x8d, 0x27, 0xae, 0x1c, 0xd5, 0xf8, 0x52,
	})
	return &c
}

// encode is a random one of the encodings of a normalized x, by BIP324's rejection sampling: a
// quarter of all (u, case) has one.
func encode(x *btcec.FieldVal) (encoded [encodedSize]byte) {
	for {
		var random [33]byte
		rand.Read(random[:]) // never fails (crypto/rand)
		var u btcec.FieldVal
		u.SetByteSlice(random[:32])
		if t := swiftInverse(u.Normalize(), x, random[32]); t != nil {
			u.PutBytesUnchecked(encoded[:32])
			t.PutBytesUnchecked(encoded[32:])
			return encoded
		}
	}
}

// swiftInverse is BIP324's xswiftec_inv for the case in the three low bits: t so that (u, t) encodes
// x, nil if there is none. It looks whether something is a square before it divides by it, because an
// inversion costs as much as the root and three of four attempts fail.
func swiftInverse(u, x *btcec.FieldVal, which byte) *btcec.FieldVal {
	var v, w *btcec.FieldVal
	if which&2 == 0 {
		v, w = inverseFirst(u, x)
	} else {
		v, w = inverseSecond(u, x, which&1 != 0)
	}
	if w == nil {
		return nil
	}
	factor := halfLess
	if which&1 != 0 {
		factor = halfAbove
	}
	t := new(btcec.FieldVal).Mul2(u, factor).Add(v).Mul(w)
	if which&5 == 0 || which&5 == 5 {
		t.Negate(1)
	}
	return t.Normalize()
}

// inverseFirst is v = x and w with w^2 = -(u^3+7)/(u^2+ux+x^2), unless -x-u is on the curve too.
func inverseFirst(u, x *btcec.FieldVal) (v, w *btcec.FieldVal) {
	other := new(btcec.FieldVal).Add2(x, u).Negate(2)
	cube := new(btcec.FieldVal).SquareVal(other).Mul(other).AddInt(7)
	if new(btcec.FieldVal).SquareRootVal(cube) {
		return nil, nil
	}
	square := new(btcec.FieldVal).SquareVal(u)
	below := new(btcec.FieldVal).SquareVal(x).Add(square).Add(new(btcec.FieldVal).Mul2(u, x)).Normalize()
	above := new(btcec.FieldVal).Mul2(square, u).AddInt(7).Negate(2)
	w = new(btcec.FieldVal)
	if below.IsZero() || !w.SquareRootVal(new(btcec.FieldVal).Mul2(above, below)) {
		return nil, nil
	}
	return x, w.Mul(below.Inverse()) // the root of ab, over b, is the root of a/b
}

// inverseSecond is v = (r/s - u)/2 and w with w^2 = s, for s = x-u and r^2 = -s(4(u^3+7) + 3su^2).
func inverseSecond(u, x *btcec.FieldVal, odd bool) (v, w *btcec.FieldVal) {
	minusU := new(btcec.FieldVal).NegateVal(u, 1)
	s := new(btcec.FieldVal).Add2(x, minusU).Normalize()
	w = new(btcec.FieldVal)
	if s.IsZero() || !w.SquareRootVal(s) {
		return nil, nil
	}
	square := new(btcec.FieldVal).SquareVal(u)
	r := new(btcec.FieldVal).Mul2(square, u).AddInt(7).MulInt(4).Normalize()
	r.Add(square.MulInt(3).Mul(s)).Mul(s).Negate(1)
	if !r.SquareRootVal(new(btcec.FieldVal).Set(r)) || odd && r.Normalize().IsZero() {
		return nil, nil
	}
	return r.Mul(s.Inverse()).Add(minusU).Mul(half), w
}
