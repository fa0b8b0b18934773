package governor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage"
)

const (
	// stream is ours in the book's journal. Every record is the whole state, so the newest is enough.
	stream = "governor"
	// keepEvery is how often delivered energy is made durable while there is any. What is lost by a kill
	// is told by the meter's counter afterwards: only that it was drawn in the window is not.
	keepEvery = 5 * time.Second
	// trimEvery is how many records may pile up behind the newest.
	trimEvery = 64
)

// durable is what survives a restart.
type durable struct {
	Arms         map[fleet.FeederID]fleet.Arm `json:"arms,omitempty"`
	Curtailments []curtailment                `json:"curtailments,omitempty"`
	Counter      uint64                       `json:"counter,omitempty"`  // of curtailments
	Held         []fleet.Cap                  `json:"held,omitempty"`     // ended, tenant not confirmed off
	Off          []string                     `json:"off,omitempty"`      // claims confirmed off
	Joules       map[string]float64           `json:"joules,omitempty"`   // delivered, per claim
	Overruns     map[string]float64           `json:"overruns,omitempty"` // likewise, beyond what was held
	Meters       map[string]fleet.Reading     `json:"meters,omitempty"`   // last accounted, per tenant meter
	Limits       []Limit                      `json:"limits,omitempty"`   // from outside
	LimitCounter uint64                       `json:"limit_counter,omitempty"`
	Stops        map[fleet.SiteID]Stop        `json:"stops,omitempty"` // emergency stops in force
	Quarantined  map[pool.WorkerID]quarantine `json:"quarantined,omitempty"`
	Liars        map[pool.WorkerID]liar       `json:"liars,omitempty"`
	Escaped      map[pool.WorkerID]escape     `json:"escaped,omitempty"`
	Pins         []pool.WorkerID              `json:"pins,omitempty"` // by operators at run time
	Ceilings     map[pool.WorkerID]Ceiling    `json:"ceilings,omitempty"`
}

// curtailment is an operator's wish in force.
type curtailment struct {
	ID       uint64                        `json:"id"`
	Site     fleet.SiteID                  `json:"site"`
	Watts    unit.Watts                    `json:"watts"`
	From     time.Time                     `json:"from"`
	Until    time.Time                     `json:"until"`
	Baseline unit.Watts                    `json:"baseline"`
	Claims   map[fleet.FeederID]unit.Watts `json:"claims"`
}

func (d *durable) confirm(name string) {
	if !slices.Contains(d.Off, name) {
		d.Off = append(d.Off, name)
	}
	d.Held = slices.DeleteFunc(d.Held, func(c fleet.Cap) bool { return c.Claim == name })
}

// clone copies d, so that a change that cannot be written leaves no trace.
func (d *durable) clone() durable {
	n := *d
	n.Arms, n.Joules, n.Meters = maps.Clone(d.Arms), maps.Clone(d.Joules), maps.Clone(d.Meters)
	n.Overruns, n.Limits = maps.Clone(d.Overruns), slices.Clone(d.Limits)
	n.Curtailments, n.Held, n.Off = slices.Clone(d.Curtailments), slices.Clone(d.Held), slices.Clone(d.Off)
	return n
}

// load takes over what the journal remembers. It runs before anything else.
func (g *Governor) load(ctx context.Context) error {
	if g.cfg.Journal == nil {
		return nil
	}
	if err := errors.Join(g.loadProven(ctx), g.loadStable(ctx)); err != nil {
		return err
	}
	last, err := g.cfg.Journal.Last(ctx, stream)
	if err != nil || last == 0 {
		return err
	}
	err = g.cfg.Journal.Replay(ctx, stream, last-1, func(_ storage.Seq, record []byte) error {
		g.saved = durable{}
		return json.Unmarshal(record, &g.saved)
	})
	if err != nil {
		return err
	}
	for id, a := range g.saved.Arms {
		if f := g.byFeeder[id]; f != nil && a <= fleet.Act {
			f.arm = a
		}
	}
	for _, c := range g.saved.Curtailments {
		g.addCurtailment(c)
	}
	g.loadStops()
	g.loadMarks()
	g.loadCeilings()
	g.limits = slices.DeleteFunc(slices.Clone(g.saved.Limits), func(l Limit) bool {
		return g.siteNamed(l.Site) == nil
	})
	for _, c := range g.saved.Held {
		if g.byFeeder[c.Feeder] != nil {
			g.claims[c.Claim] = g.newClaim(c)
		}
	}
	for _, m := range g.meters {
		if r, ok := g.saved.Meters[m.key()]; ok && m.Role == fleet.Tenant {
			m.accounted = r
		}
	}
	return nil
}

func (m *meter) key() string { return string(m.Feeder) + "/" + m.Name }

