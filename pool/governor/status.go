package governor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// Status is a copy of everything that people are shown.
type Status struct {
	At        time.Time
	Ready     bool // the first set of caps has come; before it nothing is ordered
	Revision  fleet.Revision
	Sites     []SiteStatus
	Orders    uint64 // setpoints that left for devices, refreshes not counted
	Refreshes uint64
	Failures  uint64 // sends that failed or timed out
}

// SiteStatus is one site's feeders.
type SiteStatus struct {
	ID      fleet.SiteID
	Name    string
	Stop    *Stop       // the emergency stop in force; nil if there is none
	Limit   *Limit      // the lowest in force from outside on the whole site; nil if there is none
	Price   PriceStatus // without its models and workers
	Feeders []FeederStatus

	Branches []BranchStatus // in the order of the configuration
}

// FeederStatus is one feeder's present figures.
type FeederStatus struct {
	ID        fleet.FeederID
	Arm       fleet.Arm
	Limit     unit.Watts
	Reserve   unit.Watts
	Total     unit.Watts
	Base      unit.Watts
	Mining    unit.Watts
	Tenant    unit.Watts // sum over Tenants
	Tenants   []TenantStatus
	Meters    []MeterStatus
	Overruns  []Overrun  // tenants that draw more than they hold
	Claimed   unit.Watts // sum over tenants of max(claimed, drawn), and operator's claims
	Bound     unit.Watts // what mining may draw now
	Ordered   unit.Watts // what the orders in force lead to
	Planned   unit.Watts // what the newest plan leads to
	Short     unit.Watts // by how much the plan cannot keep the bound
	Excess    unit.Watts // metered mining beyond what the orders explain
	Full      unit.Watts // mining uncurtailed, by the curves
	Cost      unit.Msat  // msat an hour given up by the plan
	Workers   []WorkerStatus
	Curtailed int
	Unknown   int
	Stuck     int       // quarantined ones too
	Lying     int       // say that they are down, and go on hashing
	Isolated  int       // quarantined: left alone until an operator releases them
	State     string    // "ok", or what is wrong
	ReadingAt time.Time // oldest of the readings behind the figures; zero before the first
	Fresh     bool      // none of them is stale

	Headroom Headroom // what it can deliver to tenants
}

// TenantStatus is one tenant on one feeder.
type TenantStatus struct {
	Tenant  string
	Claimed unit.Watts
	Drawn   unit.Watts
	Metered bool // has a meter with a fresh reading
}

// WorkerStatus is one worker's present figures.
type WorkerStatus struct {
	ID         pool.WorkerID
	Model      string
	Mode       fleet.Mode // ordered, or as found
	Watts      unit.Watts // ordered, or as found
	Full       unit.Watts
	Reported   unit.Watts // the device's word; -1 before the first
	Evidence   fleet.Evidence
	State      string // for people
	Reachable  bool
	Stuck      bool
	Lying      bool // it says that it is down, and its shares come as before
	Isolated   bool // quarantined: somebody else has a hand on it
	Pinned     bool
	Elsewhere  bool     // it has no session here, and an interface of its own
	Ceiling    *Ceiling // by an operator's hand; nil if there is none
	Escaped    bool     // its session is gone, and it hashes at another pool
	Stray      Stray    // what it does against its order, by its own word
	Seen       *Seen    // by its own interface; nil if it has none that we speak
	Firmware   string   // as its session or its interface says
	Kept       bool     // at full power, by its owner's terms
	Refused    error    // why its newest order was not taken; nil if it was, or was not sent yet
	Command    uint32
	Advised    fleet.Mode // what the newest plan wants
	AdvisedFor unit.Watts
}

// Sample is one second of a feeder, for the chart.
type Sample struct {
	At      time.Time
	Limit   unit.Watts
	Bound   unit.Watts
	Total   unit.Watts
	Mining  unit.Watts
	Base    unit.Watts
	Tenant  unit.Watts
	Claimed unit.Watts
}

