package pool

import (
	"encoding/binary"
	"math"
	"math/big"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool/unit"
)

// drawDifficulty gives difficulties of every order of magnitude that a channel may have.
func drawDifficulty(t *rapid.T, name string) float64 {
	d := math.Exp2(rapid.Float64Range(-20, 31).Draw(t, name))
	if rapid.Bool().Draw(t, "whole") {
		return max(1, math.Round(d))
	}
	return d
}

// Ensure that a difficulty and its target are told apart by nothing: the target is 0xffff * 2^208 over the
// difficulty, rounded down, and its difficulty is the same float64 again.
func TestTarget_DifficultyIsExactBothWays(t *testing.T) {
	one := new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(0xffff), 208))
	rapid.Check(t, func(t *rapid.T) {
		d := drawDifficulty(t, "difficulty")
		target := TargetForDifficulty(d)
		if target != MaxTarget {
			q := new(big.Rat).Quo(one, new(big.Rat).SetFloat64(d))
			if want := new(big.Int).Div(q.Num(), q.Denom()); target.big().Cmp(want) != 0 {
				t.Fatalf("%v: %v, want %x", d, target, want)
			}
		}
		if got := target.Difficulty(); got != d {
			t.Fatalf("difficulty %v came back as %v", d, got)
		}
		raw := rapid.SliceOfN(rapid.Uint64(), 4, 4).Draw(t, "words")
		any := Target(raw)
		for i := rapid.IntRange(0, 3).Draw(t, "zeros"); i > 0; i-- {
			any[4-i] = 0
		}
		if any == (Target{}) {
			return
		}
		want, _ := new(big.Rat).Quo(one, new(big.Rat).SetInt(any.big())).Float64()
		if got := any.Difficulty(); math.Abs(got/want-1) > 0x1p-52 {
			t.Fatalf("%v: %v, want %v", any, got, want)
		}
	})
}

// Ensure that a client which is told digits is told few, and means the same target by them, within floor,
// its own maximum and ceiling, whatever it mines.
func TestVardiff_GivesDecimalsWhereTheyAreSaid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		floor := TargetForHashes(math.Exp2(rapid.Float64Range(12, 45).Draw(t, "floor")))
		own := TargetForHashes(math.Exp2(rapid.Float64Range(1, 50).Draw(t, "own")))
		cfg := &DifficultyConfig{
			SharesPerMinute: 12, OpeningShares: 150, Floor: floor, Ceiling: TargetForHashes(1 << 55),
		}
		hashrate := math.Exp2(rapid.Float64Range(8, 50).Draw(t, "hashrate"))
		powers := rapid.Bool().Draw(t, "powers")
		var d Vardiff
		d.Init(cfg, Declared{MaxTarget: own, Decimal: true, Powers: powers}, began)
		d.Mine(d.Work(), began)
		check := func() {
			said := d.Target().Difficulty()
			text := strconv.FormatFloat(said, 'f', -1, 64)
			heard, err := strconv.ParseFloat(text, 64)
			if err != nil || TargetForDifficulty(heard) != d.Target() {
				t.Fatalf("%s is another target", text)
			}
			if said >= 1 && said != math.Round(said) || said < 1 && decimal(said) != said {
				t.Fatalf("difficulty %s has too many digits", text)
			}
			if powers && said > 1 && math.Log2(said) != math.Round(math.Log2(said)) {
				t.Fatalf("difficulty %s is no power of two", text)
			}
			if d.Target().Cmp(floor.Min(own)) > 0 {
				t.Fatalf("difficulty %s is easier than %v", text, floor.Min(own).Difficulty())
			}
		}
		check()
		mineEvenly(&d, min(hashrate, 1e3*float64(d.Work())), began, 20*time.Second)
		check()
		d.Update(0, own, began.Add(20*time.Second))
		check()
	})
}

