package vardifftest

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Bound is how soon anything could notice that a hashrate has changed.
type Bound struct {
	Factor    float64 `json:"factor"`             // by which the hashrate changes
	Alarms    float64 `json:"changes_per_10_min"` // false alarms at constant hashrate
	Threshold float64 `json:"threshold"`          // of the test's statistic
	P50       float64 `json:"first_change_p50_s"`
	P90       float64 `json:"first_change_p90_s"`
}

// alarmSpan is for how many minutes each threshold is tried at constant hashrate.
const alarmSpan = 200_000

// Best is the bound of a rule that is told all that ours has to find out: the hashrate before, and by
// which factor it will change, and so it looks for nothing else. It may alarm falsely so many
// times in ten minutes. For a known change of a Poisson rate the cumulative-sum test has the
// smallest worst mean delay of all that alarm no more often (Moustakides 1986; for Poisson processes
// El Karoui, Loisel and Salhi 2017).
func Best(factor, sharesPerMinute, alarms float64, runs int, seed uint64) Bound {
	rng := rand.New(rand.NewPCG(seed, 2))
	low, high := 0.0, 20.0
	for range 24 {
		middle := (low + high) / 2
		if t := newTest(factor, middle); t.alarms(rng, sharesPerMinute) > alarms {
			low = middle
		} else {
			high = middle
		}
	}
	t := newTest(factor, high)
	var delays []float64
	for range runs {
		t.settle(rng, 60)
		delays = append(delays, t.delay(rng, 1e6)/sharesPerMinute*60)
	}
	slices.Sort(delays)
	return Bound{
		Factor: factor, Alarms: alarms, Threshold: high,
		P50: quantile(delays, 0.5), P90: quantile(delays, 0.9),
	}
}

// sumTest is a cumulative sum of log likelihood ratios. Its time runs in expected shares.
type sumTest struct {
	factor, threshold float64
	share             float64 // what a share adds
	drift             float64 // what an expected share's time adds
	sum               float64
}

func newTest(factor, threshold float64) *sumTest {
	return &sumTest{factor: factor, threshold: threshold, share: math.Log(factor), drift: 1 - factor}
}

// next goes on for a time or to the next share at a rate, and returns the time that went by and
// whether the sum got over its threshold.
func (t *sumTest) next(rng *rand.Rand, rate, span float64) (float64, bool) {
	gap := rng.ExpFloat64() / rate
	wait := min(gap, span)
	if rise := t.threshold - t.sum; t.drift > 0 && rise <= t.drift*wait { // silence is what alarms
		t.sum = 0
		return max(0, rise) / t.drift, true
	}
	t.sum = max(0, t.sum+t.drift*wait)
	if gap < span {
		t.sum = max(0, t.sum+t.share)
	}
	if t.sum >= t.threshold {
		t.sum = 0
		return wait, true
	}
	return wait, false
}

// alarms is how often it alarms in ten minutes at constant hashrate.
func (t *sumTest) alarms(rng *rand.Rand, sharesPerMinute float64) float64 {
	total := alarmSpan * sharesPerMinute
	count := 0
	for now := 0.0; now < total; {
		wait, alarm := t.next(rng, 1, total-now)
		now += max(wait, 1e-9)
		if alarm {
			count++
		}
	}
	return float64(count) / alarmSpan * 10
}

// settle lets so many expected shares of constant hashrate go by, so that a change finds the sum
// anywhere.
func (t *sumTest) settle(rng *rand.Rand, span float64) {
	for now := 0.0; now < span; {
		wait, _ := t.next(rng, 1, span-now)
		now += max(wait, 1e-9)
	}
}

// delay is the time from a change of the hashrate to the alarm, at most longest.
func (t *sumTest) delay(rng *rand.Rand, longest float64) float64 {
	now := 0.0
	for now < longest {
		wait, alarm := t.next(rng, t.factor, longest-now)
		now += max(wait, 1e-9)
		if alarm {
			break
		}
	}
	return now
}
