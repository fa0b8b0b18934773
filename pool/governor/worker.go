package governor

import (
	"hash/fnv"
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

const (
	// reportStale is how old a machine's word about its watts may be. One that has fallen silent on a
	// living connection may draw anything.
	reportStale = 30 * time.Second
	// reportGrace is how long a new session may take to say what its machine draws.
	reportGrace = 3 * time.Second
)

// worker is a machine with what it was told and what is known of it.
type worker struct {
	fleet.Worker
	most      unit.Watts // its full power
	feeder    *feeder
	place     int            // among all workers
	above     []*branch      // PDUs below the feeder, and what the feeder hangs on
	outOfBand fleet.Actuator // nil: the session's
	probe     *probed        // nil: it has no interface of its own that we speak
	lapse     float64        // 0 to 1: its place in the spread of dead men

	// What is there.
	links      []*fleet.Link
	via        *fleet.Link    // the session behind actuator; nil if it is out of band
	actuator   fleet.Actuator // nil: it takes no orders now
	capability fleet.Capability
	reachedAt  time.Time // since when it takes orders
	lostAt     time.Time // since when it does not
	reported   unit.Watts
	reportedAt time.Time
	speaks     bool // it has reported watts, lately
	moving     bool // and that they are on their way to others
	seen       *Seen
	seesUs     bool // it answers on its own interface
	where      whereabouts

	// What was ordered. Command 0: nothing in this term; mode and watts are then as found.
	order     fleet.Setpoint
	found     bool       // the device has said in which state it was found
	foundAt   unit.Watts // ... by drawing so much
	from      unit.Watts // least that it may have drawn when the order was made
	confirmed unit.Watts // most that it may draw by what has been confirmed
	orderedAt time.Time
	dueAt     time.Time // when to send it, spread over a bulk
	sentAt    time.Time // first send of this command
	sending   bool
	acked     bool
	ack       fleet.Ack
	ackedAt   time.Time
	touchedAt time.Time // last good send
	retryAt   time.Time
	failures  int
	refused   error     // why the newest order was not taken; nil: it was, or was not sent yet
	since     time.Time // last pause or wake by order
	settled   bool      // the order has taken effect, or will not
	evidence  fleet.Evidence
	shares    shareWatch

	stuck      bool
	quarantine *quarantine // somebody else has a hand on it: left alone; nil: not so
	lies       bool        // it says that it is down, and its shares say that it is not
	liesUntil  time.Time   // that it is not chosen once it is free
	doubt      suspicion   // what meters say of its word
	stuckUntil time.Time
	asserts    int
	measured   measured
	loss       float64 // hashes a second a kilowatt that are lost from full power to lossAt
	lossAt     unit.Watts
	noted      fleet.Evidence // what the log knows of
	notedStuck bool
	assertedAt time.Time

	ceiling *Ceiling      // by an operator's hand; nil: none
	below   *fleet.Worker // what it is under a cap by hand; nil: there is none

	firmware string    // as its session said last
	provenAt time.Time // when it was last seen to answer at its feeder's meter
	terms    terms

	want    fleet.Setpoint // by the newest plan
	planned bool           // scratch of Governor.plan
	advised fleet.Setpoint // the same by the plan before it, while its feeder is not armed to act
}

func newWorker(w fleet.Worker, a fleet.Actuator) *worker {
	n := &worker{Worker: w, outOfBand: a, lapse: lapseOf(w.ID), reported: -1, settled: true}
	n.most = w.Curve.Full().Watts
	n.confirmed = n.full()
	n.order = fleet.Setpoint{Worker: w.ID, Watts: n.full(), Hashrate: w.Curve.Full().Hashrate}
	n.want, n.advised = n.order, n.order
	n.doubt.odds = doubtPrior
	return n
}

// lapseOf spreads workers evenly over 0 to 1, and the same at each start: if orders end because we
// do, machines that were ordered in one bulk must not return in one step.
func lapseOf(id pool.WorkerID) float64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // cannot fail
	// FNV leaves names that differ at their end close to each other: mix them.
	return float64(h.Sum32()*0x9e3779b1) / (1 << 32)
}

func (w *worker) full() unit.Watts { return w.most }

// present is the state in force: as ordered, or as found.
func (w *worker) present() fleet.Setpoint { return w.order }

// ordered says whether the worker got an order in this term.
func (w *worker) ordered() bool { return w.order.Command > 0 }

// reduced says whether the state in force is below full power.
func (w *worker) reduced() bool { return w.order.Mode != fleet.Free }

// slackWatts is what a reported draw may be off without meaning anything.
func (w *worker) slackWatts() unit.Watts { return max(50, w.full()/20) }

// unsure says whether the worker's draw is assumed rather than known.
func (w *worker) unsure(now time.Time) bool {
	if w.actuator == nil {
		return !w.holds(now)
	}
	return !w.ordered() && !w.found
}

// holds says whether a worker out of reach still keeps its last order: it holds alone
// and was told to, or its dead man has not run out.
func (w *worker) holds(now time.Time) bool {
	if !w.ordered() || !w.acked {
		return false
	}
	return w.capability.HoldsAlone && w.order.FailHold || now.Before(w.touchedAt.Add(w.order.ValidFor))
}

// worst is the most that the worker may draw by our act: what was last confirmed or what is
// ordered, whichever is more; full power while nothing is known.
func (w *worker) worst(now time.Time) unit.Watts {
	if w.unsure(now) {
		return w.full()
	}
	return max(w.confirmed, w.order.Watts)
}

