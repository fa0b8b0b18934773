package lease

import (
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// create books a slot, unless the same request did so before.
func (s *step) create(c Create) {
	k := requestKey{c.Tenant, methodCreate, c.RequestID}
	done, refusal := s.b.repeated(k, c.Digest(), s.now)
	if done || s.refused(refusal) {
		return
	}
	l, refusal := s.b.admit(c, s.now)
	if s.refused(refusal) {
		return
	}
	s.emit(Event{Kind: Booked, Lease: l, Request: request(k, c.Digest(), l, s.now)})
}

// refused keeps the first refusal. It takes care that a nil refusal is a nil error.
func (s *step) refused(r *Refusal) bool {
	if r == nil {
		return false
	}
	s.err = r
	return true
}

// Check says what Create would book, without booking it. The error is a *Refusal.
func (b *Book) Check(c Create, now time.Time) (*Lease, error) {
	l, refusal := b.admit(c, b.at(now))
	if refusal != nil {
		return nil, refusal
	}
	return l, nil
}

// admit is the whole decision: fields, quota, place, watts.
func (b *Book) admit(c Create, now time.Time) (*Lease, *Refusal) {
	slot, refusal := c.slot(now)
	if refusal == nil {
		refusal = b.permit(c)
	}
	if refusal != nil {
		return nil, refusal
	}
	feeders := b.feedersOf(c.Site)
	if c.Feeder != "" {
		feeders = []FeederID{c.Feeder}
	}
	soonest := c.Start.IsZero() || c.Start.Before(now)
	if refusal := b.tooSoon(feeders, slot, soonest, now); refusal != nil {
		return nil, refusal
	}
	br, slot, refusal := b.bestFit(feeders, slot, soonest, c.Watts, now)
	if refusal != nil {
		return nil, refusal
	}
	reason := "booked"
	if !c.Start.IsZero() && !c.Start.Equal(slot.Start) {
		reason = "booked; its start was just over and is now"
	}
	if soonest && slot.Start.After(now) {
		reason = "booked; it starts as soon as the feeder can promise"
	}
	return &Lease{
		UID: c.UID, Tenant: c.Tenant, Site: c.Site, Feeder: br.ID, Watts: c.Watts, Slot: slot,
		State: Scheduled, Reason: reason,
		CreatedAt: now, OrderAt: slot.Start.Add(-br.lead()), Price: c.Price, Penalty: c.Penalty,
	}, nil
}

const fractional = "it has a fraction of a second: whole seconds are accepted"

// slot is the window that was asked for, with a start of just now moved to now. All its bounds
// are checked here.
func (c Create) slot(now time.Time) (Slot, *Refusal) {
	s := Slot{Start: c.Start.UTC(), End: c.End.UTC()}
	switch {
	case !c.Start.IsZero() && c.Start.Nanosecond() != 0:
		return s, refuse(InvalidField, "lease.start_time", fractional)
	case c.End.IsZero():
		return s, refuse(InvalidField, "lease.end_time", "it is missing: the slot's end is needed, exclusive")
	case c.End.Nanosecond() != 0:
		return s, refuse(InvalidField, "lease.end_time", fractional)
	case !c.Start.IsZero() && !c.Start.After(now.Add(-MaxLate)):
		return s, refuse(TimeOutOfRange, "lease.start_time", "it is in the past: now is %s, a start at most "+
			"%v ago is taken as now", now.Format(time.RFC3339), MaxLate)
	case c.End.After(now.Add(Horizon)):
		return s, refuse(TimeOutOfRange, "lease.end_time", "it is too far ahead: up to 400 days from now "+
			"are accepted, %s", now.Add(Horizon).Format(time.RFC3339))
	}
	if c.Start.IsZero() || c.Start.Before(now) {
		s.Start = now.Truncate(time.Second)
	}
	if s.End.Sub(s.Start) < MinDuration || s.End.Sub(s.Start) > MaxDuration {
		return s, refuse(InvalidField, "lease.end_time", "the slot would last %v from its start at %s: "+
			"10 seconds to 400 days are accepted", s.End.Sub(s.Start), s.Start.Format(time.RFC3339))
	}
	return s, nil
}

// permit checks everything but time and capacity.
func (b *Book) permit(c Create) *Refusal {
	br := b.feeders[c.Feeder]
	switch {
	case !ValidName(string(c.UID)) || b.leases[c.UID] != nil:
		return refuse(InvalidField, "lease.name", "%q is taken or not a name", c.UID)
	case !ValidName(string(c.Tenant)):
		return refuse(InvalidField, "lease.name", "%q is no tenant", c.Tenant)
	case c.Watts <= 0 || c.Watts > MaxWatts:
		return refuse(InvalidField, "lease.watts", "%d: 1 to %d is accepted", int64(c.Watts), int64(MaxWatts))
	case c.Price < 0 || c.Penalty < 0:
		return refuse(InvalidField, "lease.price", "%d and %d for overruns: 0 or more is accepted",
			int64(c.Price), int64(c.Penalty))
	case len(b.sites[c.Site]) == 0:
		return refuse(UnknownSite, "lease.site", "there is no site %q", c.Site)
	case c.Feeder != "" && (br == nil || !br.known || br.Site != c.Site):
		return refuse(UnknownSite, "lease.feeder", "site %q has no feeder %q", c.Site, c.Feeder)
	}
	return b.quota(c)
}

// quota checks what the tenant holds already.
func (b *Book) quota(c Create) *Refusal {
	u := b.tenants[c.Tenant]
	if u == nil {
		return nil
	}
	switch {
	case u.live >= b.limits.Live:
		return refuse(QuotaExceeded, "", "the tenant has %d leases that are not over: %d are accepted",
			u.live, b.limits.Live)
	case u.retained >= b.limits.Retained:
		return refuse(QuotaExceeded, "", "the tenant has %d leases in all: %d are accepted; "+
			"they are forgotten 90 days after they are over", u.retained, b.limits.Retained)
	case c.RequestID != "" && u.requests >= b.limits.Requests:
		return refuse(QuotaExceeded, "", "%d request ids are remembered for the tenant: %d are accepted",
			u.requests, b.limits.Requests)
	}
	return nil
}

// bestFit is the feeder on which the slot leaves the least watts free, so that large slots
// find room later; of equals the first by name. If none has room, the refusal is about the
// one that is nearest to it.
func (b *Book) bestFit(
	ids []FeederID, asked Slot, soonest bool, w unit.Watts, now time.Time,
) (*branch, Slot, *Refusal) {
	var best, nearest *branch
	var bestFree, nearestFree unit.Watts
	var bestSlot, nearestSlot Slot
	for _, id := range ids {
		br := b.feeders[id]
		s, ok := br.promise(asked, soonest, now)
		if !ok {
			continue
		}
		free := unit.Watts(-br.profile.peak(s.Start.Unix(), s.End.Unix()))
		if free >= w && (best == nil || free < bestFree) {
			best, bestFree, bestSlot = br, free, s
		}
		if nearest == nil || free > nearestFree {
			nearest, nearestFree, nearestSlot = br, free, s
		}
	}
	if best != nil {
		return best, bestSlot, nil
	}
	return nil, asked, b.noRoom(ids, nearest, nearestSlot, w, now)
}

// noRoom explains why the slot does not fit, about the feeder that is nearest to it, and when it would
// fit on any of them.
func (b *Book) noRoom(ids []FeederID, br *branch, s Slot, w unit.Watts, now time.Time) *Refusal {
	limit, from, dur := -int64(w), s.Start.Unix(), s.Seconds()
	free := unit.Watts(max(0, -br.profile.peak(from, from+dur)))
	r := refuse(NoCapacity, "", "%v are not free on feeder %s all through the slot: %v are", w, br.ID, free)
	r.Feeder, r.MaxFree = br.ID, free
	if t, ok := br.profile.above(from, limit); ok {
		r.FirstConflict = time.Unix(t, 0).UTC()
	}
	last := now.Add(Horizon).Unix() - dur
	first, until := int64(-1), last
	for _, id := range ids {
		start, searched, ok := b.feeders[id].profile.earliest(from, last, dur, limit)
		until = min(until, searched)
		if ok && start <= last && (first < 0 || start < first) {
			first = start
		}
	}
	r.SearchedUntil = time.Unix(until, 0).UTC()
	if first >= 0 {
		r.EarliestStart = time.Unix(first, 0).UTC()
		r.Detail += "; from " + r.EarliestStart.Format(time.RFC3339) + " on it would fit"
	}
	return r
}
