package lease

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// Amend changes a lease's watts, start or end, all in one: what it holds is released and what it asks for is
// booked as one difference, so that a smaller and longer slot fits a full feeder. The feeder stays.
type Amend struct {
	UID       UID
	Tenant    TenantID // empty: the operator, who may amend any
	RequestID string   // empty: not idempotent
	Watts     unit.Watts
	Start     time.Time
	End       time.Time // zero values leave their field as it is
}

func (Amend) command() {}

// Digest is the hash of what was asked for.
func (c Amend) Digest() [sha256.Size]byte {
	b := appendText(nil, "amend", string(c.Tenant), string(c.UID))
	b = binary.BigEndian.AppendUint64(b, uint64(c.Watts))
	return sha256.Sum256(appendTime(appendTime(b, c.Start), c.End))
}

// amend changes a booking, unless the same request did so before.
func (s *step) amend(c Amend) {
	k := requestKey{c.Tenant, methodAmend, c.RequestID}
	done, refusal := s.b.repeated(k, c.Digest(), s.now)
	if done || s.refused(refusal) {
		return
	}
	next, refusal := s.b.amended(c, s.now)
	if s.refused(refusal) {
		return
	}
	e := Event{Kind: Amended, Lease: next, Request: request(k, c.Digest(), next, s.now)}
	if old := s.b.leases[c.UID].lease; next.State != old.State {
		e.Kind, e.From = Moved, old.State
	}
	s.emit(e)
	if br := s.b.feeders[next.Feeder]; br.shortfall != nil {
		s.shortfall(br)
	}
}

// CheckAmend says what Amend would make of the lease, and changes nothing. The error is a *Refusal.
func (b *Book) CheckAmend(c Amend, now time.Time) (*Lease, error) {
	l, refusal := b.amended(c, b.at(now))
	if refusal != nil {
		return nil, refusal
	}
	return l, nil
}

// amended is the lease as it would be: the whole decision.
func (b *Book) amended(c Amend, now time.Time) (*Lease, *Refusal) {
	l, ok := b.Lease(c.UID)
	if !ok || (c.Tenant != "" && l.Tenant != c.Tenant) {
		return nil, refuse(UnknownLease, "name", "there is no such lease")
	}
	if u := b.tenants[c.Tenant]; c.RequestID != "" && u != nil && u.requests >= b.limits.Requests {
		return nil, refuse(QuotaExceeded, "", "%d request ids are remembered for the tenant: %d are accepted",
			u.requests, b.limits.Requests)
	}
	next := *l
	if c.Watts != 0 {
		next.Watts = c.Watts
	}
	if !c.Start.IsZero() {
		next.Slot.Start = c.Start.UTC()
	}
	if !c.End.IsZero() {
		next.Slot.End = c.End.UTC()
	}
	if r := c.permit(l, &next, now); r != nil {
		return nil, r
	}
	br := b.feeders[l.Feeder]
	if r := br.soonEnough(l, &next, now); r != nil {
		return nil, r
	}
	if !next.inside(l, now) {
		if r := b.refit(br, l, &next, now); r != nil {
			return nil, r
		}
	}
	next.reshape(l, br, now)
	return &next, nil
}

// permit checks what may be changed in the lease's state, and the bounds of the result.
func (c Amend) permit(l, next *Lease, now time.Time) *Refusal {
	switch l.State {
	case Scheduled, Preparing, Active, Degraded:
	default:
		r := refuse(StateForbids, "name", "the lease is %v: SCHEDULED, PREPARING, ACTIVE and DEGRADED ones "+
			"can be amended", l.State)
		r.State, r.Call = l.State, "AMEND"
		return r
	}
	if r := c.bounds(l, next, now); r != nil {
		return r
	}
	if next.Watts < l.Watts && l.Drawn > next.Watts && within(l, now) {
		return refuse(InvalidField, "watts", "the tenant's meter shows %v: draw %v or less, then ask again",
			l.Drawn, next.Watts)
	}
	return nil
}

// bounds checks the fields, and the slot that they make.
func (c Amend) bounds(l, next *Lease, now time.Time) *Refusal {
	moved := !next.Slot.Start.Equal(l.Slot.Start)
	switch {
	case c.Watts < 0 || c.Watts > MaxWatts:
		return refuse(InvalidField, "watts", "%d: 1 to 100,000,000,000 is accepted, or none to leave them",
			int64(c.Watts))
	case c.Start.Nanosecond() != 0:
		return refuse(InvalidField, "start_time", fractional)
	case c.End.Nanosecond() != 0:
		return refuse(InvalidField, "end_time", fractional)
	case moved && l.State != Scheduled:
		return refuse(InvalidField, "start_time", "the lease is %v: only a SCHEDULED one's start can be "+
			"moved", l.State)
	case moved && next.Slot.Start.Before(now):
		return refuse(TimeOutOfRange, "start_time", "it is in the past: now is %s", now.Format(time.RFC3339))
	case !next.Slot.End.After(now) && !c.End.IsZero():
		return refuse(TimeOutOfRange, "end_time", "it is in the past: now is %s; cancel ends a lease at once",
			now.Format(time.RFC3339))
	case next.Slot.End.After(now.Add(Horizon)):
		return refuse(TimeOutOfRange, "end_time", "it is too far ahead: up to 400 days from now are "+
			"accepted, %s", now.Add(Horizon).Format(time.RFC3339))
	}
	if d := next.Slot.End.Sub(next.Slot.Start); d < MinDuration || d > MaxDuration {
		return refuse(InvalidField, "end_time", "the slot would last %v: 10 seconds to 400 days are "+
			"accepted", d)
	}
	return nil
}

