package pool

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// DifficultyConfig says how difficulty follows hashrate.
type DifficultyConfig struct {
	SharesPerMinute float64 // wanted from each channel
	Floor           Target  // easiest target that is ever given: the server's minimum difficulty
}

// DefaultDifficulty is six shares a minute and never below difficulty 1.
func DefaultDifficulty() DifficultyConfig {
	return DifficultyConfig{SharesPerMinute: 6, Floor: TargetForHashes(1 << 32)}
}

// Validate lists every fault of the configuration.
func (c DifficultyConfig) Validate() error {
	var faults []error
	if !(c.SharesPerMinute >= 0.1 && c.SharesPerMinute <= 6000) {
		faults = append(faults, fmt.Errorf("shares per minute %v: 0.1 to 6000 are taken", c.SharesPerMinute))
	}
	if c.Floor == (Target{}) {
		faults = append(faults, errors.New("floor is missing: a target above 0 is accepted"))
	}
	return errors.Join(faults...)
}

const (
	maxHashrate = unit.Hashrate(1e24) // above it a declaration is taken for nonsense

	lookEvery    = time.Second      // evidence is weighed no more often,
	lookShares   = 64               // unless so many shares came since
	settleTime   = 10 * time.Second // after a commanded change, what comes in is not evidence
	resumeGrace  = 5 * time.Minute  // a resumed machine boots in silence
	minUpShares  = 16               // fewer may be a burst
	evidence     = 7.0              // log likelihood ratio that counts as significant
	evidenceNew  = 4.0              // the same for an estimate that few shares have backed
	newShares    = 40               // expected shares until an estimate is no longer new
	silentAgain  = 3.0              // the same when silence goes on after it eased the target
	deadBand     = 1.25             // a ratio nearer to 1 is not worth a change
	easeStep     = 4.0              // most that the target eases with hardly any share
	easeMost     = 4096.0           // most that silence eases in all
	expectMargin = 0.05             // a commanded change below it leaves the target alone
)

// vardiff chooses the target.
//
// Shares are a Poisson process whose rate is hashrate / work per share. The trail
// keeps the number of shares n and the exposure x = sum of dt/work since a number of past
// moments; n/x is the likeliest hashrate since that moment, and n*ln(n/hx) - (n - hx) the log
// likelihood ratio between it and the estimate h in use. Only significant evidence is acted
// on, so that a steady miner is left alone while a large error is seen after a few shares.
type vardiff struct {
	cfg     DifficultyConfig
	limit   Target  // easiest target allowed: the floor, or harder if the device asks so
	rate    float64 // shares a minute that are wanted now
	nominal unit.Hashrate

	hashrate float64 // the estimate that the target is made of
	anchor   float64 // the last estimate that silence did not make
	silent   bool    // the estimate was made by silence, and no share came since
	paused   bool    // silence is ordered

	target     Target
	work       uint64  // of target
	difficulty float64 // of target
	changed    bool    // target was not reported yet

	ordered      unit.Hashrate // last commanded change
	orderedRate  float64
	orderedOnce  bool
	patientUntil time.Time // no easing before
	looked       time.Time
	counted      float64 // shares when it was looked
	trail        trail
}

func (d *vardiff) init(cfg DifficultyConfig, nominal unit.Hashrate, maxTarget Target, now time.Time) {
	if cfg.Validate() != nil {
		def := DefaultDifficulty()
		if !(cfg.SharesPerMinute >= 0.1 && cfg.SharesPerMinute <= 6000) {
			cfg.SharesPerMinute = def.SharesPerMinute
		}
		if cfg.Floor == (Target{}) {
			cfg.Floor = def.Floor
		}
	}
	d.cfg, d.rate, d.limit = cfg, cfg.SharesPerMinute, cfg.Floor.Min(maxTarget)
	d.nominal = sane(nominal)
	d.trail.reset(now)
	h := float64(d.nominal)
	if h == 0 {
		h = d.easiest()
	}
	d.adopt(h)
	d.changed = false // the opening message carries it
}

// sane is a declared hashrate without what cannot be.
func sane(h unit.Hashrate) unit.Hashrate {
	if !(h > 0) {
		return 0
	}
	return min(h, maxHashrate)
}

// easiest is the hashrate at which the easiest target gives the wanted shares.
func (d *vardiff) easiest() float64 { return float64(d.limit.Work()) * d.rate / 60 }

