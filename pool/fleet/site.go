package fleet

import (
	"fmt"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/unit"
)

// SiteID and FeederID name a place and one of its metered branches: 1 to 40 of a-z 0-9 - _.
type (
	SiteID   string
	FeederID string
)

// Arm says what the governor may do on a feeder (design decision 14).
type Arm uint8

// Observe only looks; Advise also shows what it would order; Act orders.
const (
	Observe Arm = iota
	Advise
	Act
)

// String is the arm as configuration spells it.
func (a Arm) String() string { return spell(arms[:], uint8(a)) }

// MarshalText is String.
func (a Arm) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads "observe", "advise" or "act".
func (a *Arm) UnmarshalText(b []byte) error {
	n, ok := unspell(arms[:], string(b))
	if !ok {
		return fmt.Errorf("arm %q: observe, advise or act is accepted", b)
	}
	*a = Arm(n)
	return nil
}

var arms = [...]string{"observe", "advise", "act"}

// Site is a place with feeders behind one owner.
type Site struct {
	ID       SiteID
	Name     string
	Zone     *time.Location // of its clocks and its bills; nil: UTC
	Feeders  []Feeder
	Branches []Branch // in any order; none: feeders are all there is
}

// Overload is what a feeder bears above its limit, for a bounded time.
type Overload struct {
	Watts unit.Watts
	For   time.Duration
}

// Feeder is a metered branch with a limit. Its mining, its base load and its tenants share the limit.
type Feeder struct {
	ID       FeederID
	Site     SiteID
	Branch   BranchID      // what it hangs on; empty: the site's import, if one is declared
	Limit    unit.Watts    // never passed by our act
	Reserve  unit.Watts    // kept free below the limit for what we do not command
	Base     unit.Watts    // declared base load: counted at least, and where no meter tells it
	Overload Overload      // declared allowance; covers the largest single control domain
	Notice   time.Duration // lead before a slot starts: order to proof, measured or declared
	Heat     unit.Watts    // of mining that is kept running for its heat, unless the limit forbids it
	Restore  unit.Watts    // given back to mining a second at most; 0: the governor's default
	Arm      Arm
	// Trusted counts its workers by their curves and their own word without a commissioning: for
	// simulated fleets.
	Trusted bool
	// NoSpare sells what the largest single control domain frees, too: nobody stands in for it.
	NoSpare bool
}

// Role says what a meter measures on its feeder (design decision 12).
type Role uint8

// Total is everything on the feeder, Mining the workers, Base what is neither, Tenant one tenant's branch.
const (
	Total Role = iota
	Mining
	Base
	Tenant
)

// String is the role as configuration spells it.
func (r Role) String() string { return spell(roles[:], uint8(r)) }

// MarshalText is String.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads "total", "mining", "base" or "tenant".
func (r *Role) UnmarshalText(b []byte) error {
	n, ok := unspell(roles[:], string(b))
	if !ok {
		return fmt.Errorf("role %q: total, mining, base or tenant is accepted", b)
	}
	*r = Role(n)
	return nil
}

var roles = [...]string{"total", "mining", "base", "tenant"}

// Point is one working point of a curve.
type Point struct {
	Watts    unit.Watts
	Hashrate unit.Hashrate
}

// Curve is a worker's power against its hashrate: points by ascending watts. The
// first is the lowest that it can run at, the last is full power.
type Curve []Point

// Full is the point of full power.
func (c Curve) Full() Point { return c[len(c)-1] }

// Worker is a machine with an identity, a place and a curve.
type Worker struct {
	ID     pool.WorkerID
	Feeder FeederID
	Branch BranchID // the PDU below the feeder that it hangs on; empty: none
	Model  string
	Curve  Curve
	Sleep  unit.Watts    // drawn while paused
	MinRun time.Duration // shortest time between a wake and the next pause
	MinOff time.Duration // shortest time between a pause and the next wake
	Wear   unit.Msat     // cost of one pause-and-wake cycle
	Pinned bool          // the operator wants it left alone
	// MustRun is never reduced by a price or for a claim, only if the limit could not be kept otherwise.
	MustRun bool
	Cycles  int // pauses within 24 h at most; 0: any number
}

// Mode is what a worker is told to do with its power.
type Mode uint8

// Free is unbounded, Capped is at most Setpoint.Watts, Paused is asleep.
const (
	Free Mode = iota
	Capped
	Paused
)

