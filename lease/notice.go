package lease

import "time"

// promise is the slot on this feeder. Where it was measured how long watts take to be freed, none begins
// sooner: one that was asked for as soon as possible begins then, and another is refused.
func (br *branch) promise(s Slot, soonest bool, now time.Time) (Slot, bool) {
	earliest := br.earliest(now)
	switch {
	case !s.Start.Before(earliest):
		return s, true
	case soonest && s.End.Sub(earliest) >= MinDuration:
		s.Start = earliest
		return s, true
	}
	return s, false
}

// earliest is when a slot that is booked now may begin.
func (br *branch) earliest(now time.Time) time.Time {
	return now.Truncate(time.Second).Add((br.measured + time.Second - 1).Truncate(time.Second))
}

// lead is from the first order to the start: as configured, or as it was measured if that is longer.
func (br *branch) lead() time.Duration { return max(br.Notice, br.measured) }

// tooSoon refuses a slot that begins before any of the feeders can promise it.
func (b *Book) tooSoon(ids []FeederID, s Slot, soonest bool, now time.Time) *Refusal {
	var first *branch
	for _, id := range ids {
		br := b.feeders[id]
		if _, ok := br.promise(s, soonest, now); ok {
			return nil
		}
		if first == nil || br.measured < first.measured {
			first = br
		}
	}
	if first == nil {
		return nil
	}
	return refuse(TimeOutOfRange, "lease.start_time", "feeder %s was measured to take %v from order "+
		"to proof: a start from %s on is accepted",
		first.ID, first.measured, first.earliest(now).Format(time.RFC3339))
}
