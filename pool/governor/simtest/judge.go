package simtest

import (
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

const (
	// believable is how old the reading behind a proof may be when it is heard of: three seconds by the
	// rules, one look of the governor and one of ours.
	believable = 7 * time.Second
	// blindFor is how long a meter may be lost when a return arrives that was decided before: until it is
	// stale, and the time for an order to be sent.
	blindFor = 15 * time.Second
	// patience is how long after its start a claim may wait for its watts while nothing fails. A machine
	// that does not obey is found after twice its time, and so is the next one in its place.
	patience = 5 * time.Minute
)

// judgeAge holds a proof against the rule that it rests on a fresh reading.
func (w *world) judgeAge(p *fleet.Proof) {
	if age := time.Since(p.At); age > believable {
		w.fault("stale", "feeder %s: %s is proven free by a reading of %v ago", p.Feeder, p.Claim, age)
	}
}

// word is by how much of a machine's power what it says of itself may be wrong. Another server finds it where
// it says that it is, and tells it to stay there.
const word = 0.1

// judgeSight holds an order for more that has arrived against the rule that nobody returns unseen.
func (f *feeder) judgeSight(now time.Time, d *device, sp fleet.Setpoint) {
	if d.goalOf(sp) <= d.watts+word*d.full() {
		return
	}
	for _, m := range f.meters {
		if m.lost && now.Sub(m.lostAt) > blindFor {
			f.w.fault("blind", "feeder %s: %s is told to return, and meter %v is lost for %v",
				f.ID, d.worker.ID, m.role, now.Sub(m.lostAt))
		}
	}
}

// awaited holds a claim that should have its watts by now against what was sold.
func (w *world) awaited(l *lease) {
	f, now := l.f, time.Now()
	if l.proven || w.server.dead || w.siteOf(f).failing.After(l.cap.Order) || f.blame(now) != "" {
		return
	}
	w.fault("late", "feeder %s: %s of %v has waited %v for its watts: %s", f.ID, l.cap.Claim, l.cap.Watts,
		now.Sub(l.cap.From), l.reason)
}
