package pool

import (
	"math"
	"strconv"
)

// grid is which difficulties a client can be told exactly. Both may be set.
type grid uint8

const (
	// powersOfTwo are for clients that would round others. Below difficulty 1 they do not round.
	powersOfTwo grid = 1 << iota
	// decimals are for a dialect that says difficulties in digits (Stratum V1): whole ones from 1 on, because
	// older firmware reads no fraction, and three digits below.
	decimals
)

// near is the target of the nearest such difficulty to that many hashes a share.
func (g grid) near(hashes float64) Target {
	switch {
	case g&powersOfTwo != 0 && hashes > 0x1p32:
		return TargetForDifficulty(math.Exp2(math.Round(math.Log2(hashes / 0x1p32))))
	case g&decimals != 0:
		return TargetForDifficulty(decimal(TargetForHashes(hashes).Difficulty()))
	}
	return TargetForHashes(hashes)
}

// above is the easiest target with such a difficulty that is no easier than t, below the hardest one that
// is no harder.
func (g grid) above(t Target) Target {
	d := t.Difficulty()
	switch {
	case g&powersOfTwo != 0 && d > 1:
		return TargetForDifficulty(math.Exp2(math.Ceil(math.Log2(d))))
	case g&decimals != 0:
		return nextDecimal(t, 1)
	}
	return t
}

func (g grid) below(t Target) Target {
	d := t.Difficulty()
	switch {
	case g&powersOfTwo != 0 && d > 1:
		return TargetForDifficulty(math.Exp2(math.Floor(math.Log2(d))))
	case g&decimals != 0:
		return nextDecimal(t, -1)
	}
	return t
}

// nextDecimal is the target of the decimal difficulty nearest to t's that is not on the other side of it:
// as hard or harder if up is 1, as easy or easier if it is -1.
func nextDecimal(t Target, up int) Target {
	d := decimal(t.Difficulty())
	for {
		n := TargetForDifficulty(d)
		if n.Cmp(t)*up <= 0 || math.IsInf(d, 0) || d <= 0 {
			return n
		}
		step, at := 1.0, d
		if up < 0 {
			at *= 1 - 1e-9 // below a power of ten there is a digit more
		}
		if at < 1 {
			step = math.Pow(10, math.Floor(math.Log10(at))-2)
		}
		d = decimal(d + step*float64(up))
	}
}

// decimal is the nearest difficulty that is whole, or has three digits below 1.
func decimal(d float64) float64 {
	if !(d > 0) || d >= 0.9995 {
		return math.Round(d)
	}
	var text [32]byte
	// What was formatted here can be parsed.
	short, _ := strconv.ParseFloat(string(strconv.AppendFloat(text[:0], d, 'e', 2, 64)), 64)
	return short
}
