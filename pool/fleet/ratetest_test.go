package fleet

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const (
	testShare = 1e13                   // work
	testLook  = 250 * time.Millisecond // as the governor looks
)

// watchRate feeds a test with a Poisson process whose rate (a minute) changes at fall, and returns when the
// test says that it fell; 0 if it does not within span.
func watchRate(r *rand.Rand, usual, ordered float64, fall, span time.Duration) time.Duration {
	work := func(perMinute float64) Work { return Work(perMinute / 60 * testShare) }
	t := NewRateTest(work(usual), work(ordered), testShare, span)
	rate := usual
	next := time.Duration(r.ExpFloat64() * 60 / rate * float64(time.Second))
	for at := testLook; at <= span; at += testLook {
		n := 0.0
		if rate != ordered && at >= fall {
			rate = ordered
			if next = span + time.Hour; rate > 0 {
				next = at + time.Duration(r.ExpFloat64()*60/rate*float64(time.Second))
			}
		}
		for next <= at {
			n++
			next += time.Duration(r.ExpFloat64() * 60 / rate * float64(time.Second))
		}
		t.Observe(n*testShare, testShare, testLook)
		if t.Fell() {
			return at
		}
	}
	return 0
}

// Ensure that a machine that goes on mining is called silent no more often than the test promises, at
// rates from a slow session's to a dispatch's, and that one that fell is found, soon.
func TestRateTest_KeepsItsPromises(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	const runs = 20_000
	for _, perMinute := range []float64{6, 12, 20, 30} {
		false60, missed := 0, 0
		var took []time.Duration
		for range runs {
			if watchRate(r, perMinute, 0, time.Hour, time.Minute) > 0 {
				false60++
			}
		}
		for range runs / 10 {
			fall := time.Duration(r.Float64() * 8 * float64(time.Second))
			at := watchRate(r, perMinute, 0, fall, 4*time.Minute)
			if at == 0 {
				missed++
				continue
			}
			took = append(took, max(0, at-fall))
		}
		slices.Sort(took)
		t.Logf("%2.0f shares a minute: silent by chance %.4f of minutes, missed %d of %d, "+
			"found after %v (median), %v (p95)", perMinute, float64(false60)/runs,
			missed, runs/10, took[len(took)/2], took[len(took)*95/100])
		// 1e-3 of 20,000 is 20; 40 come by chance once in 20,000 such tests.
		if false60 > 40 {
			t.Errorf("%v a minute: %d of %d minutes were called silent", perMinute, false60, runs)
		}
		if missed > 0 {
			t.Errorf("%v a minute: %d of %d that fell silent were not found", perMinute, missed, runs/10)
		}
	}
}

// Ensure that who stays at its usual rate although it was told to sleep is found, and who sleeps is not
// called awake.
func TestRateTest_TellsWhoStays(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	for _, c := range []struct {
		rate  float64
		stays bool
	}{{20, true}, {0, false}} {
		wrong := 0
		for range 2000 {
			test := NewRateTest(20./60*testShare, 0, testShare, time.Minute)
			for range 4 * 60 {
				n := 0.0
				if r.Float64() < c.rate/60*testLook.Seconds() {
					n = 1
				}
				test.Observe(n*testShare, testShare, testLook)
			}
			if test.Stayed() != c.stays {
				wrong++
			}
		}
		if wrong > 10 {
			t.Errorf("at %v a minute %d of 2000 are judged wrongly", c.rate, wrong)
		}
	}
}

// Ensure that a cap is told from full power where it can be, and that nothing is told of nothing.
func TestRateTest_TellsCapsAndNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	found := 0
	for range 200 {
		if watchRate(r, 30, 15, 5*time.Second, 10*time.Minute) > 0 {
			found++
		}
	}
	if found < 195 {
		t.Errorf("half the rate was found %d times of 200", found)
	}
	var none RateTest
	none.Observe(1e15, testShare, time.Hour)
	near := NewRateTest(100, 95, 1, time.Minute)
	near.Observe(0, 1, time.Hour)
	if none.Fell() || none.Stayed() || near.Fell() || near.Stayed() {
		t.Error("a test without two rates tells something")
	}
}
