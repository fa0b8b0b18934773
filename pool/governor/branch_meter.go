package governor

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// metering is what a branch's own meters tell: all that it takes. Its zero value is a branch without any.
type metering struct {
	points []*point // they add up

	total  unit.Watts
	at     time.Time // oldest reading behind it
	state  MeterState
	detail string

	base   unit.Watts // what it takes besides its feeders: slow to rise by what has stood, slower to fall
	baseAt time.Time  // reading behind it; zero: it was never told
	recent window     // of base loads

	excess   unit.Watts // of a PDU: mining beyond what its workers' states add up to
	excessAt time.Time
	tally    tally // of a PDU's workers

	disputed bool      // it shows less than the feeders below
	turnedAt time.Time // since when the figures say otherwise; zero: they do not
	text     string
}

// own says that the branch has a meter of its own.
func (b *branch) own() bool { return len(b.metering.points) > 0 }

// sees says that the branch's own meter can be believed now.
func (b *branch) sees() bool { return b.own() && b.metering.state == MeterOK }

// lost says that the branch has a meter that is away for long: it counts by what is below it, at its worst.
func (b *branch) lost() bool { return b.own() && b.metering.state == MeterLost }

// waits says that nobody below the branch returns until its meter can be believed again, or is lost.
func (b *branch) waits() bool { return b.own() && !b.sees() && !b.lost() }

// ownBase is the base load of the branch itself, besides its feeders': as metered, or declared where nothing
// tells it. Of a lost meter the higher of both counts.
func (b *branch) ownBase() unit.Watts {
	m := &b.metering
	switch {
	case b.feeder != nil || m.baseAt.IsZero():
		return b.Base
	case m.state == MeterLost:
		return max(b.Base, m.base)
	}
	return m.base
}

// addBranchMeter gives a meter to its branch.
func (g *Governor) addBranchMeter(m *meter) {
	g.branchMeters = append(g.branchMeters, m)
	for _, b := range g.branches {
		if b.declared && b.ID == m.Branch {
			b.metering.points = addMeter(b.metering.points, m)
		}
	}
}

// measureBranches takes the newest readings of branches' own meters, after those of all feeders.
func (g *Governor) measureBranches(now time.Time) {
	for _, b := range g.branches {
		if b.own() {
			g.measureBranch(b, now)
		}
	}
}

func (g *Governor) measureBranch(b *branch, now time.Time) {
	m := &b.metering
	where := Event{Site: b.site.ID}
	m.total, m.state, m.detail, m.at = 0, MeterOK, "", time.Time{}
	for _, p := range m.points {
		g.readPoint(p, where, b.tolerance(), now)
		state := p.state
		if state == MeterUnread && now.Sub(g.started) > g.cfg.Lost {
			state = MeterLost
		}
		m.total += p.reading.Watts
		if m.at.IsZero() || p.reading.At.Before(m.at) {
			m.at = p.reading.At
		}
		if state.doubt() > m.state.doubt() {
			m.state, m.detail = state, p.detail
		}
	}
	switch {
	case !b.sees():
	case b.feeder != nil:
		b.explain(now)
	default:
		g.takeBase(b, now)
	}
}

func (b *branch) tolerance() unit.Watts { return b.Limit * 5 / 1000 }

// takeBase follows what a transformer or an import takes besides its feeders. Meters are not read in the same
// instant: a rise is believed when it has stood for settle, a fall over baseFall.
func (g *Governor) takeBase(b *branch, now time.Time) {
	m := &b.metering
	var shown unit.Watts
	for _, f := range b.feeders {
		if !f.now.fresh {
			return
		}
		shown += f.now.total
	}
	if !m.at.After(m.baseAt) {
		return
	}
	gap, first := m.at.Sub(m.baseAt), m.baseAt.IsZero()
	m.baseAt = m.at
	raw := max(0, m.total-shown)
	low, high := m.recent.spread(raw, m.at)
	switch {
	case first:
		m.base = raw
	case low > m.base:
		m.base = low
	case high < m.base:
		m.base -= unit.Watts(float64(m.base-high) * min(1, float64(gap)/float64(baseFall)))
	}
	g.disputeBranch(b, shown, now)
}

