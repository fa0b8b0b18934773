package governor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
)

const (
	// maxAsserts is how often a machine that does other than it was told is told again before it is left
	// alone: somebody else has a hand on it, and is not fought.
	maxAsserts = 3
	// assertsCount is how long a repetition counts.
	assertsCount = 10 * time.Minute
)

// quarantine is why a machine is left alone until an operator releases it.
type quarantine struct {
	At  time.Time `json:"at"`
	Why string    `json:"why"`
}

// Quarantine is a machine that is left alone and counted with its full power, because it was set otherwise
// three times after it had been told.
type Quarantine struct {
	Worker pool.WorkerID
	Feeder fleet.FeederID
	Site   fleet.SiteID
	At     time.Time
	Why    string
}

// foreign deals with a machine that does other than it was told after it had obeyed: it is told again three
// times, and then left alone.
func (g *Governor) foreign(w *worker, what string, now time.Time) {
	w.confirmed = w.full()
	if w.asserts > 0 && now.Sub(w.assertedAt) > assertsCount {
		w.asserts = 0
	}
	if w.asserts < maxAsserts {
		g.event(now, Event{Level: Warn, Feeder: w.feeder.ID, Worker: w.ID, Message: what + "; told again"})
		g.again(w, now)
		return
	}
	w.evidence = min(w.evidence, fleet.Acknowledged)
	w.isolate(&quarantine{At: now, Why: what})
	g.isolated = true
	g.event(now, Event{Level: Warn, Feeder: w.feeder.ID, Worker: w.ID, Message: fmt.Sprintf(
		"QUARANTINED: %s, after it was told %d times: somebody else has a hand on it. It is left alone, and "+
			"others give way instead, until hashlease worker release %s", what, 1+maxAsserts, w.ID)})
}

// isolate takes the worker out of plans, counted with its full power.
func (w *worker) isolate(q *quarantine) {
	w.quarantine, w.stuck, w.settled, w.confirmed = q, true, true, w.full()
	w.feeder.unrest()
}

// strayed says in words what a machine does against its order, empty if nothing: by its watts in a session,
// or by what it says on its own interface that it was set to.
func (w *worker) strayed() string {
	if w.reduced() && w.speaks && w.reported > w.order.Watts+max(2*w.slackWatts(), 100) {
		return fmt.Sprintf("woke by itself: ordered to %v, says it draws %v", w.order.Watts, w.reported)
	}
	if s := w.strays(); s != NoStray {
		return fmt.Sprintf("%v: ordered to %v, %v", s, w.order.Mode, w.order.Watts)
	}
	return ""
}

// Release lets a worker take part again that is quarantined or named a liar, durably: it is told what the
// plan wants of it.
func (g *Governor) Release(ctx context.Context, id pool.WorkerID) error {
	w := g.byWorker[id]
	if w == nil {
		return refuse(ErrUnknown, "there is no worker %q in the fleet", id)
	}
	g.saveMu.Lock()
	defer g.saveMu.Unlock()
	g.mu.Lock()
	is, state := w.quarantine != nil || w.lies, w.words(time.Now())
	g.mu.Unlock()
	if !is {
		return refuse(ErrState, "worker %q is not quarantined, nor named a liar; it is %s", id, state)
	}
	err := g.save(ctx, func(d *durable) {
		d.Quarantined, d.Liars = maps.Clone(d.Quarantined), maps.Clone(d.Liars)
		delete(d.Quarantined, id)
		delete(d.Liars, id)
	})
	if err != nil {
		return fmt.Errorf("noting that worker %q is released: %w", id, err)
	}
	now := time.Now()
	g.mu.Lock()
	w.quarantine, w.stuck, w.lies, w.asserts = nil, false, false, 0
	w.doubt = suspicion{told: w.doubt.told}
	if w.ordered() {
		g.again(w, now)
		w.asserts = 0
	}
	g.event(now, Event{Feeder: w.Feeder, Worker: id, Message: "an operator releases it: it takes part again"})
	g.mu.Unlock()
	g.wake()
	return nil
}

// Quarantines are the workers that are left alone because somebody else sets them, by name.
func (g *Governor) Quarantines() []Quarantine {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []Quarantine
	for _, w := range g.workers {
		if q := w.quarantine; q != nil {
			out = append(out, Quarantine{w.ID, w.Feeder, w.feeder.Site, q.At, q.Why})
		}
	}
	slices.SortFunc(out, func(a, b Quarantine) int {
		return strings.Compare(string(a.Worker), string(b.Worker))
	})
	return out
}
