package lease

import (
	"math/bits"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// measureEvery spaces the events that only carry energy: a reading a second for each lease would
// fill the journal with numbers that the last one replaces.
const measureEvery = 10 * time.Second

// tick fires due timers in the order of their times, whatever the time is now: after
// a long absence the leases go through what they missed as they would have.
func (s *step) tick(c Tick) {
	for fired := 0; fired < MaxFire && len(s.b.timers) > 0; fired++ {
		r := s.b.timers[0]
		if r.due.at.After(s.now) || s.err != nil {
			break
		}
		s.fire(r.lease, r.due.kind)
	}
	if c.Mark && len(s.events) == 0 {
		s.emit(Event{Kind: Marked})
	}
}

func (s *step) fire(l *Lease, kind dueKind) {
	next := *l
	switch kind {
	case orderDue:
		next.Reason = reasonOrdered
		s.move(&next, OrderDue)
	case startDue:
		if l.Proven {
			next.ActiveAt = l.Slot.Start
			next.Reason = "a meter shows the watts free"
			s.move(&next, StartProven)
			return
		}
		next.ShortSince = l.Slot.Start
		next.Reason = because("the slot has begun and no meter shows the watts free", l.Reason)
		s.move(&next, StartBare)
	case endDue:
		next.closeSpan(l.Slot.End)
		if l.ActiveAt.IsZero() {
			next.Reason = "the slot is over and no meter ever showed the watts free"
			s.move(&next, EndBare)
			return
		}
		next.Reason = "the slot is over; the tenant's meter does not show it off yet"
		s.move(&next, EndDue)
		s.leave(&next, offByMeter)
	case nothingDue:
	}
}

const reasonOrdered = "freeing the watts for its start"

// because keeps a reason from before the start, such as a proof's, next to the new one.
func because(now, before string) string {
	if before == "" || before == reasonOrdered {
		return now
	}
	return now + ": " + before
}

// move takes the lease along the table; a pair that is not there moves nothing.
func (s *step) move(next *Lease, t Trigger) bool {
	from := next.State
	to, ok := Next(from, t)
	if !ok {
		return false
	}
	next.State = to
	if to.Final() {
		next.EndedAt = s.now
		next.AtRisk = false
	}
	if to == Completed {
		next.Charge = charge(next)
	}
	s.emit(Event{Kind: Moved, Lease: next, From: from})
	return true
}

// closeSpan ends an open shortfall span at t, which may not lie outside it.
func (l *Lease) closeSpan(t time.Time) {
	if l.ShortSince.IsZero() {
		return
	}
	l.Shortfall = l.ShortfallAt(t)
	l.ShortSince = time.Time{}
}

// cancel ends a lease early: before its start at once, later by asking the tenant to leave.
func (s *step) cancel(c Cancel) {
	k := requestKey{c.Tenant, methodCancel, c.RequestID}
	done, refusal := s.b.repeated(k, c.Digest(), s.now)
	if done || s.refused(refusal) {
		return
	}
	l, ok := s.b.Lease(c.UID)
	if !ok || (c.Tenant != "" && l.Tenant != c.Tenant) {
		s.refused(refuse(UnknownLease, "name", "there is no such lease"))
		return
	}
	u := s.b.tenants[c.Tenant]
	if c.RequestID != "" && u != nil && u.requests >= 2*s.b.limits.Requests {
		s.refused(refuse(QuotaExceeded, "", "%d request ids are remembered for the tenant", u.requests))
		return
	}
	next := *l
	next.Reason = "cancelled by its tenant"
	if c.Tenant == "" {
		next.Reason = "cancelled by the operator"
	}
	to, ok := Next(l.State, CancelCalled)
	if !ok {
		r := refuse(StateForbids, "name", "the lease is %v: only one that is not over can be cancelled",
			l.State)
		r.State, r.Call = l.State, "CANCEL"
		s.refused(r)
		return
	}
	if to == Ending {
		next.cut(s.now)
		next.closeSpan(next.Slot.End)
		next.Reason += "; the tenant's meter does not show it off yet"
	}
	next.State = to
	if to.Final() {
		next.EndedAt, next.AtRisk = s.now, false
	}
	s.emit(Event{Kind: Moved, Lease: &next, From: l.State, Request: request(k, c.Digest(), &next, s.now)})
	if to == Ending {
		again := next
		s.leave(&again, offByMeter)
	}
}

// cut ends the slot with the running second.
func (l *Lease) cut(now time.Time) {
	end := now.Truncate(time.Second)
	if end.Before(now) || !end.After(l.Slot.Start) {
		end = end.Add(time.Second)
	}
	if end.Before(l.Slot.End) {
		l.Slot.End = end
		l.Delivered = min(l.Delivered, l.EnergyBound())
	}
}

// prove takes in what meters say of a lease. Only a proof makes a lease ACTIVE or COMPLETED.
func (s *step) prove(p Prove) {
	l, ok := s.b.Lease(p.UID)
	if !ok || l.State == Scheduled || (l.State.Final() && !l.Claims()) {
		return // an operator's claim, or a word that came too early or too late
	}
	p.translate(l)
	next := *l
	next.note(p, s.now)
	if within(l, s.now) && s.proveWithin(l, &next, p) {
		return
	}
	if !next.GoneAt.IsZero() && s.leave(&next, offByMeter) {
		return
	}
	if next.worthNoting(l, s.now) {
		next.MeasuredAt = s.now
		s.emit(Event{Kind: Noted, Lease: &next})
	}
}

// translate makes of a proof that was under way during an amendment what it says of the watts that the
// lease has now: fewer that are free do not show that all are, and more that are not free say nothing.
func (p *Prove) translate(l *Lease) {
	switch {
	case p.Watts == 0 || p.Watts == l.Watts:
	case p.Free && p.Watts < l.Watts:
		p.Free, p.Reason = false, ""
	case !p.Free && p.Watts > l.Watts:
		p.Free, p.Reason = l.Proven, ""
	}
}

// within says whether the slot runs at t.
func within(l *Lease, t time.Time) bool { return !t.Before(l.Slot.Start) && t.Before(l.Slot.End) }

// proveWithin moves a lease whose slot is running, if the proof does.
func (s *step) proveWithin(l, next *Lease, p Prove) bool {
	at := s.measured(p, l)
	next.MeasuredAt = s.now
	if !p.Free {
		moved := *next
		moved.ShortSince, moved.ReadAt = at, at
		moved.Reason = because("a meter shows that the watts are not free", p.Reason)
		return s.move(&moved, ProofShort)
	}
	moved := *next
	moved.closeSpan(at)
	moved.ReadAt = at
	moved.Reason = "a meter shows the watts free"
	if moved.ActiveAt.IsZero() {
		moved.ActiveAt = at
	}
	moved.Freed = p.Freed
	if s.move(&moved, ProofFree) {
		return true
	}
	next.MeasuredAt = l.MeasuredAt
	return false
}

// measured is when the proof's reading was taken, as far as the slot and our clock allow.
func (s *step) measured(p Prove, l *Lease) time.Time {
	at := p.At.UTC().Truncate(time.Millisecond)
	if at.After(s.now) {
		at = s.now
	}
	if at.Before(l.Slot.Start) {
		at = l.Slot.Start
	}
	if at.Before(l.ReadAt) { // readings out of order: no second is counted twice
		at = l.ReadAt
	}
	return at
}

// note copies what a proof says. Energy only grows, also when who counts it was restarted and is a
// little behind, and never beyond what was promised.
func (l *Lease) note(p Prove, now time.Time) {
	if p.At.IsZero() { // a word without a reading behind it, as an operator's
		p.At = now
	}
	if l.OrderedAt.IsZero() && !p.FirstOrder.IsZero() {
		l.OrderedAt = p.FirstOrder.UTC().Truncate(time.Millisecond)
	}
	l.Drawn = max(0, p.Drawn)
	l.Delivered = max(l.Delivered, min(p.Delivered, l.EnergyBound()))
	l.Overrun = max(l.Overrun, p.Overrun)
	l.Proven = p.Free
	if p.Free && l.ProvenAt.IsZero() {
		l.ProvenAt = p.At.UTC().Truncate(time.Millisecond)
	}
	if p.Free && now.Before(l.Slot.End) {
		l.Freed = p.Freed
	}
	l.noteReason(p)
	l.noteGone(p, now)
}

// noteReason says what the meters say while that is what is waited for.
func (l *Lease) noteReason(p Prove) {
	switch {
	case p.Free && l.State == Preparing:
		l.Reason = "a meter shows the watts free; the slot has not begun"
	case !p.Free && p.Reason != "" && (l.State == Preparing || l.State == Degraded):
		l.Reason = p.Reason
	}
}

func (l *Lease) noteGone(p Prove, now time.Time) {
	switch {
	case !p.Gone:
		l.GoneAt = time.Time{}
	case l.GoneAt.IsZero():
		l.GoneAt = p.At.UTC().Truncate(time.Millisecond)
		if l.GoneAt.After(now) {
			l.GoneAt = now
		}
	}
}

// worthNoting says whether a proof that moved nothing says enough to be kept.
func (l *Lease) worthNoting(old *Lease, now time.Time) bool {
	if l.Proven != old.Proven || l.GoneAt != old.GoneAt || l.OrderedAt != old.OrderedAt {
		return true
	}
	changed := l.Delivered != old.Delivered || l.Overrun != old.Overrun || l.Freed != old.Freed ||
		l.Drawn != old.Drawn || l.Reason != old.Reason
	return changed && !now.Before(old.MeasuredAt.Add(measureEvery))
}

// offByMeter is the usual way to know that a tenant is off.
const offByMeter = "the tenant's meter shows it off"

// leave finishes a lease whose tenant is off, by what why says.
func (s *step) leave(l *Lease, why string) bool {
	if l.State != Ending || l.GoneAt.IsZero() {
		return false
	}
	next := *l
	next.MeasuredAt = s.now
	if next.ActiveAt.IsZero() {
		next.Reason = "ended before a meter showed the watts free"
		return s.move(&next, GoneBare)
	}
	next.Reason = "over: " + why
	return s.move(&next, ProofGone)
}

// confirm takes the operator's word for a tenant without a meter.
func (s *step) confirm(c Confirm) {
	l, ok := s.b.Lease(c.UID)
	if !ok {
		s.refused(refuse(UnknownLease, "name", "there is no such lease"))
		return
	}
	if l.State != Ending && (l.State != Failed || !l.Claims()) {
		r := refuse(StateForbids, "name", "the lease is %v: only an ended one can be confirmed off", l.State)
		r.State, r.Call = l.State, "CONFIRM"
		s.refused(r)
		return
	}
	next := *l
	next.GoneAt = s.now
	if !s.leave(&next, "the operator says that the tenant is off") {
		s.emit(Event{Kind: Noted, Lease: &next})
	}
}

// restart drops proofs that were in hand for a start to come.
func (s *step) restart() {
	for _, l := range s.b.Leases() {
		if l.State == Preparing && l.Proven {
			next := *l
			next.Proven = false
			s.emit(Event{Kind: Noted, Lease: &next})
		}
	}
}

// settle notes that the charge is posted; to do so twice is harmless.
func (s *step) settle(c Settle) {
	l, ok := s.b.Lease(c.UID)
	if !ok || !l.Owes() {
		return
	}
	next := *l
	next.Settled = true
	s.emit(Event{Kind: Settled, Lease: &next})
}

// Owes says whether the lease has a charge that is not in the ledger yet.
func (l *Lease) Owes() bool { return l.State == Completed && l.Charge > 0 && !l.Settled }

// charge is price times delivered energy, at most what was promised, and penalty times what was drawn
// beyond it. Each is rounded up to a millisatoshi once, for the whole lease.
func charge(l *Lease) unit.Msat {
	sold := worth(min(l.Delivered, l.EnergyBound()), l.Price)
	return min(sold+worth(l.Overrun, l.Penalty), unit.Msat(maxMsat))
}

// worth is energy times a price a kWh, rounded up.
func worth(energy unit.Joules, price unit.Msat) unit.Msat {
	hi, lo := bits.Mul64(uint64(max(0, energy)), uint64(max(0, price)))
	const kwh = uint64(unit.KWh)
	lo, carry := bits.Add64(lo, kwh-1, 0)
	hi += carry
	if hi >= kwh { // beyond 64 bits: more than all money there is
		return unit.Msat(maxMsat)
	}
	q, _ := bits.Div64(hi, lo, kwh)
	return unit.Msat(min(q, maxMsat))
}

// maxMsat is 21 million bitcoin: no charge is higher.
const maxMsat = uint64(21_000_000 * 100_000_000 * 1000)
