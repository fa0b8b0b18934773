package governor

import (
	"fmt"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

// riseGrace is beyond three times the declared time before a return without any sign counts as done.
// It errs on the long side: who rises after it would be taken for somebody else's excess.
const riseGrace = 30 * time.Second

// verify judges every order on its way and every worker that should stay down.
func (g *Governor) verify(f *feeder, now time.Time) {
	if f.resting(now) {
		return
	}
	shown := g.shownByMeter(f)
	for _, w := range f.workers {
		switch {
		case !w.ordered():
		case w.stuck:
			g.retryStuck(w, now)
		case w.settled:
			g.watch(w, shown, now)
		case w.order.Watts >= w.from && w.confirmed <= w.order.Watts:
			g.awaitRise(w, now)
		default:
			g.awaitFall(f, w, shown, now)
		}
	}
}

// shownByMeter says that the feeder's meter shows everything that was ordered: mining is at
// what the orders add up to if all of those on their way have worked.
func (g *Governor) shownByMeter(f *feeder) func(*worker) bool {
	model := f.tally.counted
	return func(w *worker) bool {
		if !f.now.fresh || w.sentAt.IsZero() || f.now.at.Before(w.sentAt.Add(w.shedIn())) {
			return false
		}
		allowance := max(f.tolerance(), (w.from-w.order.Watts)/2)
		return f.now.mining <= model+max(0, f.excess)+allowance
	}
}

// shedIn is the time that a reduction may take by the device's own word.
func (w *worker) shedIn() time.Duration { return max(w.capability.ShedIn, w.ack.Eta) }

// awaitRise waits for a return. That it may draw its new watts is counted from the order on, so all
// there is to find out is when it no longer adds to what the meter shows.
func (g *Governor) awaitRise(w *worker, now time.Time) {
	up := w.speaks && w.reported >= w.order.Watts*9/10
	late := now.After(w.orderedAt.Add(3*max(w.capability.ReturnIn, w.ack.Eta) + w.order.Ramp + riseGrace))
	if !up && !late {
		return
	}
	w.settled, w.confirmed = true, w.order.Watts
	w.feeder.settledAt = now
	w.evidence = fleet.Acknowledged
	if up {
		w.evidence = fleet.WattsDown
	}
}

// awaitFall waits for a reduction to show. The device's word ends the wait; without one the
// feeder's meter does. If neither comes in time, the worker is named.
func (g *Governor) awaitFall(f *feeder, w *worker, shown func(*worker) bool, now time.Time) {
	down := w.speaks && w.reportedAt.After(w.orderedAt) && w.reported <= w.order.Watts+w.slackWatts()
	g.hear(w, now)
	hash := w.hashDown() || w.hashesLess()
	switch {
	case down:
		w.evidence = fleet.WattsDown
	case hash:
		w.evidence = fleet.HashDown
	case w.acked:
		w.evidence = fleet.Acknowledged
	case !w.sentAt.IsZero():
		w.evidence = fleet.Requested
	}
	late := now.After(w.orderedAt.Add(g.patience(w)))
	confirmed := shown(w) && (down || !w.speaks) // who says that it is up is up
	switch {
	case down, confirmed, late && hash && !w.speaks:
		w.settle(now)
		if confirmed {
			w.evidence = fleet.MeterConfirmed
		}
		g.noteAnswer(w, now, true, down, confirmed)
	case late:
		g.noteAnswer(w, now, false, false, false)
		g.giveUp(f, w, now)
	}
}

// settle takes a reduction as done.
func (w *worker) settle(now time.Time) {
	w.feeder.settledAt = now
	w.settled = true
	w.confirmed = w.order.Watts
	w.stuck = w.quarantine != nil
	w.mark(now, lieSpan) // from here on its shares must agree
}

// giveUp counts the worker as drawing what it drew, so that the next plan takes the
// next-cheapest, and says what is known of it.
func (g *Governor) giveUp(f *feeder, w *worker, now time.Time) {
	w.stuck, w.settled = true, true
	w.stuckUntil = now.Add(g.cfg.RetryStuck)
	w.evidence = min(w.evidence, fleet.HashDown)
	said := "says nothing of its draw"
	if w.where.escaped {
		said = fmt.Sprintf("says it draws %v and hashes at %s", w.reported, w.where.pool)
	} else if w.speaks {
		said = fmt.Sprintf("says it draws %v", w.reported)
	}
	g.event(now, Event{Level: Warn, Feeder: f.ID, Worker: w.ID, Message: fmt.Sprintf(
		"stuck: ordered to %v %.0f s ago, evidence: %v, it %s; others give way instead",
		w.order.Watts, now.Sub(w.orderedAt).Seconds(), w.evidence, said)})
}

// retryStuck frees a worker that did as ordered after all, and tells it again after a while.
func (g *Governor) retryStuck(w *worker, now time.Time) {
	if w.quarantine != nil && w.feeder.site.stop == nil {
		return
	}
	if w.speaks && w.reported <= w.order.Watts+w.slackWatts() {
		w.settle(now)
		w.evidence = fleet.WattsDown
		g.event(now, Event{Feeder: w.feeder.ID, Worker: w.ID, Message: "does as ordered again"})
		return
	}
	if now.Before(w.stuckUntil) {
		return
	}
	w.stuck, w.stuckUntil = w.quarantine != nil, now.Add(g.cfg.RetryStuck)
	g.again(w, now)
}

// again repeats the order in force with a new command.
func (g *Governor) again(w *worker, now time.Time) {
	sp := w.order
	w.asserts++
	w.assertedAt = now
	g.issue(w, sp, now, 0)
	w.settled = false
	w.confirmed = w.full()
}

// watch looks after a worker whose order has taken effect: does it stay there, and was it true?
func (g *Governor) watch(w *worker, shown func(*worker) bool, now time.Time) {
	if what := w.strayed(); what != "" {
		g.foreign(w, what, now)
		return
	}
	if !w.reduced() {
		w.lies = w.lies && now.Before(w.liesUntil)
		return
	}
	g.hear(w, now)
	switch {
	case w.lies && !w.doubt.named && w.hashDown():
		w.lies = false
		g.event(now, Event{Feeder: w.feeder.ID, Worker: w.ID, Message: "its shares say that it is down now"})
	case w.lies:
	case w.caughtLying():
		g.nameLiar(w, "its shares come as before", now)
	case shown(w) && w.evidence != fleet.NoOrder:
		w.evidence = fleet.MeterConfirmed
	}
}

// nameLiar names a worker that says it is down while something else says that it is not. What it draws shows
// at the meter as excess, for which others have given way already: counted in full too, it would be freed
// twice. It is not chosen again for a while.
func (g *Governor) nameLiar(w *worker, why string, now time.Time) {
	w.lies, w.liesUntil = true, now.Add(10*g.cfg.RetryStuck)
	w.evidence = min(w.evidence, fleet.Acknowledged)
	w.mark(now, lieSpan)
	g.event(now, Event{Level: Warn, Feeder: w.feeder.ID, Worker: w.ID, Message: fmt.Sprintf(
		"LYING: says it draws %v, is ordered to %v, and %s; others give way instead",
		w.reported, w.order.Watts, why)})
}