// Event is something that people want to know.
type Event struct {
	Seq     uint64
	At      time.Time
	Level   Level
	Site    fleet.SiteID
	Feeder  fleet.FeederID
	Worker  pool.WorkerID // empty if it is about none
	Claim   string        // empty if it is about none
	Message string
}

// Level says how much an Event matters.
type Level uint8

// Info is business as usual; Warn wants somebody to look.
const (
	Info Level = iota
	Warn
)

// Curtailment is an operator's wish that a site's mining fall for a while.
type Curtailment struct {
	Site   fleet.SiteID
	Watts  unit.Watts
	For    time.Duration // at most 24 h
	DryRun bool          // preview only
}

// CurtailUpdate is the preview first, then what the meters say.
type CurtailUpdate struct {
	Preview  *Preview
	Progress *Progress
}

// Preview is what a curtailment would do.
type Preview struct {
	Claim   string // "operator/<id>"; empty for a dry run
	Workers []PreviewWorker
	Cost    unit.Msat  // msat an hour given up
	Freed   unit.Watts // by the plan; below the wish if there is not enough
	Claims  []string   // claims on the feeders touched
}

// PreviewWorker is one worker that would give way.
type PreviewWorker struct {
	Worker   pool.WorkerID
	Feeder   fleet.FeederID
	From, To unit.Watts
}

// Progress is what the meters say of a curtailment.
type Progress struct {
	At       time.Time
	Baseline unit.Watts // mining's metered draw before the first order
	Mining   unit.Watts // and now
	Proven   bool       // the meters show the watts freed
	Done     bool       // last word: proven, or given up with Message saying why
	Elapsed  time.Duration
	Message  string
}

// Status is a copy of the present figures.
func (g *Governor) Status() Status {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	s := Status{
		At: now, Ready: g.ready, Revision: g.revision,
		Orders: g.counts.orders, Refreshes: g.counts.refreshes, Failures: g.counts.failures,
	}
	caps := g.capsNow(now)
	for _, st := range g.sites {
		out := SiteStatus{ID: st.ID, Name: st.Name}
		if st.stop != nil {
			stop := *st.stop
			out.Stop = &stop
		}
		out.Price = g.priceStatus(st)
		out.Limit = g.lowestLimit(st.ID, "", now)
		for _, f := range st.feeders {
			out.Feeders = append(out.Feeders, g.feederStatus(f, caps, now))
		}
		out.Branches = st.branchStatus(&g.cfg, now)
		s.Sites = append(s.Sites, out)
	}
	return s
}

func (g *Governor) feederStatus(f *feeder, caps []fleet.Cap, now time.Time) FeederStatus {
	s := FeederStatus{
		ID: f.ID, Arm: f.arm, Limit: f.Limit, Reserve: f.Reserve,
		Total: f.now.total, Base: f.base, Mining: f.now.mining, Tenant: f.now.tenant,
		Claimed: f.claimed(caps, now), Planned: f.plan.Planned, Short: f.plan.Short,
		Excess: f.excess, Full: f.full, Cost: f.plan.Cost, ReadingAt: f.now.at, Fresh: f.now.fresh,
	}
	s.Headroom = g.headroomOf(f, now)
	state := fleet.FeederState{Feeder: &f.Feeder, Base: f.base, Ceiling: f.ceiling}
	s.Bound = state.Bound(s.Claimed)
	s.Meters = f.meterStatus(&g.cfg, now)
	s.Tenants, s.Overruns = f.tenantStatus(caps, now), f.overrunList()
	for _, w := range f.workers {
		ws := w.status(now)
		ws.Kept = g.termsOf(w, now).KeepFull
		s.Ordered += ws.Watts
		if ws.Mode != fleet.Free {
			s.Curtailed++
		}
		if w.unsure(now) {
			s.Unknown++
		}
		s.count(&ws)
		s.Workers = append(s.Workers, ws)
	}
	s.State = g.feederState(f, &s)
	return s
}

// count adds a worker that does other than it was told to its kind.
func (s *FeederStatus) count(w *WorkerStatus) {
	for _, k := range [...]struct {
		n  *int
		is bool
	}{{&s.Stuck, w.Stuck}, {&s.Lying, w.Lying}, {&s.Isolated, w.Isolated}} {
		if k.is {
			*k.n++
		}
	}
}

