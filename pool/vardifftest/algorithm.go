package vardifftest

import (
	"math"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/unit"
)

// Algorithm chooses the work of a share for one miner.
type Algorithm interface {
	Work() float64                          // hashes that a share of the next job takes
	Share(work float64, now time.Time)      // an accepted share
	Rejected(now time.Time)                 // a refused one
	Tick(now time.Time)                     // comes once a second
	Expect(hashrate float64, now time.Time) // a change was commanded
}

// Maker opens a channel for a miner that declares a hashrate, 0 if it does not.
type Maker func(guess, sharesPerMinute float64, now time.Time) Algorithm

// Ours is the pool's own.
func Ours(guess, sharesPerMinute float64, now time.Time) Algorithm {
	return newOurs(guess, config(sharesPerMinute), false, now)
}

// OursInPowers is the same for a client that rounds to powers of two.
func OursInPowers(guess, sharesPerMinute float64, now time.Time) Algorithm {
	return newOurs(guess, config(sharesPerMinute), true, now)
}

func config(sharesPerMinute float64) *pool.DifficultyConfig {
	c := pool.DefaultDifficulty()
	c.SharesPerMinute = sharesPerMinute
	return &c
}

type ours struct{ d pool.Vardiff }

func newOurs(guess float64, cfg *pool.DifficultyConfig, powers bool, now time.Time) *ours {
	var o ours
	o.d.Init(cfg, pool.Declared{
		Nominal: unit.Hashrate(guess), MaxTarget: pool.MaxTarget, Powers: powers,
	}, now)
	o.d.Mine(o.d.Work(), now)
	return &o
}

func (o *ours) Work() float64 { return float64(o.d.Work()) }

func (o *ours) Share(work float64, now time.Time) {
	o.d.Count(uint64(work), now)
	o.Tick(now)
}

func (o *ours) Rejected(time.Time) {}

func (o *ours) Tick(now time.Time) {
	if _, changed := o.d.Retarget(now); changed {
		o.d.Mine(o.d.Work(), now)
	}
}

func (o *ours) Expect(h float64, now time.Time) {
	o.d.Expect(unit.Hashrate(h), 0, now)
	o.Tick(now)
}

// Ladder is the rule of the Stratum V2 reference implementation, by its description: once a minute the
// realised share rate gives a hashrate, and the deviation from the one in use that is acted on
// becomes smaller with the time since the last change. Refused shares count too, and so
// old shares never fade.
func Ladder(guess, sharesPerMinute float64, now time.Time) Algorithm {
	if guess == 0 {
		guess = 1e11 // it refuses such a channel; this is kinder
	}
	return &ladder{hashrate: guess, spm: sharesPerMinute, updated: now, ticked: now}
}

type ladder struct {
	hashrate, spm   float64
	shares          int
	updated, ticked time.Time
}

func (l *ladder) Work() float64 { return max(1, l.hashrate*60/l.spm) }

func (l *ladder) Share(float64, time.Time)    { l.shares++ }
func (l *ladder) Rejected(time.Time)          { l.shares++ }
func (l *ladder) Expect(float64, time.Time)   {}
func (l *ladder) set(h float64, at time.Time) { l.hashrate, l.updated, l.shares = max(1, h), at, 0 }

// byAge is the first of three values that fits the time since the last change.
func byAge(age time.Duration, young, middle, old float64) float64 {
	switch {
	case age <= 30*time.Second:
		return young
	case age < 60*time.Second:
		return middle
	}
	return old
}

func (l *ladder) Tick(now time.Time) {
	age := now.Sub(l.updated)
	if now.Sub(l.ticked) < time.Minute || age < 15*time.Second {
		return
	}
	l.ticked = now
	if l.shares == 0 {
		l.set(l.hashrate/byAge(age, 1.5, 2, 3), now)
		return
	}
	realised := float64(l.shares) / age.Minutes()
	h := l.hashrate * realised / l.spm
	deviation := math.Abs(h/l.hashrate-1) * 100
	for _, rung := range []struct {
		deviation float64
		age       time.Duration
	}{
		{100, 0},
		{60, time.Minute},
		{50, 2 * time.Minute},
		{45, 3 * time.Minute},
		{30, 4 * time.Minute},
		{15, 5 * time.Minute},
	} {
		if deviation < rung.deviation || age < rung.age {
			continue
		}
		if deviation > 1000 {
			h = l.hashrate * byAge(age, 10, 5, 3)
		}
		l.set(h, now)
		return
	}
}

// Average is the rule of ckpool, by its description: an average of difficulty a second that fades over
// five minutes, looked at after 72 shares or four minutes since the last change, and left alone
// between 0.15 and 0.4 shares a second. It always aims at 0.3, and knows no declared hashrate.
func Average(_, _ float64, now time.Time) Algorithm {
	return &average{difficulty: 42, changed: now, decayed: now}
}

// AverageShares is what Average aims at, a minute.
const AverageShares = 60 / 3.33

type average struct {
	difficulty, rate        float64 // rate: difficulty a second
	pending                 float64
	shares                  int
	first, changed, decayed time.Time
}

func (a *average) Work() float64             { return a.difficulty * 0x1p32 }
func (a *average) Rejected(time.Time)        {}
func (a *average) Tick(time.Time)            {}
func (a *average) Expect(float64, time.Time) {}

func (a *average) Share(work float64, now time.Time) {
	const window = 300.0
	if a.first.IsZero() {
		a.first, a.changed = now, now
	}
	a.shares++
	a.pending += work / 0x1p32
	if dt := now.Sub(a.decayed).Seconds(); dt >= 0.01 {
		p := -math.Expm1(-dt / window)
		a.rate = (a.rate + a.pending/dt*p) / (1 + p)
		a.pending, a.decayed = 0, now
	}
	since := now.Sub(a.changed)
	if a.shares < 72 && since < 240*time.Second {
		return
	}
	bias := -math.Expm1(-now.Sub(a.first).Seconds() / window)
	if bias <= 0 {
		return
	}
	rate := a.rate / bias
	if ratio := rate / a.difficulty; ratio > 0.15 && ratio < 0.4 {
		return
	}
	next := max(1, math.Round(rate*3.33))
	if next == a.difficulty {
		return
	}
	a.difficulty, a.shares, a.changed = next, 0, now
}