// soonEnough refuses new watts before the feeder can free them: what was measured counts, as for a new slot.
// A slot that runs already may grow: the further watts come after the notice.
func (br *branch) soonEnough(l, next *Lease, now time.Time) *Refusal {
	earliest := br.earliest(now)
	sooner := next.Slot.Start.Before(l.Slot.Start)
	if !(sooner || next.Watts > l.Watts) || within(l, now) || !next.Slot.Start.Before(earliest) {
		return nil
	}
	field := "watts"
	if sooner {
		field = "start_time"
	}
	return refuse(TimeOutOfRange, field, "feeder %s was measured to take %v from order to proof: a start "+
		"from %s on is accepted", br.ID, br.measured, earliest.Format(time.RFC3339))
}

// inside says whether nothing is asked for from now on that the old lease does not hold: such a change needs
// no room, also on a feeder that cannot deliver its bookings.
func (l *Lease) inside(old *Lease, now time.Time) bool {
	begins := !l.Slot.Start.Before(old.Slot.Start) || !old.Slot.Start.After(now)
	return begins && l.Watts <= old.Watts && !l.Slot.End.After(old.Slot.End)
}

// refit looks for the new rectangle in a profile without the old one.
func (b *Book) refit(br *branch, l, next *Lease, now time.Time) *Refusal {
	held := l.booked()
	br.profile.addSlot(held.start, held.end, -held.watts)
	defer br.profile.addSlot(held.start, held.end, held.watts)
	s := next.Slot
	if today := now.Truncate(time.Second); s.Start.Before(today) {
		s.Start = today
	}
	if unit.Watts(-br.profile.peak(s.Start.Unix(), s.End.Unix())) >= next.Watts {
		return nil
	}
	return b.noRoom([]FeederID{br.ID}, br, s, next.Watts, now)
}

// reshape makes what follows from the new rectangle: what was promised so far, the time of the order, and for
// a slot that runs, that further watts are not free yet.
func (l *Lease) reshape(old *Lease, br *branch, now time.Time) {
	if old.State == Scheduled {
		l.OrderAt = l.Slot.Start.Add(-br.lead())
	}
	if !l.Slot.Start.Equal(old.Slot.Start) { // nothing of the new slot has passed
		l.Promised, l.ChangedAt = 0, time.Time{}
	}
	defer func() { l.Delivered = min(l.Delivered, l.EnergyBound()) }()
	if l.Watts == old.Watts {
		l.Reason = "amended"
		return
	}
	if within(old, now) && l.Slot.Start.Equal(old.Slot.Start) {
		l.Promised, l.ChangedAt = old.promisedBy(now), now.Truncate(time.Second)
	}
	switch {
	case l.Watts < old.Watts:
		l.Granted = min(l.Granted, l.Watts)
		l.Reason = "amended: it holds fewer watts"
	case old.State == Preparing:
		l.Proven = false
		l.Reason = "amended: freeing further watts for its start"
	case old.State == Active || old.State == Degraded:
		l.grow(old, now.Add(br.lead()))
	default:
		l.Reason = "amended"
	}
}

// grow is for a slot that runs: it is DEGRADED until a meter shows the further watts free too, and short of
// them only from the instant on by which they were promised. What was free before may be drawn on.
func (l *Lease) grow(old *Lease, by time.Time) {
	l.Reason = "amended: freeing further watts"
	l.Proven = false
	if to, ok := Next(old.State, Grown); ok {
		l.State = to
		l.Granted, l.ShortSince = old.Watts, by
	}
}

// GrantedAt is what the tenant may draw at t: all of the watts while a meter shows them free, and while
// further ones are being freed for an amendment, those that it had.
func (l *Lease) GrantedAt(t time.Time) unit.Watts {
	switch {
	case !within(l, t):
		return 0
	case l.State == Active:
		return l.Watts
	case l.State == Degraded && t.Before(l.ShortSince):
		return l.Granted
	default:
		return 0
	}
}

// promisedBy is the energy that the lease promised from its start until t.
func (l *Lease) promisedBy(t time.Time) unit.Joules {
	from := l.Slot.Start
	if !l.ChangedAt.IsZero() {
		from = l.ChangedAt
	}
	return l.Promised + l.Watts.Over(max(0, t.Truncate(time.Second).Unix()-from.Unix()))
}