// Ensure that bounds which have few digits are kept as they are, and others moved to the safe side.
func TestGrid_KeepsBounds(t *testing.T) {
	for _, d := range []float64{1e-6, 0.00015, 0.999, 1, 2, 256, 524_288, 1 << 31} {
		target := TargetForDifficulty(d)
		if decimals.above(target) != target || decimals.below(target) != target {
			t.Errorf("difficulty %v moved", d)
		}
	}
	for _, c := range []struct{ d, above, below float64 }{
		{255.996, 256, 255},
		{1.5, 2, 1},
		{0.9999, 1, 0.999},
		{0.00123456, 0.00124, 0.00123},
		{0.099999, 0.1, 0.0999},
	} {
		target := TargetForDifficulty(c.d)
		above, below := decimals.above(target).Difficulty(), decimals.below(target).Difficulty()
		if above != c.above || below != c.below {
			t.Errorf("%v: %v and %v, want %v and %v", c.d, above, below, c.above, c.below)
		}
	}
}

// Ensure that miners from a microcontroller on find their difficulty where the floor allows, and soon.
func TestVardiff_ServesTinyMiners(t *testing.T) {
	cfg := &DifficultyConfig{
		SharesPerMinute: 12, OpeningShares: 150, Floor: TargetForDifficulty(LeastDifficulty),
	}
	for _, h := range []float64{2e3, 5e4, 3e5, 5e6, 1e9, 5e11} {
		var d Vardiff
		d.Init(cfg, Declared{MaxTarget: MaxTarget, Decimal: true}, began)
		d.Mine(d.Work(), began)
		now := mineEvenly(&d, h, began, time.Minute)
		if !near(&d, h, 12) && !near(&d, h, 150) && d.Target() != cfg.Floor {
			t.Errorf("%g H/s after a minute: difficulty %v", h, d.Target().Difficulty())
		}
		mineEvenly(&d, h, now, 5*time.Minute)
		if !near(&d, h, 12) {
			t.Errorf("%g H/s: difficulty %v", h, d.Target().Difficulty())
		}
	}
	var d Vardiff
	d.Init(cfg, Declared{MaxTarget: MaxTarget, Decimal: true}, began)
	d.Mine(d.Work(), began)
	mineEvenly(&d, 100, began, time.Minute)
	if got := d.Target().Difficulty(); got != LeastDifficulty {
		t.Errorf("100 H/s get difficulty %v", got)
	}
}

// Ensure that a suggestion is where a channel begins, within bounds, that repeating it changes nothing, and
// that shares know better.
func TestChannel_TakesSuggestions(t *testing.T) {
	cfg := ChannelConfig{
		Kind: Extended, Prefix: make([]byte, 4), MaxTarget: TargetForDifficulty(0.001), Decimal: true,
		Difficulty: &DifficultyConfig{
			SharesPerMinute: 12, OpeningShares: 150, Floor: TargetForDifficulty(LeastDifficulty),
			Ceiling: TargetForDifficulty(1 << 20),
		},
	}
	c := NewChannel(cfg, began)
	for _, s := range []struct{ suggested, want float64 }{
		{500, 500}, {1e9, 1 << 20}, {1e-5, 0.001}, {0, 0.001}, {-1, 0.001}, {math.NaN(), 0.001}, {0.25, 0.25},
	} {
		c.Suggest(s.suggested, began)
		if got := c.Target().Difficulty(); got != s.want {
			t.Errorf("%v is suggested: difficulty %v, want %v", s.suggested, got, s.want)
		}
	}
	before := c.vardiff
	c.Suggest(0.25, began.Add(30*time.Second))
	if c.vardiff != before {
		t.Error("the same suggestion again changed something")
	}
	mineEvenly(&c.vardiff, 1e9, began, time.Minute)
	known := c.Target()
	c.Suggest(0.01, began.Add(time.Minute))
	if c.Target() != known {
		t.Error("a suggestion counts for more than shares")
	}
	o := NewChannel(cfg, began)
	o.Expect(unit.Hashrate(1e12), 0, began)
	ordered := o.Target()
	if o.Suggest(0.01, began); o.Target() != ordered {
		t.Error("a suggestion counts for more than an order")
	}
}

// big is the target as a number.
func (t Target) big() *big.Int {
	var be [32]byte
	for i, w := range t {
		binary.BigEndian.PutUint64(be[24-8*i:], w)
	}
	return new(big.Int).SetBytes(be[:])
}
