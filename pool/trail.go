package pool

import (
	"math"
	"time"
)

// trail is the evidence that a channel's shares give about its hashrate. Exposure is the number
// of shares that 1 H/s would have found: shares/exposure is the likeliest hashrate whatever the
// targets were meanwhile. All times count from the channel's opening.
type trail struct {
	at   time.Duration // exposure is known up to here; ahead of the clock while nothing is evidence
	work float64       // of a share of the newest job; 0 before the first

	shares, exposure     float64 // what the estimate is made of; old evidence fades
	fresh, freshExposure float32 // not weighed yet
	held, heldExposure   float32 // since the target in force was chosen

	down, up suspicion
}

// trailMemory is how many shares the estimate remembers: 400 know a rate to within 5 %.
const trailMemory = 400

// against is what was counted since the target in force was chosen, and what a hashrate would have given.
func (t *trail) against(hashrate float64) (n, mean float64) {
	return float64(t.held), float64(t.heldExposure) * hashrate
}

// reset makes a hashrate the estimate, with the weight of so many shares, and forgets the rest.
// Evidence counts from the given time on, which may lie ahead.
func (t *trail) reset(from time.Duration, hashrate, weight float64) {
	*t = trail{at: from, work: t.work}
	if weight > 0 {
		t.shares, t.exposure = weight, weight/hashrate
	}
}

// advance adds the exposure up to now. A clock that steps back stands still.
func (t *trail) advance(now time.Duration) {
	if now <= t.at {
		return
	}
	if t.work > 0 {
		t.freshExposure += float32((now - t.at).Seconds() / t.work)
	}
	t.at = now
}

func (t *trail) mine(work float64, now time.Duration) {
	t.advance(now)
	t.work = work
}

// count adds a share of the given work. One of an older, harder job counts as one: more
// would overstate how much is known.
func (t *trail) count(work float64, now time.Duration) {
	if t.work > 0 && now >= t.at {
		t.fresh += float32(min(1, work/t.work))
	}
}

// estimate is the likeliest hashrate, of evidence that counts. It is 0 if there is none.
func (t *trail) estimate() float64 {
	if t.exposure <= 0 {
		return 0
	}
	return t.shares / t.exposure
}

// weigh moves fresh evidence into the sums: first into the suspicions that the hashrate is no
// longer the one given, then into the estimate.
func (t *trail) weigh(hashrate float64) {
	t.held += t.fresh
	t.heldExposure += t.freshExposure
	n, x := float64(t.fresh), float64(t.freshExposure)
	t.fresh, t.freshExposure = 0, 0
	t.down.add(n, x*hashrate, downRatio)
	t.up.add(n, x*hashrate, upRatio)
	t.shares += n
	t.exposure += x
	if f := trailMemory / t.shares; f < 1 {
		t.shares *= f
		t.exposure *= f
	}
}

// Hashrates that the suspicions ask about, of the one that is believed.
const (
	downRatio = 0.5
	upRatio   = 2.0
)

// suspicion is Page's sequential test (cumulative sum) of one change: the log likelihood ratio
// between "it changed by a ratio some time ago" and "it did not", at the moment of change that
// suits the evidence best. No other test finds this change sooner at the same rate of false alarms.
type suspicion struct {
	sum          float32 // log likelihood ratio
	shares, mean float32 // counted and expected since that moment
}

func (s *suspicion) add(n, mean, ratio float64) {
	sum := float64(s.sum) + n*math.Log(ratio) + mean*(1-ratio)
	if sum <= 0 {
		*s = suspicion{}
		return
	}
	s.sum = float32(sum)
	s.shares += float32(n)
	s.mean += float32(mean)
}

// evidence is the log likelihood ratio between the likeliest rate for n shares and the mean.
func evidence(n, mean float64) float64 {
	if n <= 0 {
		return mean
	}
	return n*math.Log(n/mean) - (n - mean)
}