// adopt makes h the estimate, on evidence or by order.
func (d *vardiff) adopt(h float64) {
	d.hashrate, d.anchor, d.silent = h, h, false
	d.aim()
}

// aim derives the target from the estimate.
func (d *vardiff) aim() {
	t := d.limit
	if d.hashrate > d.easiest() {
		t = t.Min(TargetForHashrate(unit.Hashrate(d.hashrate), d.rate))
	}
	if t == d.target {
		return
	}
	d.target, d.work, d.difficulty, d.changed = t, t.Work(), t.Difficulty(), true
}

// mine notes that the newest job has shares of the given work.
func (d *vardiff) mine(work uint64, now time.Time) { d.trail.mine(float64(work), now) }

// count notes an accepted share.
func (d *vardiff) count(work uint64, now time.Time) { d.trail.count(float64(work), now) }

func (d *vardiff) retarget(now time.Time) (Target, bool) {
	if now.Sub(d.looked) >= lookEvery || d.trail.shares-d.counted >= lookShares {
		d.looked = now
		d.trail.advance(now)
		d.look(now)
		d.trail.mark(now, time.Duration(3*float64(time.Minute)/d.rate))
		d.counted = d.trail.shares
	}
	changed := d.changed
	d.changed = false
	return d.target, changed
}

// look acts on the evidence if it is significant.
func (d *vardiff) look(now time.Time) {
	if d.paused && d.trail.shares >= minUpShares {
		d.paused = false // it mines after all
		d.trail.reset(now)
		return
	}
	patient := d.paused || now.Before(d.patientUntil)
	f, ok := d.trail.weigh(d.hashrate, d.needed(), func(n, mean float64) bool {
		if n > mean {
			return n > mean*deadBand && n >= minUpShares
		}
		return n*deadBand < mean && !patient
	})
	switch {
	case !ok:
		return
	case f.n == 0:
		if !d.ease() {
			return
		}
	case f.n < min(4, f.mean):
		d.adopt(d.hashrate * max((f.n+0.5)/f.mean, 1/easeStep))
	default:
		d.adopt(d.hashrate * f.n / f.mean)
	}
	d.trail.reset(now)
}

// needed is the log likelihood ratio that counts as significant. An estimate that was
// made on little evidence is given up on little.
func (d *vardiff) needed() float64 {
	switch {
	case d.silent && d.trail.shares == 0:
		return silentAgain
	case d.trail.exposure*d.hashrate < newShares:
		return evidenceNew
	}
	return evidence
}

// ease makes the target easier because of silence, within bounds, and reports whether it did.
func (d *vardiff) ease() bool {
	h := max(d.hashrate/easeStep, d.anchor/easeMost)
	if d.target == d.limit || h >= d.hashrate {
		return false
	}
	d.hashrate, d.silent = h, true
	d.aim()
	return true
}

func (d *vardiff) expect(h unit.Hashrate, sharesPerMinute float64, now time.Time) {
	h = sane(h)
	if d.orderedOnce && h == d.ordered && sharesPerMinute == d.orderedRate {
		return // a repeated order is no news
	}
	resumed := float64(h) > d.hashrate*(1+expectMargin) || d.paused
	d.orderedOnce, d.ordered, d.orderedRate = true, h, sharesPerMinute
	rate := d.cfg.SharesPerMinute
	if sharesPerMinute >= 0.1 && sharesPerMinute <= 6000 {
		rate = sharesPerMinute
	}
	d.trail.reset(now.Add(settleTime))
	d.paused = h == 0
	d.patientUntil = time.Time{}
	if d.paused {
		return
	}
	if resumed {
		d.patientUntil = now.Add(resumeGrace)
	}
	if rate != d.rate || math.Abs(float64(h)-d.hashrate) > expectMargin*d.hashrate {
		d.rate = rate
		d.adopt(float64(h))
	}
}

func (d *vardiff) update(nominal unit.Hashrate, maxTarget Target, now time.Time) {
	d.limit = d.cfg.Floor.Min(maxTarget)
	old := d.nominal
	nominal = sane(nominal)
	d.nominal = nominal
	switch {
	case nominal == old:
	case nominal == 0:
		d.paused = true // the device says that it stops
		d.trail.reset(now)
	default:
		d.paused = false
		h := float64(nominal)
		if old > 0 && !d.silent {
			h = d.hashrate * float64(nominal/old) // keep what was learnt of this device
		}
		d.adopt(min(h, float64(maxHashrate)))
		d.trail.reset(now)
	}
	d.aim()
}
