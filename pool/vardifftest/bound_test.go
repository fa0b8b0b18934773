package vardifftest_test

import (
	"math/rand/v2"
	"testing"

	"github.com/hashlease/hashlease/pool/vardifftest"
)

// alarmsInSteps is how often, in ten minutes at constant hashrate, a cumulative sum passes its threshold
// when time goes in steps of a hundredth of a second: another way to the same number.
func alarmsInSteps(fall bool, sharesPerMinute, threshold float64) float64 {
	const dt, span = 0.01, 600 * 2000.0
	rng := rand.New(rand.NewPCG(7, 7))
	rate := sharesPerMinute / 60
	// A fall by half: each share speaks against it by ln 2, each second for it by half the rate. A
	// doubling: the reverse, by the rate.
	share, drift := -0.693147, rate/2
	if !fall {
		share, drift = 0.693147, -rate
	}
	sum, count := 0.0, 0
	for range int(span / dt) {
		sum += drift * dt
		if rng.Float64() < rate*dt {
			sum += share
		}
		sum = max(0, sum)
		if sum >= threshold {
			sum, count = 0, count+1
		}
	}
	return float64(count) / (span / 600)
}

// Ensure the thresholds of the optimal test give the false alarms that were asked for.
func TestBest_AlarmsAsOftenAsAsked(t *testing.T) {
	t.Parallel()
	for _, factor := range []float64{0.5, 2} {
		b := vardifftest.Best(factor, 20, 1, 1, 1)
		if got := alarmsInSteps(factor < 1, 20, b.Threshold); got < 0.9 || got > 1.1 {
			t.Errorf("factor %v: %v alarms in ten minutes, want 1", factor, got)
		}
	}
}

// Ensure our rule notices a fall by half nearly as soon as anything could that is as steady, though it is
// told neither the hashrate nor what to look for (SV2-138).
func TestVardiff_IsNearTheBound(t *testing.T) {
	t.Parallel()
	const runs, seed = 600, 77_000 // nothing was tuned on these
	measured := map[string]vardifftest.Result{}
	for _, s := range vardifftest.Scenarios() {
		if s.Name == "constant" || s.Name == "silent -50 %" {
			measured[s.Name] = vardifftest.Measure(s, vardifftest.Rules()[0], 20, runs, seed)
		}
	}
	changes, fall := measured["constant"].Changes, measured["silent -50 %"]
	best := vardifftest.Best(0.5, 20, changes, 4*runs, seed)
	if fall.First < 0.9*best.P50 {
		t.Errorf("ours moves after %.0f s in the median, before the bound, %.0f s: one of both is wrong",
			fall.First, best.P50)
	}
	if fall.First > 1.4*best.P50 || fall.First90 > 1.4*best.P90 {
		t.Errorf("ours moves after %.0f s and %.0f s, the bound at %.2f changes is %.0f s and %.0f s",
			fall.First, fall.First90, changes, best.P50, best.P90)
	}
	t.Logf("ours %.0f s and %.0f s, bound %.0f s and %.0f s, changes %.2f",
		fall.First, fall.First90, best.P50, best.P90, changes)
}
