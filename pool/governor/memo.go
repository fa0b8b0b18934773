package governor

import (
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

const (
	// planEvery is how long a plan stands at most while somebody is held down or on the way: dwell times
	// and the time that claims still have pass meanwhile.
	planEvery = time.Second
	// planAtRest is the same while all mine freely and there is room for all of them.
	planAtRest = 10 * time.Second
)

// memo is what the newest plan was made from. A look at a fleet where nothing has changed since then needs
// no new plan: the same inputs give the same one.
type memo struct {
	snaps    [2]fleet.Snapshot // scratch: the one that was planned from, and the one of this look
	now      int               // which of both is of this look
	planned  bool
	stood    bool // at the newest look
	same     bool // the plan wants what the one before it wanted
	steady   bool // ... and that is what is in force
	at       time.Time
	until    time.Time // when the next claim begins or ends; zero: never
	caps     []fleet.Cap
	branches []fleet.BranchPlan
}

// next is an empty snapshot with room for the fleet. What the last plan was made from stays.
func (m *memo) next() *fleet.Snapshot {
	s := &m.snaps[m.now]
	s.Feeders, s.Branches, s.Workers = s.Feeders[:0], s.Branches[:0], s.Workers[:0]
	return s
}

// take notes what was planned from: the newest snapshot.
func (m *memo) take(branches []fleet.BranchPlan, caps []fleet.Cap, now time.Time) {
	m.now = 1 - m.now
	m.planned, m.at, m.until, m.branches = true, now, time.Time{}, branches
	m.caps = append(m.caps[:0], caps...)
	for i := range caps {
		for _, at := range []time.Time{caps[i].Begins(), caps[i].From, caps[i].Until} {
			if at.After(now) && (m.until.IsZero() || at.Before(m.until)) {
				m.until = at
			}
		}
	}
}

// stands says whether all but the figures of feeders and branches is as when the plan in force was made.
// resting: workers are known to be, and are not in the snapshot.
func (m *memo) stands(s *fleet.Snapshot, resting bool, caps []fleet.Cap, now time.Time) bool {
	old, age := &m.snaps[1-m.now], now.Sub(m.at)
	switch {
	case !m.planned || age < 0 || age >= planAtRest:
		return false
	case !m.until.IsZero() && !now.Before(m.until) || !slices.Equal(caps, m.caps):
		return false
	case s.MsatPerHash != old.MsatPerHash || len(s.Branches) != len(old.Branches):
		return false
	}
	return resting || slices.Equal(s.Workers, old.Workers)
}

// fits says whether the plan in force is what a new one would be by these figures. While all mine freely,
// they may move as long as there is room for all.
func (m *memo) fits(g *Governor, s *fleet.Snapshot, caps []fleet.Cap, now time.Time) bool {
	switch {
	case g.stopped():
		return false
	case m.steady && m.roomy(g, s, caps, now):
		return true
	}
	old := &m.snaps[1-m.now]
	return m.same && now.Sub(m.at) < planEvery && slices.EqualFunc(s.Feeders, old.Feeders, sameFeeder) &&
		slices.Equal(s.Branches, old.Branches)
}

// sameFeeder compares all that a plan is made from.
func sameFeeder(a, b fleet.FeederState) bool {
	tenants := slices.Equal(a.Tenants, b.Tenants)
	return tenants && a.Feeder == b.Feeder && a.Base == b.Base && a.Margin == b.Margin &&
		a.Keep == b.Keep && a.Excess == b.Excess && a.Ceiling == b.Ceiling &&
		a.SleepFirst == b.SleepFirst && a.Tariff == b.Tariff && a.TariffFor == b.TariffFor
}

// roomy says that nobody has to give way anywhere by these figures either, and takes over what they
// leave to mining.
func (m *memo) roomy(g *Governor, s *fleet.Snapshot, caps []fleet.Cap, now time.Time) bool {
	for i, f := range g.feeders {
		fs := &s.Feeders[i]
		claimed := fs.Claimed(caps, now)
		if f.plan.Planned < f.plan.Full || claimed != f.plan.Claimed || fs.Tariff != 0 ||
			f.plan.Full+max(0, fs.Excess)+fs.Margin > fs.Bound(claimed) {
			return false
		}
	}
	for i := range s.Branches {
		b, p := &s.Branches[i], &m.branches[i]
		same := b.Branch == m.snaps[1-m.now].Branches[i].Branch
		if !same || p.Full+max(0, b.Excess)+b.Margin > b.Bound(p.Claimed) {
			return false
		}
	}
	for i := range s.Branches {
		m.branches[i].Bound = s.Branches[i].Bound(m.branches[i].Claimed)
	}
	for i, f := range g.feeders {
		f.plan.Bound = s.Feeders[i].Bound(f.plan.Claimed)
	}
	return true
}
