package fleet

import (
	"sync/atomic"

	"github.com/hashlease/hashlease/pool/unit"
)

// Expectation is what a worker's hashrate is about to be, by our own order. It travels down a
// Link so that difficulty follows at once.
type Expectation struct {
	Seq             uint64
	Hashrate        unit.Hashrate // 0: silence is ordered
	SharesPerMinute float64       // 0: the pool's own rate
}

// Link ties a worker to one of its sessions, from the opening of a channel to its close. It is
// made by Registry.Open and safe for use by several goroutines.
type Link struct {
	wake     func() // immutable; must not block
	place    int    // guarded by the registry's mu
	actuator atomic.Pointer[Actuator]
	expect   atomic.Pointer[Expectation]
	shares   atomic.Uint64
	work     atomic.Uint64
	each     atomic.Uint64           // work of one share at the present target; 0 until it is known
	firmware atomic.Pointer[string]  // as the device says; nil until it is known
	reported atomic.Pointer[Reading] // by the device's own word; nil until it spoke
}

// Expect sets what is expected of the worker and wakes its session.
func (l *Link) Expect(e Expectation) {
	l.expect.Store(&e)
	l.wake()
}

// Expectation is the newest one, nil before the first.
func (l *Link) Expectation() *Expectation { return l.expect.Load() }

// Count adds accepted shares and their work; the session calls it.
func (l *Link) Count(shares, work uint64) {
	l.shares.Add(shares)
	l.work.Add(work)
}

// Counted is the sum of Count since the link was made.
func (l *Link) Counted() (shares, work uint64) { return l.shares.Load(), l.work.Load() }

// SetShareWork says what one share of the worker is worth from now on. Behind a proxy that is
// what a share of all its workers together is worth.
func (l *Link) SetShareWork(work uint64) { l.each.Store(work) }

// ShareWork is what one share is worth, 0 until it is known. How long a silence
// must be to mean something follows from it.
func (l *Link) ShareWork() uint64 { return l.each.Load() }

// SetActuator says that the session can set the worker's power itself (in-band extension).
func (l *Link) SetActuator(a Actuator) { l.actuator.Store(&a) }

// Actuator is the in-band actuator, nil if the session has none.
func (l *Link) Actuator() Actuator {
	if a := l.actuator.Load(); a != nil {
		return *a
	}
	return nil
}

// SetFirmware notes what the device says that it runs; the session calls it. Machines of one model and
// firmware are expected to answer orders alike.
func (l *Link) SetFirmware(name string) {
	if name != "" {
		l.firmware.Store(&name)
	}
}

// Firmware is what the device says that it runs, empty until it is known.
func (l *Link) Firmware() string {
	if f := l.firmware.Load(); f != nil {
		return *f
	}
	return ""
}

// Report notes the watts that the device says it draws: a claim, for evidence only.
func (l *Link) Report(r Reading) { l.reported.Store(&r) }

// Reported is the last claim and whether there was one.
func (l *Link) Reported() (Reading, bool) {
	if r := l.reported.Load(); r != nil {
		return *r, true
	}
	return Reading{}, false
}
