package governor

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// covered is how often the bound of n samples is below the true 5 % quantile.
func covered(n int, least float64, draw func() float64, truth float64) float64 {
	const rounds = 3000
	hits := 0
	samples := make([]float64, n)
	for range rounds {
		for i := range samples {
			samples[i] = draw()
		}
		if lowerBound(samples, least) <= truth {
			hits++
		}
	}
	return float64(hits) / rounds
}

// Ensure that what is counted on is below the true quantile nine times in ten: with few samples of what
// is about normal, with many of anything.
func TestLowerBound_HoldsItsConfidence(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 1))
	const z = 1.6449
	for _, sd := range []float64{0.005, 0.03, 0.1} {
		normal := func() float64 { return 0.97 + sd*rng.NormFloat64() }
		for _, n := range []int{2, 3, 5, 9, 14, 24, 44, 45, 80, 200} {
			if got := covered(n, leastFreed, normal, 0.97-z*sd); got < confidence-0.02 {
				t.Errorf("normal of spread %v, %d samples: %.3f of bounds hold", sd, n, got)
			}
		}
	}
	uniform := func() float64 { return rng.Float64() }
	skewed := func() float64 { return -rng.ExpFloat64() }
	mixed := func() float64 { // one order in twelve frees half
		if rng.Float64() < 1.0/12 {
			return 0.5
		}
		return 1
	}
	for _, n := range []int{45, 60, 120, 200} {
		for name, got := range map[string]float64{
			"uniform": covered(n, 0, uniform, 0.05),
			"skewed":  covered(n, 0, skewed, math.Log(0.05)),
			"mixed":   covered(n, 0, mixed, 0.5),
		} {
			if got < confidence-0.02 {
				t.Errorf("%s, %d samples: %.3f of bounds hold", name, n, got)
			}
		}
	}
}

// Ensure that fewer samples of the same kind are counted on for less, and none for nothing.
func TestLowerBound_IsCarefulWithFewSamples(t *testing.T) {
	before := -1.0
	for _, n := range []int{1, 2, 3, 5, 10, 20, 44, 45} {
		same := make([]float64, n)
		for i := range same {
			same[i] = 0.98
		}
		got := freedBound(same)
		if got < before || got > 0.98 {
			t.Errorf("%d samples of 0.98: %.3f, after %.3f with fewer", n, got, before)
		}
		before = got
	}
	if freedBound(nil) != 0 || timeBound(nil) != 0 {
		t.Error("nothing was measured, and something is counted on")
	}
	few, many := timeBound(slices.Repeat([]float64{10}, 3)), timeBound(slices.Repeat([]float64{10}, 10))
	if few <= many || many <= 10 {
		t.Errorf("time bounds: %.1f of 3 samples, %.1f of 10", few, many)
	}
	if got := freedBound([]float64{1.4, 1.5, 1.4, 1.5, 1.4}); got != 1 {
		t.Errorf("counted on for %.2f of what is ordered", got)
	}
}

// Ensure that few samples that differ do not make a notice of half an hour: nobody is waited for longer than
// until he is replaced, unless he was seen to take longer. From enough samples on they alone tell, and people
// are told which it is.
func TestMeasured_WaitsNoLongerThanForTheLate(t *testing.T) {
	const patience = 25 * time.Second
	for _, c := range []struct {
		name   string
		shed   []float64
		most   time.Duration
		capped bool
	}{
		{"two that differ", []float64{4, 9}, patience, true},
		{"three that differ", []float64{4, 9, 12}, patience, true},
		{"one that took longer", []float64{4, 31}, 31 * time.Second, true},
		{"many alike", slices.Repeat([]float64{5, 5.5}, 10), 8 * time.Second, false},
		{"enough, and slow ones among them", slices.Repeat([]float64{4, 40}, 30), 40 * time.Second, false},
	} {
		r := &Response{}
		for _, s := range c.shed {
			r.sample(ResponseSample{At: 10, Shed: s, Freed: 1})
		}
		m := r.bounds(time.Unix(0, 0))
		m.within(patience)
		if m.Shed > c.most || m.Shed < m.Slowest && len(c.shed) < freeOf || m.Capped != c.capped {
			t.Errorf("%s: %v, capped: %v", c.name, m.Shed, m.Capped)
		}
		h := Headroom{Notice: time.Minute, Shed: m.Shed, Capped: m.Capped, Timed: m.Timed}
		if strings.Contains(h.Basis(), "who is late is replaced") != c.capped {
			t.Errorf("%s: people read %q", c.name, h.Basis())
		}
	}
}
