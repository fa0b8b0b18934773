package pool

import (
	"math"
	"time"
)

// trailMarks is how many past moments are kept: recent ones densely, old ones sparsely.
const trailMarks = 24

// trail is the evidence since a number of past moments: shares counted and exposure.
type trail struct {
	from     time.Time // evidence counts after this moment
	at       time.Time // exposure is known up to here
	work     float64   // of a share of the newest job; 0 before the first
	shares   float64
	exposure float64 // shares that 1 H/s would have found
	marks    [trailMarks]mark
	n        int       // of marks
	marked   time.Time // when the newest mark was made
}

// mark is the state of a trail at a past moment.
type mark struct{ shares, exposure float64 }

// reset forgets everything. Evidence counts from the given time on, which may lie ahead.
func (t *trail) reset(from time.Time) {
	t.from, t.at, t.shares, t.exposure = from, from, 0, 0
	t.marks[0], t.n, t.marked = mark{}, 1, from
}

// advance adds the exposure up to now. A clock that steps back stands still.
func (t *trail) advance(now time.Time) {
	dt := now.Sub(t.at).Seconds()
	if dt <= 0 {
		return
	}
	t.at = now
	if t.work > 0 {
		t.exposure += dt / t.work
	}
}

func (t *trail) mine(work float64, now time.Time) {
	t.advance(now)
	t.work = work
}

// count adds a share of the given work. One of an older, harder job counts as one: more
// would overstate how much is known.
func (t *trail) count(work float64, now time.Time) {
	if t.work > 0 && now.After(t.from) {
		t.shares += min(1, work/t.work)
	}
}

// mark keeps this moment if the last one kept is at least the spacing ago. When there is no room,
// every second of the older half is dropped, but never the first.
func (t *trail) mark(now time.Time, spacing time.Duration) {
	if now.Sub(t.marked) < spacing {
		return
	}
	if t.n == trailMarks {
		const half = trailMarks / 2
		kept := 0
		for i := range trailMarks {
			if i < half && i%2 == 1 {
				continue
			}
			t.marks[kept] = t.marks[i]
			kept++
		}
		t.n = kept
	}
	t.marks[t.n] = mark{shares: t.shares, exposure: t.exposure}
	t.n++
	t.marked = now
}

// finding is the evidence against a hashrate since some moment.
type finding struct {
	n, mean float64 // shares counted and expected
	ratio   float64 // log likelihood ratio
}

// weigh looks for significant evidence against a hashrate: a log likelihood ratio of at least the
// bound since a moment that is worth it. The newest such moment says in which direction the
// truth lies, as what came before may be over; of those that agree, the strongest is returned.
func (t *trail) weigh(hashrate, bound float64, worth func(n, mean float64) bool) (best finding, ok bool) {
	for i := t.n - 1; i >= 0; i-- {
		m := &t.marks[i]
		f := finding{n: t.shares - m.shares, mean: (t.exposure - m.exposure) * hashrate}
		if f.mean <= 0 || !worth(f.n, f.mean) || ok && (f.n > f.mean) != (best.n > best.mean) {
			continue
		}
		f.ratio = f.mean - f.n
		if f.n > 0 {
			f.ratio += f.n * math.Log(f.n/f.mean)
		}
		if f.ratio >= max(bound, best.ratio) {
			best, ok = f, true
		}
	}
	return best, ok
}
