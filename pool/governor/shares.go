package governor

import (
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

// lieSpan is over how long a machine that says it sleeps is watched for shares.
const lieSpan = 10 * time.Minute

// shareWatch is what a worker's shares tell of its order (fleet.RateTest).
type shareWatch struct {
	links []*fleet.Link // whose counters they are
	work  uint64        // sum of them
	at    time.Time     // of the last look
	span  time.Duration // that the test is for
	each  float64       // the most that a share of theirs is worth; 0: unknown yet
	test  fleet.RateTest
	made  bool
}

// mark begins a test anew, of a change to the order in force that is to show within span.
func (w *worker) mark(now time.Time, span time.Duration) {
	w.shares = shareWatch{links: w.links, at: now, span: span}
	for _, l := range w.links {
		_, work := l.Counted()
		w.shares.work += work
	}
}

// hear takes what was counted since the last look. A worker that never counted a share proves nothing by
// having none; behind a proxy a share is the proxy's, and silence means less.
func (g *Governor) hear(w *worker, now time.Time) {
	s := &w.shares
	if len(w.links) == 0 {
		return
	}
	if !slices.Equal(w.links, s.links) { // it counts elsewhere now
		w.mark(now, s.span)
		return
	}
	var work uint64
	for _, l := range w.links {
		_, counted := l.Counted()
		work += counted
		s.each = max(s.each, float64(l.ShareWork()))
	}
	if !s.made && s.each > 0 && work > 0 {
		s.made = true
		ordered := fleet.Work(float64(w.order.Hashrate) * g.cfg.HashScale)
		s.test = fleet.NewRateTest(g.usualRate(w), ordered, s.each, s.span)
	}
	s.test.Observe(float64(work-s.work), s.each, now.Sub(s.at))
	s.work, s.at = work, now
}

// usualRate is what the worker's sessions counted before the order: as was measured at full power, else
// by its curve.
func (g *Governor) usualRate(w *worker) fleet.Work {
	full := float64(w.Curve.Full().Hashrate)
	rate := full * g.cfg.HashScale
	if w.measured.known && w.measured.stable > 0 {
		rate = w.measured.stable
	}
	if w.from < w.full() && full > 0 {
		rate *= float64(w.Curve.At(w.from)) / full
	}
	return fleet.Work(rate)
}

// hashDown says whether the worker's shares have fallen to what was ordered.
func (w *worker) hashDown() bool { return w.shares.test.Fell() }

// caughtLying says that a machine which claims to be down goes on hashing as before.
func (w *worker) caughtLying() bool { return w.reduced() && w.speaks && w.shares.test.Stayed() }