// String is the mode in a word.
func (m Mode) String() string { return spell(modes[:], uint8(m)) }

var modes = [...]string{"free", "capped", "paused"}

// spell is the n-th word, or a mark that there is none.
func spell(words []string, n uint8) string {
	if int(n) >= len(words) {
		return "unknown"
	}
	return words[n]
}

func unspell(words []string, s string) (uint8, bool) {
	for i, w := range words {
		if w == s {
			return uint8(i), true
		}
	}
	return 0, false
}

// Setpoint is ordered power for one worker. A newer (Term, Command) replaces an older one.
type Setpoint struct {
	Worker   pool.WorkerID
	Term     uint32 // fencing epoch of the process that orders
	Command  uint32 // grows by one with each order to this worker within a term
	Mode     Mode
	Watts    unit.Watts    // bound on the worker's draw: its full power when free, Sleep when paused
	Hashrate unit.Hashrate // expected once settled
	Ramp     time.Duration // spread the change over this span, if the device can
	ValidFor time.Duration // dead man: what happens without a refresh is FailHold's matter
	FailHold bool          // without a refresh: stay (true) or return to free (false)
}

// Capability is what an actuator can do with its worker, declared by the device.
type Capability struct {
	Min, Max   unit.Watts
	Step       unit.Watts    // 0: continuous
	CanCap     bool          // runs between Min and Max
	CanPause   bool          // sleeps
	CanRamp    bool          // obeys Setpoint.Ramp
	ShedIn     time.Duration // declared time to 95 % of a reduction
	ReturnIn   time.Duration // declared time to 95 % of a return
	HoldsAlone bool          // keeps a reduction without us: may back FIRM capacity
	Restarts   bool          // to be capped it restarts its mining, and hashes nothing for ReturnIn
	Forgets    bool          // is at full power after a reboot, whatever it was told before
	Measured   bool          // says watts that its power supply measures; otherwise it estimates them
}

// Ack is a device's answer to a setpoint: a claim, never a proof.
type Ack struct {
	Command  uint32
	Planned  unit.Watts
	Eta      time.Duration
	Hashrate unit.Hashrate
}

// Reading is metered power.
type Reading struct {
	Watts  unit.Watts
	Energy unit.Joules // counter since the meter was installed; 0 if it has none
	At     time.Time   // when it was measured
	Moving bool        // a device's word only: it is on its way to what it was last ordered
}

// Cap claims watts of a feeder for somebody over a window [From, Until): mining must leave
// them free. What mining may draw is
//
//	limit - reserve - base - sum over tenants of max(claimed watts, that tenant's measured draw).
type Cap struct {
	Feeder FeederID
	Claim  string     // what claims it, unique: a lease's uid, or "operator/..."
	Tenant string     // whose meter shows the draw; empty for an operator's claim
	Watts  unit.Watts // above 0
	Order  time.Time  // when ordering begins: From less the notice
	From   time.Time  // when the watts must be free
	Until  time.Time  // when the claim ends by itself; draw past it still counts
}

// Revision orders sets of caps: an older one than the newest seen is ignored.
type Revision uint64

// Proof is what meters say of one claim. Newer proofs replace older ones of the same claim.
type Proof struct {
	Seq        uint64 // grows with every proof that changes anything
	Claim      string
	Feeder     FeederID
	At         time.Time   // when the reading behind it was measured
	FirstOrder time.Time   // when the first setpoint for this claim left; zero if none was needed
	Watts      unit.Watts  // what the claim was for when it was judged
	Free       bool        // ACTIVE holds, by a reading newer than the order (docs/design.md section 6)
	Drawn      unit.Watts  // the tenant's measured draw on this feeder
	Delivered  unit.Joules // tenant's metered energy within the window so far
	Overrun    unit.Joules // tenant's metered energy beyond what it held, laid to this claim
	Freed      unit.Watts  // mining's metered draw below its baseline when ordering began
	Gone       bool        // the window is over and the tenant's meter shows it off
	Reason     string      // why Free is false, for people
}

// Capacity is what a feeder can deliver to tenants, with its basis.
type Capacity struct {
	Seq      uint64
	Feeder   FeederID
	Firm     unit.Watts    // limit - reserve - base - what cannot be curtailed
	Notice   time.Duration // lead that it takes from order to proof, as measured; 0: as the feeder declares
	Basis    string        // how it was found, for people
	Foregone unit.Msat     // msat a kWh that mining would have earned with the cheapest such watts
}
