package governor

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

// dueList is who is to be told something until the next look, in order: a look at all workers is made
// once a tick, not for each of thousands of sends.
type dueList struct {
	until time.Time // it is whole up to here
	list  []due     // reductions that are late first, then by time
	ended []*worker // whose sends have ended since
}

// due is one worker's turn.
type due struct {
	w  *worker
	at time.Time
}

// compareDue has reductions of those that are late at now go first.
func compareDue(now time.Time) func(a, b due) int {
	return func(a, b due) int {
		lateA, lateB := !a.at.After(now), !b.at.After(now)
		if lateA && lateB && a.w.reduced() != b.w.reduced() {
			if a.w.reduced() {
				return -1
			}
			return 1
		}
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.w.place, b.w.place))
	}
}

// dispatch starts the sends that are due and says when to look again. After a look at everything it
// makes the list anew.
func (g *Governor) dispatch(ctx context.Context, now time.Time, looked bool) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := &g.due
	if looked || now.After(q.until) {
		q.until, q.list, q.ended = now.Add(2*g.cfg.Tick), q.list[:0], q.ended[:0]
		for _, w := range g.workers {
			g.line(w, now)
		}
		slices.SortFunc(q.list, compareDue(now))
	} else if len(q.ended) > 0 {
		for _, w := range q.ended {
			g.line(w, now)
		}
		q.ended = q.ended[:0]
		slices.SortFunc(q.list, compareDue(now))
	}
	n := 0
	for ; n < len(q.list) && !q.list[n].at.After(now) && g.sending < g.cfg.Sends; n++ {
		w := q.list[n].w
		if wait, ok := g.sendDue(w, now); ok && wait <= 0 {
			g.send(ctx, w, now)
		}
	}
	q.list = slices.Delete(q.list, 0, n)
	if len(q.list) == 0 || !q.list[0].at.After(now) { // nobody, or who waits for a place
		return time.Hour
	}
	return q.list[0].at.Sub(now)
}

// line puts a worker on the list, if it is due before that is made anew.
func (g *Governor) line(w *worker, now time.Time) {
	if wait, ok := g.sendDue(w, now); ok {
		if at := now.Add(wait); at.Before(g.due.until) {
			g.due.list = append(g.due.list, due{w, at})
		}
	}
}

// sendDue says in how long the worker is to be told something, or told again.
func (g *Governor) sendDue(w *worker, now time.Time) (time.Duration, bool) {
	switch {
	case !w.ordered(), w.sending, w.actuator == nil, w.feeder.arm != fleet.Act:
		return 0, false
	case !w.acked && w.order.Watts > w.from && !w.feeder.now.fresh:
		return 0, false // nobody returns unseen, also not by an order that did not arrive before
	case !w.acked:
		return max(w.dueAt.Sub(now), w.retryAt.Sub(now), 0), true
	case w.reduced():
		return max(w.touchedAt.Add(g.cfg.ValidFor/3).Sub(now), w.retryAt.Sub(now), 0), true
	}
	return 0, false
}
