package fleet

import (
	"math"
	"time"
)

// RateTest tells by the shares that come whether a worker's hashrate has gone from a usual rate to an
// ordered one. Shares are a Poisson process, so that after n shares in a time t the logarithm of how much
// likelier they are under the ordered rate o than under the usual rate u (both in shares a second) is
//
//	n ln(o/u) - (o-u) t
//
// Wald's sequential test (1945) would decide when that has passed ln(1/alpha). When the machine will fall
// is not known, so the test begins anew whenever it favours the usual rate, which is Page's CUSUM (1954);
// each new beginning is one more chance of a false alarm, so the bound grows with how many there can be
// while it is waited for. The same the other way round tells who goes on at its usual rate. Its zero
// value is of no worker.
type RateTest struct {
	usual, ordered float64 // work a second
	bound          float64
	fell, stayed   float64 // for the ordered and for the usual rate; neither is below 0
}

// Chances of the test, each over the time that it was made for.
const (
	rateAlpha = 1e-3
	// rateFloor is what is left of the usual rate when silence is ordered: a share may still be on its way.
	rateFloor = 0.02
	// rateNear is a change of the rate too small to be told in useful time.
	rateNear = 0.9
)

// NewRateTest makes a test of a change from usual to ordered, both in work a second, that is looked for
// over span; a share is worth each.
func NewRateTest(usual, ordered Work, each float64, span time.Duration) RateTest {
	t := RateTest{usual: float64(usual), ordered: max(float64(ordered), rateFloor*float64(usual))}
	if each > 0 && usual > 0 {
		t.bound = math.Log(1/rateAlpha) + math.Log1p(t.usual/each*span.Seconds())
	}
	return t
}

// Work is hashes a second as shares tell them.
type Work float64

// Observe takes work that was counted over a time, in shares of each.
func (t *RateTest) Observe(work, each float64, over time.Duration) {
	if !t.Tells() || each <= 0 || over <= 0 {
		return
	}
	u, o, n := t.usual/each, t.ordered/each, work/each
	step := n*math.Log(o/u) - (o-u)*over.Seconds()
	t.fell, t.stayed = max(0, t.fell+step), max(0, t.stayed-step)
}

// Tells says that the two rates can be told from each other.
func (t *RateTest) Tells() bool { return t.bound > 0 && t.ordered < rateNear*t.usual }

// Fell says that the rate is the ordered one: if it were the usual one, that would be said once in a
// thousand such waits.
func (t *RateTest) Fell() bool { return t.Tells() && t.fell >= t.bound }

// Stayed says the same of the usual rate, since the test was made or last begun anew.
func (t *RateTest) Stayed() bool { return t.Tells() && t.stayed >= t.bound }
