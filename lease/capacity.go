package lease

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// maxCapacity is the most that a feeder is believed to deliver: a terawatt.
const maxCapacity unit.Watts = 1e12

// capacityAt is what the feeder can deliver at t: nothing before anybody said so.
func (br *branch) capacityAt(t time.Time) unit.Watts {
	var w unit.Watts
	for _, s := range br.steps {
		if s.From.After(t) {
			break
		}
		w = s.Watts
	}
	return w
}

// setCapacity replaces the steps from steps[0] on, and forgets those that are over.
func (br *branch) setCapacity(steps []CapacityStep, now time.Time) {
	keep := slices.IndexFunc(br.steps, func(s CapacityStep) bool { return !s.From.Before(steps[0].From) })
	if keep < 0 {
		keep = len(br.steps)
	}
	next := append(slices.Clone(br.steps[:keep]), steps...)
	for len(next) > 1 && !next[1].From.After(now) {
		next = next[1:]
	}
	br.book(br.steps, 1)
	br.book(next, -1)
	br.steps = next
}

// book adds (sign -1) or takes away (1) deliverable watts in the profile.
func (br *branch) book(steps []CapacityStep, sign int64) {
	before := int64(0)
	for _, s := range steps {
		br.profile.add(s.From.Unix(), sign*(int64(s.Watts)-before))
		before = int64(s.Watts)
	}
}

// capacity takes a new word about a feeder in, and says at once whether bookings suffer.
func (s *step) capacity(c SetCapacity) {
	if s.refused(c.check(s.b)) {
		return
	}
	br := s.b.feeders[c.Feeder]
	if len(c.Steps) == 1 && len(br.steps) == 1 && !c.Steps[0].From.After(s.now) &&
		br.steps[0].Watts == c.Steps[0].Watts && br.measured == c.Notice &&
		(c.Steps[0].Watts > 0 || br.basis == c.Basis) { // why there is nothing is worth a record
		return // nothing new
	}
	s.emit(Event{Kind: CapacitySet, Feeder: c.Feeder, Steps: c.Steps, Basis: c.Basis, Notice: c.Notice})
	s.shortfall(br)
}

func (c SetCapacity) check(b *Book) *Refusal {
	if br := b.feeders[c.Feeder]; br == nil || !br.known {
		return refuse(UnknownSite, "feeder", "there is no feeder %q", c.Feeder)
	}
	if len(c.Steps) == 0 || len(c.Steps) > MaxCapacitySteps {
		return refuse(InvalidField, "steps", "there are %d: 1 to %d are accepted",
			len(c.Steps), MaxCapacitySteps)
	}
	if c.Notice < 0 || c.Notice > 24*time.Hour {
		return refuse(InvalidField, "notice", "%v: 0 to 24 h is accepted", c.Notice)
	}
	for i, st := range c.Steps {
		switch {
		case st.Watts < 0 || st.Watts > maxCapacity:
			return refuse(InvalidField, "steps", "step %d has %d W: 0 to 1 TW is accepted",
				i, int64(st.Watts))
		case st.From.Nanosecond() != 0 || st.From.Unix() < 0 || st.From.Unix() > math.MaxInt64/4:
			return refuse(InvalidField, "steps", "step %d begins at %v: whole seconds from 1970 on are taken",
				i, st.From)
		case i > 0 && !st.From.After(c.Steps[i-1].From):
			return refuse(InvalidField, "steps", "step %d does not begin after the one before it", i)
		}
	}
	return nil
}

// shortfall compares bookings with capacity, announces a change, and marks the leases
// that it touches.
func (s *step) shortfall(br *branch) {
	from := s.now.Unix()
	until := s.now.Add(Horizon + MaxDuration).Unix()
	missing := br.profile.peak(from, until)
	switch {
	case missing <= 0 && br.shortfall != nil:
		s.emit(Event{Kind: ShortfallOver, Feeder: br.ID})
	case missing > 0:
		first, _ := br.profile.above(from, 0)
		next := Shortfall{From: time.Unix(first, 0).UTC(), Watts: unit.Watts(missing)}
		if br.shortfall == nil || br.shortfall.Watts != next.Watts || next.From.Before(br.shortfall.From) {
			s.emit(Event{Kind: ShortfallMade, Feeder: br.ID, Shortfall: &next})
		}
	default:
		return // nothing was wrong and nothing is
	}
	s.markRisk(br)
}

// markRisk tells the leases on a feeder whether their watts can be delivered, oldest first.
func (s *step) markRisk(br *branch) {
	var changed []*Lease
	for _, r := range s.b.leases {
		l := r.lease
		if l.Feeder == br.ID && !l.State.Final() && l.AtRisk != br.short(l, s.now) {
			changed = append(changed, l)
		}
	}
	slices.SortFunc(changed, func(x, y *Lease) int { return cmp.Compare(x.Created, y.Created) })
	for _, l := range changed[:min(len(changed), maxRiskEvents)] {
		next := *l
		next.AtRisk = !l.AtRisk
		if next.AtRisk {
			next.Reason = "the feeder can deliver less than is booked on it within this slot"
		} else {
			next.Reason = "the feeder can deliver what is booked on it again"
		}
		s.emit(Event{Kind: Noted, Lease: &next})
	}
}

// short says whether the rest of the lease's slot has an instant that is overbooked.
func (br *branch) short(l *Lease, now time.Time) bool {
	start, end := max(l.Slot.Start.Unix(), now.Unix()), l.Slot.End.Unix()
	return start < end && br.profile.peak(start, end) > 0
}

// Word is what was last said of a feeder's capacity.
type Word struct {
	Steps []CapacityStep // must not be changed
	Basis string
	// Notice is what was measured that a start needs; 0: nothing was.
	Notice time.Duration
}

// Capacities are the feeders' capacities as they were last given.
func (b *Book) Capacities() map[FeederID]Word {
	out := map[FeederID]Word{}
	for id, br := range b.feeders {
		if len(br.steps) > 0 {
			out[id] = Word{Steps: br.steps, Basis: br.basis, Notice: br.measured}
		}
	}
	return out
}
