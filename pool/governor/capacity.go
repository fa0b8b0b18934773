package governor

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

const (
	// outage is how long a worker may be out of reach before FIRM capacity stops counting on it.
	outage = time.Minute
	// calm is how long workers must have stopped coming back after a start before capacity is declared.
	calm = 3 * time.Second
	// rise is how long a higher capacity must stand before it is declared; a lower one is at once.
	rise = 5 * time.Second
	// lookEvery is how often it is looked at.
	lookEvery = time.Second
)

// capacity is what was last declared of a feeder, and what stands to be.
type capacity struct {
	declared fleet.Capacity
	risingAt time.Time // since when more than declared is there
	reason   string    // that was declared with it
	lookedAt time.Time
	alone    fleet.Capacity // by the last look, whatever the feeder hangs on
	because  string         // the reason for that
	base     unit.Watts     // of the feeder, then
}

// returning follows how workers come back after a start.
type returning struct {
	n    int
	at   time.Time
	done bool
}

// Capacity waits until a feeder's capacity is newer than after and returns all that are,
// ascending by Seq. After a start it waits for workers to come back.
func (g *Governor) Capacity(ctx context.Context, after uint64) ([]fleet.Capacity, error) {
	var cs []fleet.Capacity
	err := g.bell.wait(ctx, func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, f := range g.feeders {
			if f.capacity.declared.Seq > after {
				cs = append(cs, f.capacity.declared)
			}
		}
		return len(cs) > 0
	})
	slices.SortFunc(cs, func(a, b fleet.Capacity) int { return cmp.Compare(a.Seq, b.Seq) })
	return cs, err
}

// declare finds what each feeder can deliver and makes it known where it has changed.
func (g *Governor) declare(now time.Time) {
	if !g.allBack(now) {
		return
	}
	firm := make(map[*feeder]*fleet.Capacity, len(g.feeders))
	for _, f := range g.feeders {
		if f.baseAt.IsZero() && now.Sub(g.started) < g.cfg.StartGrace {
			continue // its base load is not known yet
		}
		every := lookEvery
		if base := f.base - f.capacity.base; f.resting(now) && max(base, -base) < unit.Kilowatt/2 {
			every = restMost
		}
		if now.Sub(f.capacity.lookedAt) >= every {
			f.capacity.lookedAt, f.capacity.base = now, f.base
			h := g.headroomOf(f, now)
			g.tellAging(f, &h, now)
			f.capacity.alone, f.capacity.because = g.capacityOf(f, &h, now), h.toldOperators()
		}
		c := f.capacity.alone
		firm[f] = &c
	}
	g.shareCapacity(firm)
	for _, f := range g.feeders {
		if c := firm[f]; c != nil {
			g.declareFeeder(f, *c, f.capacity.because, now)
		}
	}
}

// allBack says whether workers had the time to come back after the start.
func (g *Governor) allBack(now time.Time) bool {
	if g.returned.done {
		return true
	}
	n := 0
	for _, w := range g.workers {
		if w.actuator != nil {
			n++
		}
	}
	if n != g.returned.n {
		g.returned.n, g.returned.at = n, now
	}
	g.returned.done = n == len(g.workers) || n > 0 && now.Sub(g.returned.at) >= calm ||
		now.Sub(g.started) >= g.cfg.StartGrace
	return g.returned.done
}

// declareFeeder declares a fall of a kilowatt at once and a rise once it stands.
func (g *Governor) declareFeeder(f *feeder, c fleet.Capacity, reason string, now time.Time) {
	d := &f.capacity.declared
	first := d.Seq == 0
	more := c.Firm > d.Firm
	if !more {
		f.capacity.risingAt = time.Time{}
	} else if f.capacity.risingAt.IsZero() {
		f.capacity.risingAt = now
	}
	price := math.Abs(float64(c.Foregone-d.Foregone)) > 0.05*float64(d.Foregone)
	switch {
	case first, c.Firm <= d.Firm-unit.Kilowatt, c.Notice > d.Notice:
	case more && c.Firm >= d.Firm+unit.Kilowatt && now.Sub(f.capacity.risingAt) >= rise:
	case price, c.Notice < d.Notice*9/10:
		c.Firm = min(c.Firm, d.Firm)
	case c.Firm == 0 && d.Firm == 0 && reason != f.capacity.reason:
	default:
		return
	}
	if !first && c.Firm < d.Firm {
		g.event(now, Event{Level: Warn, Feeder: f.ID, Message: fmt.Sprintf(
			"capacity for tenants falls from %v to %v: %s", d.Firm, c.Firm, cmp.Or(reason, c.Basis))})
	}
	g.seq++
	c.Seq = g.seq
	f.capacity.reason = reason
	*d = c
	f.capacity.risingAt = time.Time{}
}

// capacityOf is the feeder's headroom in short, with what mining would earn with the cheapest such watts.
func (g *Governor) capacityOf(f *feeder, h *Headroom, now time.Time) fleet.Capacity {
	c := fleet.Capacity{Feeder: f.ID, Firm: h.Firm, Basis: h.Basis()}
	if h.Shed > 0 {
		c.Notice = h.Notice
	}
	price := g.price()
	if price <= 0 {
		return c
	}
	cheapest := math.Inf(1)
	for _, w := range f.workers {
		if least, why := g.canYield(w, now); why == "" && w.full() > least {
			if w.lossAt != least || w.loss == 0 {
				w.lossAt = least
				w.loss = float64(w.Curve.Full().Hashrate-w.Curve.At(least)) / (float64(w.full()-least) / 1000)
			}
			cheapest = min(cheapest, w.loss*3600*price)
		}
	}
	if !math.IsInf(cheapest, 1) {
		cheapest -= float64(f.site.tariff.price)
		c.Foregone = unit.Msat(min(max(cheapest, 0), 1e18))
	}
	return c
}