// feederState is the most important trouble in words, or "ok".
func (g *Governor) feederState(f *feeder, s *FeederStatus) string {
	switch {
	case f.site.stop != nil && f.arm == fleet.Act:
		return "stopped: emergency stop, until a person resumes the site"
	case !f.now.fresh:
		return f.now.trouble
	case f.dispute.open:
		return f.dispute.text
	case f.disputedPoint() != "":
		return f.disputedPoint()
	case s.Total > s.Limit:
		return "over its limit"
	case len(s.Overruns) > 0:
		o := s.Overruns[0]
		return fmt.Sprintf("OVERRUN: tenant %s draws %v and holds %v", o.Tenant, o.Drawn, o.Held)
	case !g.ready:
		return "waiting to hear what tenants hold"
	case s.Short > 0:
		return fmt.Sprintf("%v more than mining may draw", s.Short)
	case s.Lying > 0:
		return many(s.Lying, "worker says that it is down, and hashes as before",
			"workers say that they are down, and hash as before")
	case s.Excess > f.tolerance():
		return fmt.Sprintf("%v drawn that no order explains", s.Excess)
	case s.Isolated > 0 && s.Isolated == s.Stuck:
		return many(s.Isolated, "worker is quarantined: somebody else sets it",
			"workers are quarantined: somebody else sets them")
	case s.Stuck > 0:
		return many(s.Stuck, "worker does not do as ordered", "workers do not do as ordered")
	}
	return "ok"
}

// many is a number with what is said of so many.
func many(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

func (f *feeder) tenantStatus(caps []fleet.Cap, now time.Time) []TenantStatus {
	at := map[string]int{}
	var ts []TenantStatus
	entry := func(name string) *TenantStatus {
		i, ok := at[name]
		if !ok {
			i = len(ts)
			at[name] = i
			ts = append(ts, TenantStatus{Tenant: name})
		}
		return &ts[i]
	}
	for _, d := range f.now.tenants {
		t := entry(d.Tenant)
		t.Drawn += d.Drawn
		t.Metered = d.Metered
	}
	for i := range caps {
		c := &caps[i]
		if c.Feeder == f.ID && c.Tenant != "" && !now.Before(c.Begins()) && now.Before(c.Until) {
			entry(c.Tenant).Claimed += c.Watts
		}
	}
	slices.SortFunc(ts, func(a, b TenantStatus) int { return strings.Compare(a.Tenant, b.Tenant) })
	return ts
}

func (w *worker) status(now time.Time) WorkerStatus {
	return WorkerStatus{
		Elsewhere: w.minesElsewhere(now), Escaped: w.where.escaped, Stray: w.strays(), Seen: w.seen,
		Firmware: w.firmware, Ceiling: w.ceiling, Refused: w.refused,
		ID: w.ID, Model: w.Model, Mode: w.order.Mode, Watts: w.order.Watts, Full: w.full(),
		Reported: w.reported, Evidence: w.evidence, State: w.words(now), Reachable: w.actuator != nil,
		Stuck: w.stuck, Lying: w.lies, Isolated: w.quarantine != nil, Pinned: w.Pinned,
		Command: w.order.Command,
		Advised: w.want.Mode, AdvisedFor: w.want.Watts,
	}
}

// words is the worker's state for people.
func (w *worker) words(now time.Time) string {
	switch {
	case w.where.escaped:
		return "ESCAPED to " + w.where.pool
	case w.quarantine != nil:
		return "QUARANTINED"
	case w.lies:
		return "LYING"
	case w.stuck:
		return "stuck"
	case w.doubt.told != nil:
		return "on trial"
	case w.actuator == nil && w.unsure(now):
		return "out of reach, counted in full"
	case w.actuator == nil:
		return "out of reach, holds its order"
	case !w.settled && w.order.Watts >= w.from:
		return "returning"
	case !w.settled:
		return "giving way"
	case w.unsure(now):
		return "unknown, counted in full"
	}
	return w.order.Mode.String()
}
