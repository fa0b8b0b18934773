package stratumtest

import (
	"errors"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// PowerDevice is a machine whose power a Miner sets on the pool's order, or a site whose power an
// Agent sets. Its methods are called by several goroutines and must not block.
type PowerDevice interface {
	// Describe is what the device declares in PowerHello.
	Describe() PowerDescription
	// Obey starts an order and says what will come of it. A PowerRefusal is told to the
	// pool; the device then stays as it was.
	Obey(o PowerOrder) (PowerPlan, error)
	// Observe is what PowerReport tells.
	Observe() PowerObservation
}

// PowerDescription is a device's capability by its own word.
type PowerDescription struct {
	fleet.Capability
	Idle unit.Watts // drawn while paused
}

// PowerOrder is SetPowerTarget as the device is to follow it.
type PowerOrder struct {
	Command  sv2.PowerCommand
	Mode     fleet.Mode
	Hold     bool          // without a refresh: stay (true) or return to free (false)
	Watts    unit.Watts    // bound while capped
	StartIn  time.Duration // wait before beginning
	Ramp     time.Duration // take at least this long
	ValidFor time.Duration // the dead man's time; 0: no refresh is needed
}

// PowerPlan is a device's answer to an order.
type PowerPlan struct {
	Watts    unit.Watts
	Eta      time.Duration
	Hashrate unit.Hashrate // as the pool will see it in shares
}

// PowerObservation is a device's report.
type PowerObservation struct {
	Watts    unit.Watts
	Source   sv2.PowerSource
	State    sv2.PowerState
	Hashrate unit.Hashrate
	Hottest  uint8 // degrees Celsius
	Energy   unit.Joules
	Age      time.Duration
	Silent   bool // say nothing this time
}

// PowerRefusal is why a device does not follow an order. Its text is the error code on the wire.
type PowerRefusal string

// Error is the code.
func (r PowerRefusal) Error() string { return string(r) }

// ErrPowerSilent makes a Miner give no answer at all: the fault of a hung controller.
var ErrPowerSilent = errors.New("device does not answer")

// obedience holds the newest order of one device and its dead man. It outlives connections:
// a tenant may be drawing the watts that the device gave up.
type obedience struct {
	device PowerDevice

	mu      sync.Mutex
	newest  PowerOrder  // guarded by mu
	plan    PowerPlan   // guarded by mu: the answer to newest
	since   time.Time   // guarded by mu: when plan was made
	lapsed  bool        // guarded by mu: the dead man returned the device to free
	armed   uint64      // guarded by mu: grows with each (re)start of the dead man's clock
	deadman *time.Timer // guarded by mu; nil while none is armed
}

// take follows an order if it is the newest, and gives the answer either way: an older
// one changes nothing, a repeated one only refreshes the dead man, unless that had already let the
// device go. The command that the answer is about comes with it.
func (p *obedience) take(o PowerOrder) (sv2.PowerCommand, PowerPlan, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	same := o.Command == p.newest.Command
	switch {
	case !same && !o.Command.After(p.newest.Command):
		return p.newest.Command, p.againLocked(), nil
	case same && !p.lapsed:
		p.armLocked(p.newest)
		return p.newest.Command, p.againLocked(), nil
	}
	plan, err := p.device.Obey(o)
	if err != nil {
		return o.Command, PowerPlan{}, err
	}
	p.newest, p.plan, p.since, p.lapsed = o, plan, time.Now(), false
	p.armLocked(o)
	return o.Command, plan, nil
}

// againLocked is the answer to the newest order, with the time that is left.
func (p *obedience) againLocked() PowerPlan {
	plan := p.plan
	plan.Eta = max(0, plan.Eta-time.Since(p.since))
	return plan
}

// armLocked restarts the dead man's clock.
func (p *obedience) armLocked(o PowerOrder) {
	p.disarmLocked()
	if o.ValidFor <= 0 || o.Hold || o.Mode == fleet.Free {
		return // holding on, and being free, need nobody to watch over them
	}
	n := p.armed
	p.deadman = time.AfterFunc(o.ValidFor, func() { p.lapse(o, n) })
}

// disarmLocked stops the clock; one that has just fired finds another number and does nothing.
func (p *obedience) disarmLocked() {
	p.armed++
	if p.deadman != nil {
		p.deadman.Stop()
		p.deadman = nil
	}
}

// lapse returns the device to free unless a refresh or a newer order came meanwhile.
func (p *obedience) lapse(o PowerOrder, armed uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.armed != armed {
		return
	}
	p.deadman, p.lapsed = nil, true
	free := PowerOrder{Command: o.Command, Mode: fleet.Free}
	if plan, err := p.device.Obey(free); err == nil {
		p.plan, p.since = plan, time.Now()
	}
}

// command is the newest command that was followed, zero before the first.
func (p *obedience) command() sv2.PowerCommand {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.newest.Command
}

// stop ends the dead man's clock. What runs again afterwards has lost its memory with its power: it knows of
// no order.
func (p *obedience) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.disarmLocked()
	p.newest, p.plan, p.lapsed = PowerOrder{}, PowerPlan{}, false
}