// save makes a change durable and then takes it over. The caller holds saveMu.
func (g *Governor) save(ctx context.Context, change func(*durable)) error {
	next := g.saved.clone()
	change(&next)
	if g.cfg.Journal == nil {
		g.saved = next
		return nil
	}
	record, err := json.Marshal(next)
	if err != nil {
		return err
	}
	seq, err := g.cfg.Journal.Append(ctx, storage.Write{
		Stream: stream, Expect: storage.Any, Records: [][]byte{record},
	})
	if err != nil {
		return err
	}
	g.saved = next
	if seq%trimEvery == 0 {
		if err := g.cfg.Journal.Trim(ctx, stream, seq-1); err != nil {
			g.log.Warn("trimming the governor's stream failed", slog.Any("error", err))
		}
	}
	return nil
}

// saveHeld notes which ended claims are kept, if that changed. The caller holds saveMu.
func (g *Governor) saveHeld(ctx context.Context, held []fleet.Cap) error {
	if slices.EqualFunc(held, g.saved.Held, func(a, b fleet.Cap) bool { return a.Claim == b.Claim }) {
		return nil
	}
	return g.save(ctx, func(d *durable) { d.Held = held })
}

// keepSaved makes delivered energy durable now and then, until ctx ends.
func (g *Governor) keepSaved(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			g.keepLast(context.WithoutCancel(ctx))
			return
		case <-tick.C:
			g.keep(ctx)
			g.keepMarks(ctx)
			g.keepProven(ctx, time.Now())
			g.keepStable(ctx, time.Now(), false)
			if err := g.keepTerms(ctx); err != nil {
				g.log.Warn("keeping used terms failed", slog.Any("error", err))
			}
		}
	}
}

// keepLast is keep at the end of Run.
func (g *Governor) keepLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	g.keep(ctx)
	g.keepMarks(ctx)
	g.keepStable(ctx, time.Now(), true)
	if err := g.keepTerms(ctx); err != nil {
		g.log.Warn("keeping used terms failed", slog.Any("error", err))
	}
}

// keep writes delivered energy, and forgets what no claim needs any more.
func (g *Governor) keep(ctx context.Context) {
	g.saveMu.Lock()
	defer g.saveMu.Unlock()
	now := time.Now()
	joules, overruns := map[string]float64{}, map[string]float64{}
	meters := map[string]fleet.Reading{}
	g.mu.Lock()
	known, begun := make(map[string]bool, len(g.claims)), false
	for name, c := range g.claims {
		known[name] = true
		begun = begun || !now.Before(c.cap.Begins()) // from here on the counter is the baseline
		if c.joules > 0 {
			joules[name] = c.joules
		}
		if c.overrun > 0 {
			overruns[name] = c.overrun
		}
	}
	for _, m := range g.meters {
		if m.Role == fleet.Tenant && !m.accounted.At.IsZero() {
			meters[m.key()] = m.accounted
		}
	}
	ready := g.ready
	g.mu.Unlock()
	if !ready || !begun && maps.Equal(joules, g.saved.Joules) {
		return
	}
	err := g.save(ctx, func(d *durable) {
		d.Joules, d.Overruns, d.Meters = joules, overruns, meters
		d.Off = slices.DeleteFunc(d.Off, func(name string) bool { return !known[name] })
		d.Curtailments = slices.DeleteFunc(d.Curtailments, func(c curtailment) bool {
			return !now.Before(c.Until)
		})
	})
	if err != nil {
		g.log.Warn("keeping delivered energy failed", slog.Any("error", err))
	}
}

// SetArm sets what may be done on a feeder, durably. From Act to another arm nothing more is
// written to devices; what they hold, they hold.
func (g *Governor) SetArm(ctx context.Context, id fleet.FeederID, a fleet.Arm) error {
	f := g.byFeeder[id]
	if f == nil {
		return g.noFeeder(id)
	}
	if a > fleet.Act {
		return fmt.Errorf("arm %d: observe, advise or act is accepted", a)
	}
	g.saveMu.Lock()
	defer g.saveMu.Unlock()
	err := g.save(ctx, func(d *durable) {
		if d.Arms == nil {
			d.Arms = map[fleet.FeederID]fleet.Arm{}
		}
		d.Arms[id] = a
	})
	if err != nil {
		return fmt.Errorf("noting the arm of feeder %q: %w", id, err)
	}
	g.mu.Lock()
	if f.arm != a {
		f.arm, f.advice = a, advice{}
		for _, w := range f.workers {
			w.advised = w.order
		}
		g.noteArm(f, time.Now())
		g.event(time.Now(), Event{Feeder: id, Message: "armed to " + a.String()})
	}
	g.mu.Unlock()
	g.wake()
	return nil
}
