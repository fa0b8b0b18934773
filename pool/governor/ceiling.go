package governor

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// Ceiling is the most that an operator lets one machine draw, until it is woken: by hand, beside all
// plans. Plans may bring it lower, never above. It is durable.
type Ceiling struct {
	Mode  fleet.Mode `json:"mode"`  // Capped, or Paused: it sleeps
	Watts unit.Watts `json:"watts"` // drawn then
	At    time.Time  `json:"at"`
}

// SetCeiling caps a machine at watts, or puts it to sleep, until Wake. It is ordered as a plan's reduction
// is, and replaces the ceiling before it: a higher one returns as returns do.
func (g *Governor) SetCeiling(ctx context.Context, id pool.WorkerID, c Ceiling) error {
	g.saveMu.Lock()
	defer g.saveMu.Unlock()
	w, c, err := g.checkCeiling(id, c)
	if err != nil {
		return err
	}
	c.At = time.Now()
	err = g.save(ctx, func(d *durable) {
		d.Ceilings = maps.Clone(d.Ceilings)
		if d.Ceilings == nil {
			d.Ceilings = map[pool.WorkerID]Ceiling{}
		}
		d.Ceilings[id] = c
	})
	if err != nil {
		return fmt.Errorf("noting the ceiling of worker %q: %w", id, err)
	}
	g.mu.Lock()
	w.setCeiling(&c)
	message := fmt.Sprintf("an operator keeps it at %v at most", c.Watts)
	if c.Mode == fleet.Paused {
		message = "an operator puts it to sleep"
	}
	g.event(c.At, Event{Feeder: w.Feeder, Worker: id, Message: message})
	g.mu.Unlock()
	g.wake()
	return nil
}

// Wake ends the ceiling of a machine: it returns as soon as limits and claims leave room for it.
func (g *Governor) Wake(ctx context.Context, id pool.WorkerID) error {
	w := g.byWorker[id]
	if w == nil {
		return refuse(ErrUnknown, "there is no worker %q in the fleet", id)
	}
	g.saveMu.Lock()
	defer g.saveMu.Unlock()
	g.mu.Lock()
	held, state := w.ceiling != nil, w.words(time.Now())
	g.mu.Unlock()
	if !held {
		return refuse(ErrState, "no operator holds worker %q down; it is %s", id, state)
	}
	err := g.save(ctx, func(d *durable) {
		d.Ceilings = maps.Clone(d.Ceilings)
		delete(d.Ceilings, id)
	})
	if err != nil {
		return fmt.Errorf("noting that worker %q is woken: %w", id, err)
	}
	g.mu.Lock()
	w.setCeiling(nil)
	g.event(time.Now(), Event{Feeder: w.Feeder, Worker: id, Message: "an operator wakes it"})
	g.mu.Unlock()
	g.wake()
	return nil
}

// checkCeiling says whom a ceiling is for and what it comes to, or why it cannot be.
func (g *Governor) checkCeiling(id pool.WorkerID, c Ceiling) (*worker, Ceiling, error) {
	w := g.byWorker[id]
	if w == nil {
		return nil, c, refuse(ErrUnknown, "there is no worker %q in the fleet", id)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	can, terms := w.capability, g.termsOf(w, time.Now())
	least := max(w.Curve[0].Watts, can.Min)
	sleeps := c.Mode == fleet.Paused
	switch {
	case w.feeder.arm != fleet.Act:
		return nil, c, refuse(ErrState, "feeder %q is in %v, where no machine is told anything: "+
			"hashlease site arm %s act", w.Feeder, w.feeder.arm, w.Feeder)
	case w.Pinned:
		return nil, c, refuse(ErrState, "worker %q is pinned: hashlease worker unpin %s", id, id)
	case w.actuator == nil:
		return nil, c, refuse(ErrState, "worker %q is out of reach", id)
	case terms.KeepFull, sleeps && terms.KeepAwake:
		return nil, c, refuse(ErrState, "worker %q is kept running by its owner's terms", id)
	case sleeps && !can.CanPause:
		return nil, c, refuse(ErrState, "worker %q cannot sleep by order", id)
	case sleeps:
		c.Watts = w.Sleep
	case c.Mode != fleet.Capped:
		return nil, c, refuse(ErrBound, "mode %v: capped or paused is accepted", c.Mode)
	case !can.CanCap:
		return nil, c, refuse(ErrState, "worker %q cannot be set to watts", id)
	case c.Watts < least || c.Watts >= w.full():
		return nil, c, refuse(ErrBound, "%v: %v to less than %v is accepted for worker %q; to let it draw "+
			"all of that: hashlease device wake %s", c.Watts, least, w.full(), id, id)
	}
	return w, c, nil
}

// setCeiling puts a ceiling in force, or ends it. The caller holds mu, or is New.
func (w *worker) setCeiling(c *Ceiling) {
	w.ceiling, w.below = c, nil
	if c != nil && c.Mode == fleet.Capped {
		below := w.Worker
		below.Curve = cutAt(w.Curve, c.Watts)
		w.below = &below
	}
}

// loadCeilings puts ceilings in force again that were before the start.
func (g *Governor) loadCeilings() {
	for id, c := range g.saved.Ceilings {
		if w := g.byWorker[id]; w != nil && c.Mode != fleet.Free && c.Watts < w.full() {
			w.setCeiling(&c)
		}
	}
}

// underCeiling is what an operator leaves of a plan's wish.
func (w *worker) underCeiling(sp fleet.Setpoint) fleet.Setpoint {
	c := w.ceiling
	switch {
	case c == nil, w.Pinned, sp.Mode == fleet.Paused:
		return sp
	case c.Mode == fleet.Paused:
		sp.Mode = fleet.Paused
	case sp.Mode == fleet.Capped && sp.Watts <= c.Watts:
		return sp
	default:
		sp.Mode = fleet.Capped
	}
	sp.Watts, sp.Hashrate = w.Draw(sp.Mode, c.Watts), w.Rate(sp.Mode, c.Watts)
	return sp
}

// showCeiling shows the planner a worker as the operator leaves it: one that sleeps is not disposed of, one
// that is capped has nothing above its cap.
func (w *worker) showCeiling(st *fleet.WorkerState) {
	switch c := w.ceiling; {
	case c == nil || w.Pinned:
	case c.Mode == fleet.Paused:
		st.Reachable = false
	default:
		st.Worker = w.below
		if st.Mode == fleet.Free || st.Mode == fleet.Capped && st.Watts >= c.Watts {
			st.Mode, st.Watts = fleet.Free, c.Watts
		}
	}
}
