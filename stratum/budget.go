package stratum

import (
	"sync"
	"time"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// What a session may send besides shares that are accepted: each frame costs one, each refused share
// too. An accepted share is work that was done, and earns one, and a further channel: a proxy whose
// miners come back opens the first hundred at once and the others as those begin to mine. A reader
// whose session has spent all waits: TCP slows the peer down, nothing of it is lost, and nobody else
// waits.
const (
	frameBurst        = 250  // at once
	frameBurstChannel = 4    // ... and for each channel
	frameRate         = 20.0 // a second
	frameRateChannel  = 1.0  // ... and for each channel
	openBurst         = 100  // channels more than ever, at once
	openRate          = 50.0 // ... and a second
	frameEarned       = 2000 // most that accepted shares add to the burst: a proxy's stale ones at a tip
)

// bucket is a token bucket; its zero value is full.
type bucket struct {
	spent float64 // below 0: earned
	at    int64   // Unix nanoseconds: when spent was right
}

// refill gives back what time has earned since the last look.
func (b *bucket) refill(rate float64, now time.Time) {
	at := now.UnixNano()
	if b.spent > 0 {
		b.spent = max(0, b.spent-rate*float64(max(0, at-b.at))/float64(time.Second))
	}
	b.at = at
}

// take spends one if there is one.
func (b *bucket) take(rate, burst float64, now time.Time) bool {
	b.refill(rate, now)
	if b.spent+1 > burst {
		return false
	}
	b.spent++
	return true
}

// spend spends one and says how long to wait until it is there.
func (b *bucket) spend(rate, burst float64, now time.Time) time.Duration {
	return b.owe(1, rate, burst, now)
}

// owe spends several at once.
func (b *bucket) owe(cost, rate, burst float64, now time.Time) time.Duration {
	b.refill(rate, now)
	b.spent += cost
	return time.Duration(max(0, b.spent-burst) / rate * float64(time.Second))
}

// earn adds one above the burst, to a limit.
func (b *bucket) earn(most float64) { b.spent = max(-most, b.spent-1) }

// charge accounts for a frame that was handled and says how long to wait before the next one, if the
// session or its address has spent what it may. Only the reader calls it.
func (s *session) charge(h sv2.Header, refused bool, now time.Time) time.Duration {
	return s.chargeFor(isShare(h) && !refused, isOpen(h), now)
}

// chargeFor is charge for a message that is an accepted share, a request for a channel or neither.
func (s *session) chargeFor(share, open bool, now time.Time) time.Duration {
	if share {
		s.budget.earn(frameEarned)
		s.opens.earn(frameEarned)
		return 0
	}
	s.mu.Lock()
	n := len(s.channels)
	s.mu.Unlock()
	wait := s.chargeNewcomer(open, n, now)
	if open {
		wait = max(wait, s.srv.sources.opened(s.source, &s.srv.cfg, now))
	}
	if n > s.most { // a channel more than ever: there is a bound on those
		s.most = n
		wait = max(wait, s.opens.spend(openRate, openBurst, now))
	} else {
		channels := float64(n)
		wait = max(wait, s.budget.spend(
			frameRate+frameRateChannel*channels, frameBurst+frameBurstChannel*channels, now))
	}
	if wait < pauseLeast {
		return 0 // it stays owed
	}
	return wait
}

// pay waits for as long as the last frame has cost.
func (s *session) pay() {
	wait := s.debt
	if s.debt = 0; wait <= 0 {
		return
	}
	s.srv.counts.throttled.Add(1)
	pause := time.NewTimer(min(wait, pauseMost))
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-s.srv.drain: // what was read is to be acknowledged now
	case <-s.srv.done:
	}
}

func isShare(h sv2.Header) bool {
	return h.ID() == 0 && (h.Type == sv2.TypeSubmitSharesStandard || h.Type == sv2.TypeSubmitSharesExtended)
}

func isOpen(h sv2.Header) bool {
	return h.ID() == 0 &&
		(h.Type == sv2.TypeOpenStandardMiningChannel || h.Type == sv2.TypeOpenExtendedMiningChannel)
}

// Lines that peers may cause in the log at info or above, over all connections.
const (
	complaintRate  = 5.0
	complaintBurst = 100
)

// complaints bounds what peers can write to the log.
type complaints struct {
	mu     sync.Mutex
	budget bucket // guarded by mu
}

// next reports whether a line may be written now.
func (c *complaints) next(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.budget.take(complaintRate, complaintBurst, now)
}

// complain says whether a refusal is logged: the first of a connection is, unless there are many of
// them, as peers must not fill the log.
func (s *session) complain() bool {
	if s.complained {
		return false
	}
	s.complained = true
	return s.srv.quiet.next(time.Now())
}
