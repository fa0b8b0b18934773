package governor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// MaxReason is the longest reason that people may give, in bytes.
const MaxReason = 200

// Stop is an emergency stop in force: all mining of the site stays at its minimum until a person resumes it.
// Neither restarts nor time end it.
type Stop struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason,omitempty"`
}

// Stopped is what a stop reaches.
type Stopped struct {
	Site     fleet.SiteID
	Stop     Stop
	Before   unit.Watts // mining's metered draw when it was ordered
	Workers  int        // that are told to go to their minimum
	Away     int        // out of reach now: they are told when they come back
	Unarmed  []fleet.FeederID
	Leftover unit.Watts // what mining draws by its curves once all have obeyed
}

// Stop brings all mining of a site to its minimum at once, durably: pinned workers too, whatever runs and
// dwell times say. Tenants keep their power. A feeder that is not armed to act is listed and left
// alone; if none is armed, the stop is refused, because it would stop nothing. To stop a
// stopped site again changes nothing but its reason.
func (g *Governor) Stop(ctx context.Context, id fleet.SiteID, reason string) (Stopped, error) {
	st, err := g.checkStop(id, reason)
	if err != nil {
		return Stopped{}, err
	}
	g.saveMu.Lock()
	defer g.saveMu.Unlock()
	now := time.Now()
	stop := Stop{At: now, Reason: reason}
	if old, ok := g.saved.Stops[id]; ok {
		stop.At = old.At
	}
	// Orders go first: an emergency does not wait for a disk. What cannot be written is undone and said.
	g.mu.Lock()
	before := st.stop
	st.stop = &stop
	reached := g.reach(st)
	g.noteStop(id, "stopped", reason, now)
	g.event(now, Event{Level: Warn, Site: id, Message: "emergency stop" + because(reason) +
		": " + many(reached.Workers, "worker goes to its minimum", "workers go to their minimum")})
	g.mu.Unlock()
	g.wake()
	err = g.save(ctx, func(d *durable) {
		d.Stops = maps.Clone(d.Stops)
		if d.Stops == nil {
			d.Stops = map[fleet.SiteID]Stop{}
		}
		d.Stops[id] = stop
	})
	if err != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		if before != nil {
			return reached, nil // it was durable before
		}
		g.event(time.Now(), Event{Level: Warn, Site: id, Message: "the emergency stop is in force " +
			"but could not be written down: a restart would forget it"})
		return reached, fmt.Errorf("the stop is in force, but a restart would forget it: noting it: %w", err)
	}
	return reached, nil
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

// checkStop lists what is wrong with the wish.
func (g *Governor) checkStop(id fleet.SiteID, reason string) (*site, error) {
	st := g.siteNamed(id)
	if st == nil {
		return nil, g.noSite(id)
	}
	if err := checkReason(reason); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range st.feeders {
		if f.arm == fleet.Act {
			return st, nil
		}
	}
	return nil, refuse(ErrState, "no feeder of site %q is armed to act, so nothing can be ordered there: "+
		"switch it off by hand, or arm it: hashlease site arm FEEDER act", id)
}

func checkReason(reason string) error {
	if len(reason) > MaxReason || strings.ContainsFunc(reason, func(r rune) bool { return r < ' ' }) {
		return fmt.Errorf("reason has %d bytes: up to %d without control characters are accepted",
			len(reason), MaxReason)
	}
	return nil
}

func (g *Governor) siteNamed(id fleet.SiteID) *site {
	if i := slices.IndexFunc(g.sites, func(s *site) bool { return s.ID == id }); i >= 0 {
		return g.sites[i]
	}
	return nil
}

// loadStops puts stops in force again that were before the start.
func (g *Governor) loadStops() {
	for id, stop := range g.saved.Stops {
		if st := g.siteNamed(id); st != nil {
			st.stop = &stop
		}
	}
}

// reach says whom a stop of the site tells.
func (g *Governor) reach(st *site) Stopped {
	s := Stopped{Site: st.ID, Stop: *st.stop}
	for _, f := range st.feeders {
		s.Before += f.now.mining
		if f.arm != fleet.Act {
			s.Unarmed = append(s.Unarmed, f.ID)
			s.Leftover += f.now.mining
			continue
		}
		for _, w := range f.workers {
			if w.actuator == nil {
				s.Away++
				s.Leftover += w.full()
				continue
			}
			s.Workers++
			s.Leftover += w.minimum().Watts
		}
	}
	return s
}

// Resume ends a site's emergency stop, durably. Its workers return as returns always do: slowly, and only
// where there is room.
func (g *Governor) Resume(ctx context.Context, id fleet.SiteID) error {
	st := g.siteNamed(id)
	if st == nil {
		return g.noSite(id)
	}
	g.saveMu.Lock()
	defer g.saveMu.Unlock()
	g.mu.Lock()
	stopped := st.stop != nil
	g.mu.Unlock()
	if !stopped {
		return refuse(ErrState, "site %q is not stopped", id)
	}
	err := g.save(ctx, func(d *durable) {
		d.Stops = maps.Clone(d.Stops)
		delete(d.Stops, id)
	})
	if err != nil {
		return fmt.Errorf("noting that the stop is over: %w", err)
	}
	g.mu.Lock()
	st.stop = nil
	g.noteStop(id, "resumed", "", time.Now())
	g.event(time.Now(), Event{Site: id, Message: "emergency stop resumed: mining may return"})
	g.mu.Unlock()
	g.wake()
	return nil
}

// minimum is the least that the worker can be told to draw.
func (w *worker) minimum() fleet.Setpoint {
	c := w.capability
	sp := fleet.Setpoint{Worker: w.ID, Mode: fleet.Free}
	least := max(w.Curve[0].Watts, c.Min)
	switch {
	case c.CanPause || w.order.Mode == fleet.Paused:
		sp.Mode = fleet.Paused
	case c.CanCap && least < w.full():
		sp.Mode = fleet.Capped
	}
	sp.Watts, sp.Hashrate = w.Draw(sp.Mode, least), w.Rate(sp.Mode, least)
	return sp
}

// stopAll wants the minimum of every worker of a stopped site's feeder, whatever the plan says.
func (f *feeder) stopAll() {
	f.plan.Planned = 0
	for _, w := range f.workers {
		w.want = w.minimum()
		f.plan.Planned += w.want.Watts
	}
}

// wakePinned wants pinned workers back that only a stop has put to sleep: no plan speaks of them.
func (f *feeder) wakePinned() {
	for _, w := range f.workers {
		if w.Pinned && w.ordered() && w.reduced() {
			full := w.Curve.Full()
			w.want = fleet.Setpoint{
				Worker: w.ID, Mode: fleet.Free, Watts: full.Watts, Hashrate: full.Hashrate,
			}
		}
	}
}

// stopped says whether an emergency stop is in force on any site.
func (g *Governor) stopped() bool {
	return slices.ContainsFunc(g.sites, func(s *site) bool { return s.stop != nil })
}
