package governor

import (
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

const (
	// stableSpan is the half of what a stable hashrate is measured over: five to ten minutes.
	stableSpan = 5 * time.Minute
	// leastSpan and leastShares are what it takes at least. After a whole stableSpan, silence counts too:
	// a machine that mines nothing at full power gives up nothing when it is told to sleep.
	leastSpan, leastShares = time.Minute, 16
)

// measured is what a worker's shares say of its hashrate. What it would have earned is told by the rate at
// full power before it was reduced, never by its nameplate.
type measured struct {
	seen   []seenLink
	work   float64 // hashes since the start
	shares uint64
	older  workAt
	newer  workAt

	stable float64 // hashes a second at full power, as last measured
	known  bool
	saved  float64 // what of it is durable, if kept
	kept   bool
	heard  time.Duration // that its own word of its rate was followed
}

// seenLink is where a session's counters stood. They may wrap around.
type seenLink struct {
	link         *fleet.Link
	shares, work uint64
}

// workAt is a point in a worker's work.
type workAt struct {
	at     time.Time
	work   float64
	shares uint64
}

// add takes the counters of the worker's sessions, and gives the hashes since it did so before.
func (m *measured) add(links []*fleet.Link) (hashes float64) {
	for i, l := range links {
		shares, work := l.Counted()
		at := m.place(i, l)
		hashes += float64(work - at.work)
		m.shares += shares - at.shares
		at.shares, at.work = shares, work
	}
	m.seen = m.seen[:len(links)]
	m.work += hashes
	return hashes
}

// place is where a session's counters stood, at the place where it is among the worker's sessions now.
func (m *measured) place(i int, l *fleet.Link) *seenLink {
	for j := i; j < len(m.seen); j++ {
		if m.seen[j].link == l {
			m.seen[i], m.seen[j] = m.seen[j], m.seen[i]
			return &m.seen[i]
		}
	}
	m.seen = append(m.seen, seenLink{link: l})
	last := len(m.seen) - 1
	m.seen[i], m.seen[last] = m.seen[last], m.seen[i]
	return &m.seen[i]
}

// measure follows the rate while the worker runs free.
func (m *measured) measure(free bool, now time.Time) {
	if !free {
		m.older, m.newer = workAt{}, workAt{}
		return
	}
	here := workAt{now, m.work, m.shares}
	if m.older.at.IsZero() {
		m.older, m.newer = here, here
		return
	}
	span := now.Sub(m.older.at)
	if span >= stableSpan || span >= leastSpan && m.shares-m.older.shares >= leastShares {
		m.stable, m.known = (m.work-m.older.work)/span.Seconds(), true
	}
	if now.Sub(m.newer.at) >= stableSpan {
		m.older, m.newer = m.newer, here
	}
}

// hear follows the rate that a machine without a session here says that it has, while it runs free: there are
// no shares to count.
func (m *measured) hear(rate float64, span time.Duration) {
	if rate <= 0 || span <= 0 || span > readingIdle {
		return
	}
	m.heard += span
	m.stable += (rate - m.stable) * span.Seconds() / min(m.heard, stableSpan).Seconds()
	m.known = m.known || m.heard >= leastSpan
}

// count adds what the worker did, and what it would have done, since the last look.
func (w *worker) count(now time.Time, span time.Duration, a *witness) {
	m := &w.measured
	done := m.add(w.links)
	if w.minesElsewhere(now) {
		done = w.saidRate() * a.scale * span.Seconds()
	}
	less := w.ordered() && (w.reduced() || !w.settled)
	free := !less && !w.reduced() && !w.stuck
	m.measure(free && len(w.links) > 0, now)
	if free && w.minesElsewhere(now) {
		m.hear(w.saidRate()*a.scale, span)
	}
	if !less {
		return
	}
	a.reduced++
	switch {
	case w.stuck || w.actuator == nil:
		a.faulty++
	case !m.known:
		a.unmeasured++
	case span > 0 && span <= readingIdle:
		a.due += m.stable * span.Seconds()
		a.done += done
	}
}
