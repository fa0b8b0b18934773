package fleet

import (
	"math"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/unit"
)

// Snapshot is what a plan is made from: the fleet as it is known now.
type Snapshot struct {
	Feeders     []FeederState
	Branches    []BranchState // of all sites, in any order
	Workers     []WorkerState
	MsatPerHash float64 // 0: unknown; workers are ranked by hashrate alone
}

// FeederState is one feeder as it is known now.
type FeederState struct {
	Feeder  *Feeder
	Base    unit.Watts
	Tenants []TenantDraw
	Margin  unit.Watts // kept below the bound, so that a meter's noise does not cross it
	Keep    unit.Watts // present orders that fit are kept unless this much would be regained
	// Excess is metered mining beyond what the workers' states add up to; below 0 if unknown
	// workers evidently draw less than their full power.
	Excess unit.Watts
	// Ceiling bounds all that the feeder takes, from outside and without a reserve; 0: none.
	Ceiling unit.Watts
	// SleepFirst asks for the quick way: machines that can pause are not capped.
	SleepFirst bool
	// Tariff is what a kWh costs now, below 0 if one is paid for taking it; it counts only where the price
	// of a hash is known. TariffFor is how long it is expected to stand; 0: not known.
	Tariff    unit.Msat
	TariffFor time.Duration
}

// TenantDraw is one tenant's measured draw on a feeder.
type TenantDraw struct {
	Tenant  string
	Drawn   unit.Watts
	Metered bool // false: an ended claim of this tenant counts in full
}

// WorkerState is one worker as it is known now.
type WorkerState struct {
	Worker     *Worker
	Capability Capability
	Reachable  bool       // takes orders now; others are counted with Draw and left alone
	Mode       Mode       // in force: ordered, or as found
	Watts      unit.Watts // of a Capped mode
	Draw       unit.Watts // what to count while it is not ordered: its full power unless better is known
	Since      time.Time  // its last pause or wake by order; zero: long ago
	Want       *Setpoint  // by the plan before this one, ordered or not; nil if there was none
	Terms      Terms      // what its owner does not let us do now
}

// Plan is who gives way: the orders that differ from the present state, by feeder and worker in the
// order of the snapshot, without Term, Command and dead man, and what they add up to.
type Plan struct {
	Setpoints []Setpoint
	Feeders   []FeederPlan // in the order of the snapshot's feeders
	Branches  []BranchPlan // in the order of the snapshot's branches
}

// FeederPlan is what a plan comes to on one feeder.
type FeederPlan struct {
	Feeder  FeederID
	Claimed unit.Watts // operator's claims, and per tenant the larger of claims and draw
	Bound   unit.Watts // what mining may draw here, whatever is above; below 0 if others take too much
	Full    unit.Watts // what it would draw uncurtailed, unreachable workers as they are
	Present unit.Watts // what the present orders lead to
	Planned unit.Watts // what the planned ones lead to
	Short   unit.Watts // by how much Planned and Excess cannot be brought under Bound
	Cost    unit.Msat  // msat an hour that the plan gives up, wear included, less energy not bought
	Lost    unit.Hashrate

	Stopped []pool.WorkerID // that the tariff alone would reduce, claims or not
	Saved   unit.Msat       // msat an hour that this saves, wear included
	Broken  []pool.WorkerID // whose owners' terms the plan breaks, to keep the bound
}

// Begins is the instant from which a claim counts.
func (c *Cap) Begins() time.Time {
	if c.Order.IsZero() || c.Order.After(c.From) {
		return c.From
	}
	return c.Order
}

// Claimed is what may not be mined with on the feeder now: operator's claims, and per tenant the
// larger of its claims and its measured draw. Caps of other feeders are passed over.
func (f *FeederState) Claimed(caps []Cap, now time.Time) unit.Watts {
	type account struct{ claimed, drawn unit.Watts }
	tenants := make(map[string]account, len(f.Tenants))
	metered := make(map[string]bool, len(f.Tenants))
	for _, t := range f.Tenants {
		a := tenants[t.Tenant]
		a.drawn += max(0, t.Drawn)
		tenants[t.Tenant] = a
		metered[t.Tenant] = t.Metered
	}
	var sum unit.Watts
	for i := range caps {
		c := &caps[i]
		if c.Feeder != f.Feeder.ID || now.Before(c.Begins()) {
			continue
		}
		ended := !now.Before(c.Until)
		switch {
		case c.Tenant == "" && !ended:
			sum += c.Watts
		case c.Tenant != "" && (!ended || !metered[c.Tenant]):
			a := tenants[c.Tenant]
			a.claimed += c.Watts
			tenants[c.Tenant] = a
		}
	}
	for _, a := range tenants {
		sum += max(a.claimed, a.drawn)
	}
	return sum
}

// Bound is what mining may draw on the feeder while claimed watts are claimed.
func (f *FeederState) Bound(claimed unit.Watts) unit.Watts {
	most := f.Feeder.Limit - f.Feeder.Reserve
	if f.Ceiling > 0 {
		most = min(most, f.Ceiling)
	}
	return most - f.Base - claimed
}