// disputeBranch notes that a branch's meter shows less than those of its feeders, and tells people once that
// has stood for a minute. The higher counts at once, whatever is right.
func (g *Governor) disputeBranch(b *branch, shown unit.Watts, now time.Time) {
	m := &b.metering
	differ := shown-m.total > b.tolerance() && apart(float64(shown), float64(m.total))
	if differ {
		m.text = fmt.Sprintf("its meter shows %v, those of its feeders %v", m.total, shown)
	}
	switch {
	case differ == m.disputed:
		m.turnedAt = time.Time{}
	case m.turnedAt.IsZero():
		m.turnedAt = now
	case now.Sub(m.turnedAt) >= disagreeFor:
		m.disputed, m.turnedAt = differ, time.Time{}
		g.branchEvent(b, differ, m.text+"; the higher counts",
			"its meter and those of its feeders agree again", now)
	}
}

// explain compares what a PDU's meter shows with what its workers' states add up to, as a feeder's does.
func (b *branch) explain(now time.Time) {
	m, t := &b.metering, &b.metering.tally
	if t.at.IsZero() || !b.feeder.resting(now) {
		*t = tally{settled: true, at: now}
		for _, w := range b.workers {
			t.worst += w.worst(now)
			t.model += w.believed(w.counted(now))
			t.settled = t.settled && w.settled && !w.moving
		}
	}
	if !m.at.After(m.excessAt) || !m.at.After(b.feeder.settledAt) {
		return
	}
	m.excessAt = m.at
	mining := max(0, m.total-b.Base)
	switch {
	case t.settled:
		m.excess = max(0, m.excess+(mining-t.model-m.excess)/3)
	case mining > t.worst+b.tolerance():
		m.excess = max(m.excess, mining-t.worst)
	}
}

// foreseeOwn adds to what may be drawn below the branch what its own meter shows, if that is more.
func (b *branch) foreseeOwn() {
	if !b.sees() {
		return
	}
	mining := b.metering.total - b.ownBase()
	for _, f := range b.feeders {
		mining -= f.base + f.now.tenant
	}
	for _, w := range b.workers {
		if !w.settled {
			mining += w.rising()
		}
	}
	b.byMeter = max(b.byMeter, mining)
}

// awaits says which reading of a branch above the feeder a first proof waits for; empty: none.
func (f *feeder) awaits() string {
	for _, b := range f.above {
		m := &b.metering
		switch {
		case !b.declared || !b.own() || b.lost():
		case !b.sees():
			return fmt.Sprintf("waiting for a fresh reading of %v %s", b.Kind, b.ID)
		case !m.at.After(f.reducedAt):
			return fmt.Sprintf("waiting for a reading of %v %s that is newer than the last order",
				b.Kind, b.ID)
		}
	}
	return ""
}

// trouble says what is wrong with the branch's own meter; empty if nothing is.
func (b *branch) trouble() string {
	switch {
	case !b.own():
	case !b.sees():
		return b.metering.detail
	case b.metering.disputed:
		return b.metering.text
	default:
		for _, p := range b.metering.points {
			if p.disputed {
				return p.text
			}
		}
	}
	return ""
}

// meterStatus is a copy for people.
func (b *branch) meterStatus(cfg *Config, now time.Time) (out []MeterStatus) {
	for _, p := range b.metering.points {
		for _, m := range p.meters {
			out = append(out, m.status(cfg, now))
		}
	}
	return out
}

// validateBranchMeter checks a meter that is a branch's.
func (c *Config) validateBranchMeter(name string, m *Meter) error {
	var errs []error
	known := false
	for i := range c.Sites {
		for j := range c.Sites[i].Branches {
			known = known || c.Sites[i].Branches[j].ID == m.Branch
		}
	}
	if !known {
		errs = append(errs, fmt.Errorf("%s: branch %q is not one of a site's", name, m.Branch))
	}
	if m.Feeder != "" {
		errs = append(errs, fmt.Errorf("%s: it has a feeder and a branch: one of the two is accepted", name))
	}
	if m.Role != fleet.Total || m.Words {
		errs = append(errs, fmt.Errorf("%s: a branch is metered as a whole: role total is accepted", name))
	}
	return errors.Join(errs...)
}
