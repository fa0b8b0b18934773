package governor

import (
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// restMost is how long a feeder at rest is looked at only for changes: machines' words drift, and so do the
// sums that are kept meanwhile.
const restMost = 5 * time.Second

// tally is what a feeder's workers add up to.
type tally struct {
	worst   unit.Watts // most that they may draw
	model   unit.Watts // what they are believed to draw
	counted unit.Watts // what the planner counts them with
	unknown unit.Watts // of counted, what those may not draw whose state is not known
	words   unit.Watts // what they say that they draw; believed of those that are silent
	spoken  unit.Watts // full power of those that say it
	settled bool       // no order is on its way
	falling bool       // a reduction is
	drop    unit.Watts // what those on their way will take off, but who was told before and did nothing
	rising  unit.Watts // what returns on their way may still add to what the meter shows
	at      time.Time
}

// sum makes the tally anew.
func (f *feeder) sum(now time.Time) {
	t := tally{settled: true, at: now}
	for _, w := range f.workers {
		worst, counted := w.worst(now), w.counted(now)
		believed := w.believed(counted)
		t.worst += worst
		t.counted += counted
		t.model += believed
		if w.unsure(now) {
			t.unknown += counted - w.Sleep
		}
		if w.speaks {
			t.words += w.reported
			t.spoken += w.most
		} else {
			t.words += believed
		}
		waits := !w.settled || w.moving
		t.settled = t.settled && !waits
		falls := waits && (w.reduced() || w.order.Watts < w.from)
		t.falling = t.falling || falls
		if falls && !w.settled && !w.assertedAt.Equal(w.orderedAt) {
			t.drop += max(0, worst-w.order.Watts)
		}
		if !w.settled {
			t.rising += w.rising()
		}
	}
	f.tally = t
}

// resting says that nothing needs a look at single workers: all mine freely, say so, and have nothing to do.
// What changes that ends it: see unrest.
func (f *feeder) resting(now time.Time) bool {
	return f.rests && now.Sub(f.tally.at) < restMost
}

// unrest has all of the feeder's workers looked at again.
func (f *feeder) unrest() { f.rests = false }

// findRest finds whether the feeder rests, at the end of a look.
func (g *Governor) findRest(f *feeder, now time.Time) {
	if f.resting(now) {
		return
	}
	f.rests = f.site.stop == nil && f.now.fresh && !f.dispute.open && f.commission == nil && f.bulk == nil
	for _, w := range f.workers {
		if !f.rests {
			return
		}
		f.rests = w.idle(now)
	}
}

// idle says that nothing is to be done for the worker nor waited for.
func (w *worker) idle(now time.Time) bool {
	young := w.actuator != nil && now.Sub(w.reachedAt) < reportGrace
	told := !w.ordered() && w.found || w.acked && w.ordered()
	return w.settled && !w.stuck && !w.reduced() && told && !young && !w.sending &&
		w.actuator != nil && w.want.Mode == fleet.Free
}

// unrest has all workers looked at again: somebody has changed something.
func (g *Governor) unrest() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range g.feeders {
		f.unrest()
	}
}

// resting says that all feeders rest by what the newest plan was made from.
func (g *Governor) resting(now time.Time) bool {
	if !g.memo.steady {
		return false
	}
	for _, f := range g.feeders {
		if !f.resting(now) {
			return false
		}
	}
	return true
}
