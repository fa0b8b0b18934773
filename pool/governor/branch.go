package governor

import (
	"fmt"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// boundless is the limit of a site's import while none is declared.
const boundless = 1_000_000 * unit.Megawatt

// branch is a PDU, a transformer or a site's import with what is below it. Without a meter of its own it
// draws what its feeders do together.
type branch struct {
	fleet.Branch

	site     *site
	declared bool      // false: an import that nobody declared; it binds only where a limit from outside does
	feeders  []*feeder // below a transformer or an import
	feeder   *feeder   // a PDU's
	workers  []*worker // all below

	metering metering
	witness  branchWitness

	ceiling unit.Watts // by limits from outside; 0: none
	plan    fleet.BranchPlan
	short   bool
	over    bool

	// What may be drawn if everything on its way goes wrong, at one look.
	worstAt           time.Time
	byOrders, byMeter unit.Watts
}

// addBranches makes a site's branches, and an import where none is declared.
func (g *Governor) addBranches(st *site) {
	for i := range st.Branches {
		b := &branch{Branch: st.Branches[i], site: st, declared: true}
		st.branches = append(st.branches, b)
		if b.Kind == fleet.Import {
			st.top = b
		}
	}
	if st.top == nil {
		st.top = &branch{
			Branch: fleet.Branch{ID: fleet.BranchID(st.ID), Kind: fleet.Import, Limit: boundless}, site: st,
		}
		st.branches = append(st.branches, st.top)
	}
	for _, f := range st.feeders {
		for _, up := range st.Above(&f.Feeder) {
			b := st.branchOf(up)
			b.feeders = append(b.feeders, f)
			f.above = append(f.above, b)
		}
		if n := len(f.above); n == 0 || f.above[n-1] != st.top {
			f.above = append(f.above, st.top)
			st.top.feeders = append(st.top.feeders, f)
		}
	}
	g.branches = append(g.branches, st.branches...)
}

func (st *site) branchOf(b *fleet.Branch) *branch {
	for _, known := range st.branches {
		if known.ID == b.ID && known.declared {
			return known
		}
	}
	return nil
}

// hang notes a worker on all that is above it. Its feeder is known.
func (w *worker) hang() {
	st := w.feeder.site
	for _, up := range st.Below(&w.Worker) {
		b := st.branchOf(up)
		b.feeder = w.feeder
		b.workers = append(b.workers, w)
		w.above = append(w.above, b)
	}
	for _, b := range w.feeder.above {
		b.workers = append(b.workers, w)
	}
	w.above = append(w.above, w.feeder.above...)
}

// binds says whether the branch takes part in plans: it is declared, or a limit from outside is on it.
func (b *branch) binds() bool { return b.declared || b.ceiling > 0 }

func (b *branch) margin(cfg *Config) unit.Watts {
	limit := b.Limit
	if b.ceiling > 0 {
		limit = min(limit, b.ceiling)
	}
	return limit * unit.Watts(cfg.MarginPermille) / 1000
}

// state is what the planner is shown: base loads and unexplained draws are the sums of the feeders', and its
// own by its meter. Below a PDU without one, what its feeder cannot explain may be anywhere.
func (b *branch) state(cfg *Config) fleet.BranchState {
	s := fleet.BranchState{
		Branch: &b.Branch, Site: b.site.ID, Base: b.ownBase(), Ceiling: b.ceiling, Margin: b.margin(cfg),
		Excess: b.metering.excess,
	}
	for _, f := range b.feeders {
		s.Base += f.base
		s.Excess += f.excess
	}
	return s
}

// branchStates are all branches that bind, and which they are.
func (g *Governor) branchStates() (states []fleet.BranchState, which []*branch) {
	for _, b := range g.branches {
		if b.binds() {
			states, which = append(states, b.state(&g.cfg)), append(which, b)
		}
	}
	return states, which
}

// leftOut says that a feeder's workers are not to be planned with: nobody orders them, while others who share
// a branch with them are ordered and have to make up for it.
func (f *feeder) leftOut() bool {
	if f.arm == fleet.Act {
		return false
	}
	for _, b := range f.above {
		for _, other := range b.feeders {
			if b.binds() && other.arm == fleet.Act {
				return true
			}
		}
	}
	return false
}

// foresee adds up what may be drawn below the branch if every return on its way succeeded and every
// reduction failed: by orders, and by the meters of its feeders. A feeder whose meters are not fresh
// counts with whichever is more.
func (b *branch) foresee(now time.Time) {
	if b.worstAt.Equal(now) {
		return
	}
	b.worstAt, b.byOrders, b.byMeter = now, 0, 0
	for _, f := range b.feeders {
		all := foresee(f.workers, now)
		metered := f.now.mining + all.rising
		if !f.now.fresh || b.lost() {
			metered = max(metered, all.with(f.excess))
		}
		b.byOrders += all.with(f.excess)
		b.byMeter += metered
	}
	if b.feeder != nil { // no feeder's meter tells what a PDU draws
		all := foresee(b.workers, now)
		b.byOrders, b.byMeter = all.with(b.metering.excess), 0
	}
	b.foreseeOwn()
}

// roomAbove says whether everything above a worker bears its return, come what may: so many watts more
// than the meters may show, and so many more than was ordered and confirmed.
func (w *worker) roomAbove(more, worse unit.Watts, cfg *Config, now time.Time) bool {
	for _, b := range w.above {
		if !b.binds() {
			continue
		}
		if b.waits() {
			return false
		}
		b.foresee(now)
		most := b.plan.Bound - b.margin(cfg)/2
		if b.byOrders+worse > most || b.byMeter+more > most {
			return false
		}
	}
	return true
}

// returns notes that a worker was told to return.
func (w *worker) returns(more, worse unit.Watts, now time.Time) {
	for _, b := range w.above {
		if b.worstAt.Equal(now) {
			b.byOrders += worse
			b.byMeter += more
		}
	}
}

// heldAbove says whether something above or below the feeder needs its reductions to outlast us: a branch
// that would be over its bound without them, whatever operators curtail.
func (f *feeder) heldAbove(caps []fleet.Cap, now time.Time) bool {
	for _, b := range f.site.branches {
		if !b.binds() || b.feeder != f && !b.has(f) {
			continue
		}
		var operators unit.Watts
		for i := range caps {
			c := &caps[i]
			if c.Tenant == "" && !now.Before(c.Begins()) && now.Before(c.Until) && b.hasID(c.Feeder) {
				operators += c.Watts
			}
		}
		if b.plan.Full > b.plan.Bound+operators {
			return true
		}
	}
	return false
}

func (b *branch) has(f *feeder) bool { return b.hasID(f.ID) }

func (b *branch) hasID(id fleet.FeederID) bool {
	for _, f := range b.feeders {
		if f.ID == id {
			return true
		}
	}
	return false
}

// overAbove is by how much something above a feeder would be over its limit less reserve, by the meters, if
// tenants of this feeder held so much; and what. Other feeders' tenants count with what they hold or draw.
// Limits from outside do not count: they lower mining, not what tenants hold.
func (g *Governor) overAbove(f *feeder, held unit.Watts, first bool, now time.Time) (unit.Watts, *branch) {
	for _, b := range f.above {
		if !b.declared {
			continue
		}
		sum, seen := b.ownBase(), b.metering.total // by what is below, and by its own meter
		for _, o := range b.feeders {
			outside, theirs := o.outsideNow(first, now), max(o.held, o.now.tenant)
			if o == f {
				theirs = held
			}
			seen += max(0, outside-o.now.outside) + theirs - o.now.tenant
			if b.lost() {
				outside = max(outside, o.base+o.worst(now))
			}
			sum += outside + theirs
		}
		if b.sees() {
			sum = max(sum, seen)
		}
		if most := b.Limit - b.Reserve; sum > most {
			return sum - most, b
		}
	}
	return 0, nil
}

// outsideNow is what a feeder takes besides its tenants, with returns on their way if they are to count.
// Without fresh readings mining counts as the most that it may draw.
func (f *feeder) outsideNow(rising bool, now time.Time) unit.Watts {
	outside, worst := f.now.outside, f.base
	for _, w := range f.workers {
		worst += w.worst(now)
		if rising && !w.settled {
			outside += w.rising()
		}
	}
	if !f.now.fresh {
		return max(outside, worst)
	}
	return outside
}

// noteBranches takes the newest plan's word on branches, and tells people when one cannot be kept under
// its bound or is metered above its limit, and when that is over.
func (g *Governor) noteBranches(plan *fleet.Plan, which []*branch, now time.Time) {
	for i, b := range which {
		b.plan = plan.Branches[i]
		_, total, fresh := b.metered()
		over := (b.sees() || fresh && b.feeder == nil) && total > b.Limit
		if over != b.over {
			b.over = over
			g.branchEvent(b, over, fmt.Sprintf("draws %v, limit %v", total, b.Limit),
				"within its limit again", now)
		}
		if short := b.plan.Short > 0; short != b.short && g.returned.done {
			b.short = short
			g.branchEvent(b, short, fmt.Sprintf("mining below cannot be brought below %v: %v too much",
				b.plan.Bound, b.plan.Short), "mining below can be kept below its bound again", now)
		}
	}
}

func (g *Governor) branchEvent(b *branch, bad bool, trouble, better string, now time.Time) {
	e := Event{Site: b.site.ID, Message: fmt.Sprintf("%v %s: %s", b.Kind, b.ID, better)}
	if bad {
		e.Level, e.Message = Warn, fmt.Sprintf("%v %s: %s", b.Kind, b.ID, trouble)
	}
	if b.feeder != nil {
		e.Feeder = b.feeder.ID
	}
	g.event(now, e)
}

// metered is what a branch's own meter says, or its feeders' do: mining, and all that it takes. Of a PDU
// feeders' say nothing.
func (b *branch) metered() (mining, total unit.Watts, fresh bool) {
	total, fresh = b.ownBase(), true
	for _, f := range b.feeders {
		mining += f.now.mining
		total += f.now.total
		fresh = fresh && f.now.fresh
	}
	if !b.own() {
		return mining, total, fresh && len(b.feeders) > 0
	}
	if total = max(total, b.metering.total); b.sees() {
		total = b.metering.total
	}
	if b.feeder != nil {
		mining = max(0, total-b.Base)
	}
	return mining, total, fresh && b.sees()
}

// shareCapacity lowers the feeders' capacities so that together they do not exceed that of what they hang on:
// each by its part, because each may be sold alone.
func (g *Governor) shareCapacity(firm map[*feeder]*fleet.Capacity) {
	fixed := make(map[*feeder]unit.Watts, len(g.feeders))
	for _, f := range g.feeders { // base load, and what does not give way; all of it while nothing is known
		fixed[f] = f.base + f.full
		if c := firm[f]; c != nil {
			fixed[f] = min(fixed[f], f.Limit-f.Reserve-f.margin(&g.cfg)-c.Firm)
		}
	}
	for _, b := range g.branches {
		if !b.declared || b.Kind == fleet.PDU {
			continue
		}
		var sum unit.Watts
		room := b.Limit - b.Reserve - b.margin(&g.cfg) - max(b.Base, b.ownBase())
		for _, f := range b.feeders {
			room -= fixed[f]
			if c := firm[f]; c != nil {
				sum += c.Firm
			}
		}
		if room = max(0, room); sum > room {
			b.shareOut(room, sum, firm)
		}
	}
}

// shareOut lowers capacities that come to sum to so much room.
func (b *branch) shareOut(room, sum unit.Watts, firm map[*feeder]*fleet.Capacity) {
	for _, f := range b.feeders {
		if c := firm[f]; c != nil {
			c.Firm = unit.Watts(float64(c.Firm) * float64(room) / float64(sum))
			c.Basis += fmt.Sprintf("; lowered to its part of %v of %v %s", room, b.Kind, b.ID)
		}
	}
}

// BranchStatus is one branch's present figures: what its feeders' meters say together, and what the newest
// plan does below it.
type BranchStatus struct {
	ID      fleet.BranchID
	Kind    fleet.BranchKind
	Parent  fleet.BranchID
	Feeder  fleet.FeederID // of a PDU
	Limit   unit.Watts
	Reserve unit.Watts
	Ceiling unit.Watts // by limits from outside; 0: none
	Total   unit.Watts // of a PDU without a meter: 0
	Mining  unit.Watts // ... the same
	Base    unit.Watts
	Claimed unit.Watts
	Bound   unit.Watts // what mining below may draw
	Ordered unit.Watts // what the orders in force lead to
	Planned unit.Watts
	Short   unit.Watts
	Full    unit.Watts // mining uncurtailed, by the curves
	Fresh   bool       // no reading behind the figures is stale
	State   string     // "ok", or what is wrong

	Meters []MeterStatus // of its own; none: it is told by its feeders'
}

// branchStatus lists a site's declared branches.
func (st *site) branchStatus(cfg *Config, now time.Time) (out []BranchStatus) {
	for _, b := range st.branches {
		if !b.declared {
			continue
		}
		s := BranchStatus{
			ID: b.ID, Kind: b.Kind, Parent: b.Parent, Limit: b.Limit, Reserve: b.Reserve, Ceiling: b.ceiling,
			Base: b.ownBase(), Claimed: b.plan.Claimed, Bound: b.plan.Bound, Planned: b.plan.Planned,
			Short: b.plan.Short, Meters: b.meterStatus(cfg, now),
		}
		for _, f := range b.feeders {
			s.Base += f.base
		}
		for _, w := range b.workers {
			s.Full += w.full()
			s.Ordered += w.order.Watts
		}
		s.Mining, s.Total, s.Fresh = b.metered()
		if b.feeder != nil {
			s.Feeder = b.feeder.ID
		}
		if b.feeder != nil && !b.own() {
			s.Total, s.Fresh = 0, b.feeder.now.fresh
		}
		s.State = "ok"
		switch {
		case b.over:
			s.State = "over its limit"
		case s.Short > 0:
			s.State = fmt.Sprintf("%v more than mining may draw", s.Short)
		case b.trouble() != "":
			s.State = b.trouble()
		case !s.Fresh && len(b.feeders) > 0:
			s.State = "a meter below it is not fresh"
		}
		out = append(out, s)
	}
	return out
}