// state is what the planner is shown.
func (w *worker) state(now time.Time) fleet.WorkerState {
	return fleet.WorkerState{
		Worker: &w.Worker, Capability: w.capability,
		Reachable: w.reachable(now) && w.doubt.told == nil,
		Mode:      w.order.Mode, Watts: w.order.Watts,
		Draw: w.triedDraw(w.worst(now)), Since: w.since,
	}
}

// reachable says that the planner may dispose of the worker.
func (w *worker) reachable(now time.Time) bool {
	return w.actuator != nil && !w.stuck && !w.quietYet(now) && (!w.lies || w.reduced())
}

// counted is what the planner counts the worker with.
func (w *worker) counted(now time.Time) unit.Watts {
	if w.Pinned || !w.reachable(now) {
		return w.worst(now)
	}
	if w.order.Mode == fleet.Free {
		return w.most
	}
	return w.Draw(w.order.Mode, w.order.Watts)
}

// believed is what the worker adds to metered mining: c, what it is counted with, unless it says that it
// draws much less, as a machine that does not come back.
func (w *worker) believed(c unit.Watts) unit.Watts {
	if w.speaks && w.reported < c*9/10 {
		return w.reported
	}
	return c
}

// low says that the worker says it draws clearly less than its full power.
func (w *worker) low() bool { return w.speaks && w.reported < w.most-2*w.slackWatts() }

// quietYet says that the session is so new that it has not said what its machine draws. There is
// time to wait for it as long as the feeder is within its limit anyway.
func (w *worker) quietYet(now time.Time) bool {
	young := now.Sub(w.reachedAt) < reportGrace
	return young && !w.ordered() && !w.speaks && w.outOfBand == nil && w.feeder.fits()
}

// fits says that the meters show the feeder under its bound, whatever the orders are.
func (f *feeder) fits() bool {
	return f.now.fresh && f.plan.Bound > 0 && f.now.mining <= f.plan.Bound
}

// observe looks at a worker's sessions: who takes orders, and what it says that it draws.
func (g *Governor) observe(w *worker, now time.Time) {
	spoke, moved, low, actuator := w.speaks, w.moving, w.low(), w.actuator
	if g.relink {
		w.links = g.cfg.Registry.Links(w.ID)
	}
	w.listen(now)
	g.look(w, now)
	a, via := w.reach()
	switch {
	case a != nil && w.actuator == nil:
		w.reachedAt = now
		w.beginAnew(now)
	case a == nil && w.actuator != nil:
		w.lostAt = now
	}
	if via != w.via && a != nil {
		w.acked, w.retryAt = false, now // a new session is told again
		w.feeder.unrest()
	}
	w.actuator, w.via = a, via
	w.learnCapability()
	w.learnFirmware()
	if w.speaks && !w.ordered() {
		w.find()
	}
	if moved && !w.moving { // what a meter showed before explains nothing
		w.feeder.settledAt = now
	}
	if w.turned(spoke, moved, low) || (a == nil) != (actuator == nil) {
		w.feeder.unrest()
	}
}

// turned says that the worker says something else of its draw than before.
func (w *worker) turned(spoke, moved, low bool) bool {
	return w.speaks != spoke || w.moving != moved || w.low() != low
}

// learnFirmware takes the newest session's word for it; an agent's link knows none.
func (w *worker) learnFirmware() {
	for _, l := range slices.Backward(w.links) {
		if f := l.Firmware(); f != "" {
			w.firmware = f
			return
		}
	}
	if w.probe != nil && w.seen.Firmware != "" {
		w.firmware = w.seen.Firmware
	}
}

// learnCapability asks the actuator what it can do.
func (w *worker) learnCapability() {
	if w.actuator == nil {
		return
	}
	if c := w.actuator.Capability(); c != w.capability {
		w.capability = c
		w.feeder.unrest()
	}
}

// reach is what takes the worker's orders, and the newest session that it is behind, if it is in-band.
func (w *worker) reach() (fleet.Actuator, *fleet.Link) {
	if w.outOfBand != nil && (w.probe == nil || w.seesUs) {
		return w.outOfBand, nil
	}
	for _, l := range slices.Backward(w.links) {
		if a := l.Actuator(); a != nil {
			return a, l
		}
	}
	return nil, nil
}

// listen takes what the worker says that it draws, by its newest session that says so.
func (w *worker) listen(now time.Time) {
	w.reported, w.speaks, w.moving = -1, false, false
	for _, l := range slices.Backward(w.links) {
		if r, ok := l.Reported(); ok && now.Sub(r.At) < reportStale {
			w.reported, w.reportedAt, w.speaks, w.moving = r.Watts, r.At, true, r.Moving
			return
		}
	}
}

// find takes a device's word for the state that it is in, before it gets its first order.
func (w *worker) find() {
	if w.found && w.foundAt == w.reported && (w.moving || w.confirmed < w.full()) {
		return
	}
	w.foundAt = w.reported
	sp := fleet.Setpoint{Worker: w.ID}
	switch {
	case w.reported <= w.Sleep+w.slackWatts():
		sp.Mode = fleet.Paused
	case w.reported < w.full()-2*w.slackWatts():
		sp.Mode = fleet.Capped
	}
	sp.Watts = w.Draw(sp.Mode, w.reported)
	sp.Hashrate = w.Rate(sp.Mode, w.reported)
	w.order, w.found = sp, true
	w.confirmed = max(sp.Watts, w.reported)
	if w.moving { // a meter shows later what it has said
		w.confirmed = w.full()
	}
}
