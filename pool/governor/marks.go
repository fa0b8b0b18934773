package governor

import (
	"context"
	"log/slog"
	"maps"
	"time"

	"github.com/hashlease/hashlease/pool"
)

// What was found out about machines is kept over restarts: who is left alone, who lies, who mines at another
// pool than it did here. Otherwise each would be counted on once more, until it is found again.

// liar is a machine whose word was shown to be false.
type liar struct {
	Until   time.Time `json:"until"`              // that it is not chosen once it is free
	ByMeter bool      `json:"by_meter,omitempty"` // its steps did not show; else its shares came as before
}

// escape is a machine whose session is gone, and that hashes elsewhere.
type escape struct {
	Seen time.Time `json:"seen"` // when it last had a session
	Home string    `json:"home"` // its active pool then, by its own word
	Pool string    `json:"pool"` // and now
}

// marks is what is kept of all machines.
type marks struct {
	quarantined map[pool.WorkerID]quarantine
	liars       map[pool.WorkerID]liar
	escaped     map[pool.WorkerID]escape
}

// marks gathers them. The caller holds mu.
func (g *Governor) marks() (m marks) {
	m = marks{map[pool.WorkerID]quarantine{}, map[pool.WorkerID]liar{}, map[pool.WorkerID]escape{}}
	at := func(t time.Time) time.Time { return t.UTC().Truncate(time.Second) } // as the journal gives it back
	for _, w := range g.workers {
		if w.quarantine != nil {
			m.quarantined[w.ID] = *w.quarantine
		}
		if w.lies {
			m.liars[w.ID] = liar{Until: at(w.liesUntil), ByMeter: w.doubt.named}
		}
		if w.where.escaped {
			m.escaped[w.ID] = escape{Seen: at(w.where.linkedAt), Home: w.where.home, Pool: w.where.pool}
		}
	}
	return m
}

// keepMarks makes new ones durable, and forgets those that are over.
func (g *Governor) keepMarks(ctx context.Context) {
	g.saveMu.Lock()
	defer g.saveMu.Unlock()
	g.mu.Lock()
	changed, m := g.isolated, g.marks()
	g.isolated = false
	g.mu.Unlock()
	if !changed && maps.Equal(m.liars, g.saved.Liars) && maps.Equal(m.escaped, g.saved.Escaped) {
		return
	}
	err := g.save(ctx, func(d *durable) {
		d.Quarantined, d.Liars, d.Escaped = m.quarantined, m.liars, m.escaped
	})
	if err != nil {
		g.mu.Lock()
		g.isolated = g.isolated || changed
		g.mu.Unlock()
		g.log.Warn("keeping what was found out about workers failed", slog.Any("error", err))
	}
}

// loadMarks takes over what the journal remembers.
func (g *Governor) loadMarks() {
	for id, q := range g.saved.Quarantined {
		if w := g.byWorker[id]; w != nil {
			w.isolate(&q)
		}
	}
	for id, l := range g.saved.Liars {
		w := g.byWorker[id]
		if w == nil {
			continue
		}
		w.lies, w.liesUntil = true, l.Until
		if l.ByMeter {
			w.doubt = suspicion{odds: doubtNamed, steps: doubtSteps, named: true}
			w.provenAt = time.Time{}
		}
	}
	for id, e := range g.saved.Escaped {
		if w := g.byWorker[id]; w != nil && w.probe != nil {
			w.where = whereabouts{linkedAt: e.Seen, home: e.Home, escaped: true, pool: e.Pool}
		}
	}
}
