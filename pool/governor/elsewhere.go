package governor

import (
	"fmt"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

const (
	// escapedAfter is how long a machine's session must be gone before it counts as escaped: longer than
	// miners take to come back after a drain.
	escapedAfter = time.Minute
	// backupsEvery is how often at most people are told of backup pools that were found on a feeder.
	backupsEvery = time.Minute
	// namedMost is how many machines one event names.
	namedMost = 5
)

// whereabouts is where a machine mines, as its sessions here and its own word tell.
type whereabouts struct {
	linkedAt time.Time // when it last had a session here; zero: not in this process
	home     string    // its active pool while it had one, by its own word
	escaped  bool      // its session is gone, and it hashes at another pool
	pool     string    // where to
	backups  bool      // it has backup pools, and people know
}

// mineElsewhere says that the worker has no session here: what is known of it comes from its own interface
// and its feeder's meter alone. A session that is away for a moment changes nothing.
func (w *worker) minesElsewhere(now time.Time) bool {
	at := w.where.linkedAt
	return w.probe != nil && len(w.links) == 0 && (at.IsZero() || now.Sub(at) > outage)
}

// saidRate is the worker's hashrate by its own word, 0 while there is none.
func (w *worker) saidRate() float64 {
	if !w.seesUs || w.seen.Activity == fleet.ActivityAsleep {
		return 0
	}
	return float64(w.seen.Hashrate)
}

// locate follows where the machine mines. It tells people of machines that escaped; what it hashes elsewhere
// counts in full until its watts say otherwise.
func (g *Governor) locate(w *worker, now time.Time) {
	at, s := &w.where, w.seen
	if len(w.links) > 0 {
		at.linkedAt = now
		if w.seesUs && s.Pool != "" {
			at.home = s.Pool
		}
	}
	switch escaped := w.hasEscaped(now); {
	case escaped && (!at.escaped || at.pool != s.Pool):
		at.escaped, at.pool = true, s.Pool
		g.event(now, Event{Level: Warn, Feeder: w.feeder.ID, Worker: w.ID, Message: fmt.Sprintf(
			"ESCAPED: its session here is gone, and it says that it hashes %v at %s", s.Hashrate, s.Pool)})
	case at.escaped && len(w.links) > 0:
		at.escaped, at.pool = false, ""
		g.event(now, Event{Feeder: w.feeder.ID, Worker: w.ID, Message: "mines here again"})
	}
	if !at.backups && len(s.Backups) > 0 {
		at.backups = true
		w.feeder.backups = append(w.feeder.backups, w)
	}
}

// hasEscaped says that the worker's session is gone while it hashes at another pool, by its own word.
func (w *worker) hasEscaped(now time.Time) bool {
	at, s := &w.where, w.seen
	if len(w.links) > 0 || at.linkedAt.IsZero() || now.Sub(at.linkedAt) <= escapedAfter || !w.seesUs {
		return false
	}
	hashing := s.Activity == fleet.ActivityMining && s.Hashrate > 0
	return hashing && s.At.After(at.linkedAt) && s.Pool != "" && s.Pool != at.home
}

// tellBackups says once of every machine that it has backup pools: where it goes on at full power when ours
// does not answer. They are not forbidden.
func (g *Governor) tellBackups(f *feeder, now time.Time) {
	n := len(f.backups)
	if n == 0 || now.Sub(f.backupsAt) < backupsEvery {
		return
	}
	f.backupsAt = now
	named := make([]string, 0, namedMost)
	for _, w := range f.backups[:min(n, namedMost)] {
		named = append(named, fmt.Sprintf("%s (%s)", w.ID, strings.Join(w.seen.Backups, ", ")))
	}
	more := ""
	if n > namedMost {
		more = ", ..."
	}
	f.backups = nil
	who := "1 machine has"
	if n > 1 {
		who = fmt.Sprintf("%d machines have", n)
	}
	g.event(now, Event{Feeder: f.ID, Message: fmt.Sprintf(
		"%s backup pools, to go on with when the first does not answer: %s%s", who,
		strings.Join(named, ", "), more)})
}
