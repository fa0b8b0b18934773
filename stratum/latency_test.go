package stratum

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Ensure that percentiles are within a step of the truth and never below it, whatever was observed.
func TestHistogram_RoundsUpByAStepAtMost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h histogram
		n := rapid.IntRange(1, 300).Draw(t, "n")
		d := time.Duration(rapid.Int64Range(int64(time.Microsecond), int64(10*time.Minute)).Draw(t, "d"))
		for i := range n {
			h.observe(d * time.Duration(i+1) / time.Duration(n))
		}
		l := h.latency()
		if l.Count != uint64(n) || l.Max != d {
			t.Fatalf("got %+v, want %d up to %v", l, n, d)
		}
		for p, got := range map[int]time.Duration{50: l.P50, 99: l.P99} {
			rank := (n*p + 99) / 100
			truth := d * time.Duration(rank) / time.Duration(n)
			least, most := truth, time.Duration(float64(truth)*latencyStep*1.0001)+time.Microsecond
			if got < min(least, l.Max) || got > most {
				t.Fatalf("p%d is %v, the truth is %v", p, got, truth)
			}
		}
	})
}

// Ensure that what is out of range counts at the edges, and that nothing observed is zero.
func TestHistogram_KeepsItsBounds(t *testing.T) {
	var h histogram
	if l := h.latency(); l != (Latency{}) {
		t.Errorf("empty: %+v", l)
	}
	h.observe(-time.Second)
	h.observe(0)
	if l := h.latency(); l.Count != 2 || l.P99 != 0 {
		t.Errorf("at most zero: %+v", l)
	}
	h.observe(1000 * time.Hour)
	if l := h.latency(); l.Count != 3 || l.Max != 1000*time.Hour || l.P99 > l.Max {
		t.Errorf("beyond the last bucket: %+v", l)
	}
}
