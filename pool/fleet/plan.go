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
}

// FeederPlan is what a plan comes to on one feeder.
type FeederPlan struct {
	Feeder  FeederID
	Claimed unit.Watts // operator's claims, and per tenant the larger of claims and draw
	Bound   unit.Watts // what mining may draw; below 0 if others take more than there is
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

// MakePlan chooses who gives way so that each feeder's mining fits under its bound at the least
// lost income (design decision 8). Per worker it takes the lower convex hull of (freed watts, lost
// msat an hour), merges all hulls by slope, and solves the last few workers exactly.
// It is a function of its arguments alone.
//
// Lost income is that of the hashes less that of the energy which is not bought: machines that earn less than
// their power costs stop by themselves, worst first, and claims are served by them before others.
//
// Pinned and unreachable workers are left alone. MinOff always binds. MinRun, and then owners' terms, bind
// unless the bound could not be kept otherwise: a worn machine is better than an open breaker.
func MakePlan(s *Snapshot, caps []Cap, now time.Time) Plan {
	var p Planner
	return p.Plan(s, caps, now)
}

// Planner makes plans as MakePlan does and keeps its scratch space for the next one. Its zero value
// is ready. It is owned by one goroutine.
type Planner struct {
	p        planner
	byFeeder map[FeederID][]int32
}

// Plan is MakePlan. The result shares nothing with the planner.
func (pl *Planner) Plan(s *Snapshot, caps []Cap, now time.Time) Plan {
	if pl.byFeeder == nil {
		pl.byFeeder = make(map[FeederID][]int32, len(s.Feeders))
	}
	for id, ws := range pl.byFeeder {
		pl.byFeeder[id] = ws[:0]
	}
	for i := range s.Workers {
		id := s.Workers[i].Worker.Feeder
		pl.byFeeder[id] = append(pl.byFeeder[id], int32(i))
	}
	capsOf := make(map[FeederID][]Cap, len(s.Feeders))
	for _, c := range caps {
		capsOf[c.Feeder] = append(capsOf[c.Feeder], c)
	}
	plan := Plan{Feeders: make([]FeederPlan, 0, len(s.Feeders))}
	for i := range s.Feeders {
		f := &s.Feeders[i]
		pl.p.reset(s, f, now)
		plan.Feeders = append(plan.Feeders, pl.p.feeder(pl.byFeeder[f.Feeder.ID], capsOf[f.Feeder.ID]))
		plan.Setpoints = append(plan.Setpoints, pl.p.changes...)
	}
	return plan
}

// planner holds the scratch space for one feeder after another.
type planner struct {
	snap    *Snapshot
	f       *FeederState
	now     time.Time
	price   float64 // msat per hash, or 1 where unknown
	perHour float64 // cycles an hour that wear is spread over
	hours   float64 // that the longest claim in force still has
	tariff  float64 // msat an hour that a watt costs; 0 where the price of a hash is not known
	dearFor float64 // cycles an hour that the wear of a stop by price is spread over
	relaxed relaxed // what gives way to the bound
	most    int64   // that may be freed while the feeder's least heat is kept

	workers []class
	options []option
	segs    []segment
	changes []Setpoint
	finish  finish
}

// class is one sheddable worker: its options, ascending by freed watts, are
// planner.options[from:to].
type class struct {
	state    *WorkerState
	listed   int32 // the first of its options; from is the cheapest
	from, to int32
	present  int32 // index into options, -1 if the present state is not one of them
	wanted   int32 // the same for what the plan before this one wants
	chosen   int32
	core     int32 // 1 + its place among the last few, 0 if it is not one of them
}

// option is one state that a worker may be in.
type option struct {
	freed int64   // watts below full power
	lost  float64 // msat an hour (or hashes an hour, where the price is unknown)
	mode  Mode
	watts unit.Watts
}

func (p *planner) reset(s *Snapshot, f *FeederState, now time.Time) {
	p.snap, p.f, p.now = s, f, now
	p.price = s.MsatPerHash
	if !(p.price > 0) || math.IsInf(p.price, 0) {
		p.price = 0
	}
	p.workers, p.options, p.segs, p.changes = p.workers[:0], p.options[:0], p.segs[:0], p.changes[:0]
}

// feeder plans one feeder.
func (p *planner) feeder(workers []int32, caps []Cap) FeederPlan {
	fp := FeederPlan{Feeder: p.f.Feeder.ID, Claimed: p.f.Claimed(caps, p.now)}
	fp.Bound = p.f.Bound(fp.Claimed)
	left := longestClaim(caps, p.now)
	p.perHour, p.hours = cyclesPerHour(left), left.Hours()
	p.setTariff(left)

	p.relaxed = relaxNothing
	fixed := p.classes(workers)
	full := fixed
	for i := range p.workers {
		full += p.workers[i].state.Worker.Curve.Full().Watts
	}
	fp.Full = full
	target := fp.Bound - p.f.Margin - p.f.Excess
	need := int64(full - target)
	p.most = int64(full - p.f.Feeder.Heat)
	p.keepWarm()
	for p.choose(need) < need && p.relax(workers) {
		p.keepWarm()
	}
	slack := int64(p.f.Margin / 2)
	for _, known := range []func(*class) int32{
		func(c *class) int32 { return c.present }, func(c *class) int32 { return c.wanted },
	} {
		if p.keep(known, need, slack) {
			for i := range p.workers {
				p.workers[i].chosen = known(&p.workers[i])
			}
			break
		}
	}
	p.account(&fp)
	fp.Short = max(0, fp.Planned+p.f.Excess-fp.Bound)
	return fp
}

// relax makes the classes again without MinRun, then without owners' terms; it reports whether that
// changed anything.
func (p *planner) relax(workers []int32) bool {
	for p.relaxed < relaxTerms {
		p.relaxed++
		bound := false
		for i := range p.workers {
			st := p.workers[i].state
			bound = bound || p.relaxed == relaxMinRun && p.minRunBinds(st) ||
				p.relaxed == relaxTerms && st.Terms.bind()
		}
		if bound {
			p.workers, p.options = p.workers[:0], p.options[:0]
			p.classes(workers)
			return true
		}
	}
	return false
}

// account sums up the choice and lists what differs from the present.
func (p *planner) account(fp *FeederPlan) {
	chosen, present := fp.Full, fp.Full
	cost := 0.0
	for i := range p.workers {
		c := &p.workers[i]
		o := &p.options[c.chosen]
		w := c.state.Worker
		chosen -= unit.Watts(o.freed)
		present -= w.Curve.Full().Watts - w.Draw(c.state.Mode, c.state.Watts)
		cost += o.lost - p.bias(c.state, o)
		p.accountTerms(fp, c)
		rate := w.Rate(o.mode, o.watts)
		fp.Lost += w.Curve.Full().Hashrate - rate
		if o.mode == c.state.Mode && (o.mode != Capped || o.watts == c.state.Watts) {
			continue
		}
		p.changes = append(p.changes, Setpoint{
			Worker: w.ID, Mode: o.mode, Watts: w.Draw(o.mode, o.watts), Hashrate: rate,
		})
	}
	fp.Planned, fp.Present = chosen, present
	if p.price > 0 {
		fp.Cost = unit.Msat(min(cost, 1e18))
	}
}

// keep says whether states that are known already should stand, the present ones or those on which the
// plan before this one had settled: they fit, and a change would neither regain enough watts nor save
// enough money to be worth disturbing machines. slack is how far above the need's margin they may
// be. Without it a plan whose returns have to wait would be made anew, and differently,
// with every watt that the need moves by.
func (p *planner) keep(known func(*class) int32, need, slack int64) bool {
	var knownFreed, chosenFreed int64
	var knownLost, chosenLost, change float64
	same := true
	for i := range p.workers {
		c := &p.workers[i]
		at := known(c)
		if at < 0 {
			return false
		}
		a, b := &p.options[at], &p.options[c.chosen]
		knownFreed += a.freed
		chosenFreed += b.freed
		knownLost += a.lost
		chosenLost += b.lost
		change += p.changeCost(c.state, a, b)
		same = same && at == c.chosen
	}
	if same || knownFreed < need-slack || knownFreed > max(p.most, chosenFreed) {
		return false
	}
	keep := int64(p.f.Keep)
	if keep == 0 {
		return knownFreed >= need && knownLost <= chosenLost
	}
	if chosenFreed == 0 && need <= -keep {
		return false // nobody has to give way any more
	}
	slope := 0.0
	if chosenFreed > 0 {
		slope = chosenLost / float64(chosenFreed)
	}
	worth := max(knownLost/20, slope*float64(keep), 0)
	saved := knownLost - chosenLost
	return saved <= math.Abs(knownLost)*1e-9 ||
		knownFreed-chosenFreed < keep && (saved < worth || saved*p.hours < change)
}

// changeCost is what it costs to go from one option to another: a machine that returns draws power
// before it earns, for as long as it says that its return takes.
func (p *planner) changeCost(st *WorkerState, from, to *option) float64 {
	if to.freed >= from.freed {
		return 0
	}
	return (from.lost - to.lost) * st.Capability.ReturnIn.Hours()
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