// MakePlan chooses who gives way so that each feeder's and each branch's mining fits under its bound at the
// least lost income (design decision 8). Per worker it takes the lower convex hull of (freed watts, lost
// msat an hour), merges all hulls by slope, and solves the last few workers exactly.
// It is a function of its arguments alone.
//
// Lost income is that of the hashes less that of the energy which is not bought: machines that earn less than
// their power costs stop by themselves, worst first, and claims are served by them before others.
//
// Pinned and unreachable workers are left alone. MinOff always binds. While a claim is about to begin,
// machines that need longer than that to give way are passed over. That, then MinRun, then owners' terms
// give way where the bound could not be kept otherwise: a worn machine is better than an open breaker.
func MakePlan(s *Snapshot, caps []Cap, now time.Time) Plan {
	var p Planner
	return p.Plan(s, caps, now)
}

// Planner makes plans as MakePlan does and keeps its scratch space for the next one. Its zero value
// is ready. It is owned by one goroutine.
type Planner struct {
	p planner
	f forest
}

// Plan is MakePlan. The result shares nothing with the planner.
func (pl *Planner) Plan(s *Snapshot, caps []Cap, now time.Time) Plan {
	pl.f.plant(s, caps, now)
	plan := Plan{Feeders: make([]FeederPlan, len(s.Feeders))}
	if len(s.Branches) > 0 {
		plan.Branches = make([]BranchPlan, len(s.Branches))
	}
	p := &pl.p
	p.reset(s, &pl.f, now)
	for i := range pl.f.nodes {
		if pl.f.nodes[i].parent < 0 {
			p.tree(int32(i))
			p.account(int32(i), &plan, nil)
		}
	}
	plan.Setpoints = p.setpoints()
	return plan
}

// planner holds the scratch space for one tree of branches and feeders after another.
type planner struct {
	snap    *Snapshot
	forest  *forest
	f       *FeederState // whose workers are being listed
	now     time.Time
	price   float64              // msat per hash; 0 where unknown
	perHash float64              // msat an hour that a hash a second earns, or what orders them where unknown
	perHour float64              // cycles an hour that wear is spread over
	hours   float64              // that the longest claim in force still has
	left    time.Duration        // ... the same
	notice  time.Duration        // until the next claim begins that is being ordered for; 0: none
	tariff  float64              // msat an hour that a watt costs; 0 where the price of a hash is not known
	dearFor float64              // cycles an hour that the wear of a stop by price is spread over
	to      way                  // where the pass may move machines
	relaxed relaxed              // what gives way to the bound, where options are listed
	passed  [relaxTerms + 1]bool // what would have to give way for options that the last pass left out

	w       listing
	bill    bill
	workers []class
	options []option
	segs    []segment
	changes []change
	kept    []option
	near    []segment // those around a critical one
	sample  []slope
	finish  finish
	exact   exact

	fetched  unit.Watts
	searches int // steps that exact searches at nodes may still take
}

// class is one sheddable worker: its options, ascending by freed watts, are
// planner.options[listed:end].
type class struct {
	full       Point
	now        int64 // watts below full power in its present state
	index      int32 // of the worker in the snapshot
	leaf       int32 // node that it hangs on
	listed     int32 // the first of its options
	end        int32 // ... and where they end
	from, to   int32 // those that are open to the plan: from the cheapest on
	base       int32 // the cheapest
	present    int32 // index into options, -1 if the present state is not one of them
	wanted     int32 // the same for what the plan before this one wants
	chosen     int32
	mode       Mode // its present one
	sleepFirst bool
}

func (p *planner) state(c *class) *WorkerState { return &p.snap.Workers[c.index] }

// change is one worker's new state, to be sorted by feeder and worker in the order of the snapshot.
type change struct {
	key   uint64
	watts unit.Watts
	rate  unit.Hashrate
	mode  Mode
}

// option is one state that a worker may be in.
type option struct {
	freed int64   // watts below full power
	lost  float64 // msat an hour (or hashes an hour, where the price is unknown)
	rate  unit.Hashrate
	mode  Mode
}

// is says whether it is a mode in which so many watts are freed.
func (o *option) is(m Mode, freed int64) bool {
	return o.mode == m && (m != Capped || o.freed == max(0, freed))
}

func (p *planner) reset(s *Snapshot, f *forest, now time.Time) {
	p.snap, p.forest, p.now = s, f, now
	p.price = s.MsatPerHash
	if !(p.price > 0) || math.IsInf(p.price, 0) {
		p.price = 0
	}
	if p.perHash = p.price * 3600; p.price == 0 {
		p.perHash = 3600
	}
	p.changes = p.changes[:0]
}

// longestClaim is how long the longest claim in force still has; 0 if there is none.
func longestClaim(caps []Cap, now time.Time) (left time.Duration) {
	for i := range caps {
		if c := &caps[i]; !now.Before(c.Begins()) {
			left = max(left, c.Until.Sub(now))
		}
	}
	return left
}

// cyclesPerHour spreads the wear of a pause over the time that it is expected to last, 15 minutes to a day.
func cyclesPerHour(left time.Duration) float64 {
	if left == 0 {
		left = time.Hour
	}
	return 1 / min(max(left, 15*time.Minute), 24*time.Hour).Hours()
}
