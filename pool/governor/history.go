package governor

import (
	"context"
	"log/slog"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// maxEvents is how many events are kept.
const maxEvents = 1024

// sampleRing keeps the last seconds of a feeder.
type sampleRing struct {
	size int
	ring []Sample
	next int
}

func (r *sampleRing) add(s Sample) {
	if len(r.ring) < r.size {
		r.ring = append(r.ring, s)
		return
	}
	r.ring[r.next] = s
	r.next = (r.next + 1) % r.size
}

// last is the newest sample, zero before the first.
func (r *sampleRing) last() Sample {
	if len(r.ring) == 0 {
		return Sample{}
	}
	return r.ring[(r.next+len(r.ring)-1)%len(r.ring)]
}

// remember takes a sample every second.
func (f *feeder) remember(caps []fleet.Cap, now time.Time) {
	if now.Sub(f.history.last().At) < time.Second {
		return
	}
	f.history.add(Sample{
		At: now, Limit: f.Limit, Bound: f.plan.Bound, Total: f.now.total, Mining: f.now.mining,
		Base: f.now.base, Tenant: f.now.tenant, Claimed: f.claimed(caps, now),
	})
}

// claimed is what may not be mined with now.
func (f *feeder) claimed(caps []fleet.Cap, now time.Time) unit.Watts {
	st := fleet.FeederState{Feeder: &f.Feeder, Tenants: f.now.tenants}
	return st.Claimed(caps, now)
}

// History is the last seconds of a feeder, oldest first; nil for one that is not known.
func (g *Governor) History(id fleet.FeederID) []Sample {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.byFeeder[id]
	if f == nil {
		return nil
	}
	r := &f.history
	s := make([]Sample, 0, len(r.ring))
	s = append(s, r.ring[r.next:]...)
	return append(s, r.ring[:r.next]...)
}

// eventRing keeps the newest events.
type eventRing struct {
	seq  uint64
	ring []Event
	next int
}

// event tells people. The caller holds mu.
func (g *Governor) event(now time.Time, e Event) {
	r := &g.events
	r.seq++
	e.Seq, e.At = r.seq, now
	if f := g.byFeeder[e.Feeder]; f != nil && e.Site == "" {
		e.Site = f.Site
	}
	g.noteEvent(&e)
	if len(r.ring) < maxEvents {
		r.ring = append(r.ring, e)
		return
	}
	r.ring[r.next] = e
	r.next = (r.next + 1) % maxEvents
}

// tell logs the events since it was last called. It is Run's alone.
func (g *Governor) tell(ctx context.Context) {
	for _, e := range g.Events(g.told) {
		g.told = e.Seq
		level := slog.LevelInfo
		if e.Level == Warn {
			level = slog.LevelWarn
		}
		attrs := []slog.Attr{slog.String("what", e.Message)}
		for _, a := range []slog.Attr{
			slog.String("site", string(e.Site)), slog.String("feeder", string(e.Feeder)),
			slog.String("worker", string(e.Worker)), slog.String("claim", e.Claim),
		} {
			if a.Value.String() != "" {
				attrs = append(attrs, a)
			}
		}
		g.log.LogAttrs(ctx, level, "power event", attrs...)
	}
}

// Events are the kept events newer than after, oldest first.
func (g *Governor) Events(after uint64) []Event {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := &g.events
	var es []Event
	for i := range r.ring {
		if e := r.ring[(r.next+i)%len(r.ring)]; e.Seq > after {
			es = append(es, e)
		}
	}
	return es
}
