package governor

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
)

// Governor is the loop. Make it with New, run it with Run; everything else may be
// called from any goroutine, before, during and after Run.
type Governor struct {
	cfg    Config // immutable after New
	log    *slog.Logger
	meters []*meter      // of feeders; immutable; each guards itself
	probes []*probed     // immutable; likewise
	poke   chan struct{} // capacity 1: a wake for Run; full means that one is on its way
	nudge  chan struct{} // capacity 1: sends may be waiting for a place
	bell   bell          // rung when proofs or capacities are new
	told   uint64        // owned by Run: the last event that was logged

	saveMu sync.Mutex // held across a journal write; taken before mu
	saved  durable    // guarded by saveMu

	provenMu     sync.Mutex // held across a write of proofs; taken before mu
	provenWrites int        // guarded by provenMu: records since the stream was last written anew

	mu           sync.Mutex
	branchMeters []*meter // immutable; each guards itself

	sites    []*site
	feeders  []*feeder // in the order of the configuration
	branches []*branch // and so are these
	byFeeder map[fleet.FeederID]*feeder
	workers  []*worker
	byWorker map[pool.WorkerID]*worker
	planner  fleet.Planner
	memo     memo   // what the newest plan was made from
	looked   bool   // at everything, at least once
	relink   bool   // sessions have come or gone since the last look
	linked   uint64 // what the registry had counted then
	ready    bool   // SetCaps was called since the start
	revision fleet.Revision
	claims   map[string]*claim
	limits   []Limit // from outside, those that are over too

	curtailed []*regulated // curtailments in force
	seq       uint64       // of proofs and capacities
	sending   int          // orders on their way
	due       dueList      // who is told next
	isolated  bool         // whoever is quarantined is to be made durable
	sends     sync.WaitGroup
	counts    struct{ orders, refreshes, failures uint64 }
	events    eventRing
	started   time.Time
	returned  returning // how workers come back after the start

	responses   map[ResponseKey]*Response // how kinds of machines were measured to answer
	learnt      bool                      // something of that is not written down yet
	refreshedAt time.Time                 // when that was last looked at

	hashPrice   float64   // msat a hash, the last that was known
	hashPriceAt time.Time // when it was
	usedAt      time.Time // up to when reduced time is accounted
	termsKept   uint64    // records of used terms in this process; owned by keepSaved

	stableAt     time.Time // when all measured rates were last written; owned by keepSaved
	stableWrites int       // records of them in this process; owned by keepSaved
}

// site is a place with the part of its feeders that changes.
type site struct {
	fleet.Site
	feeders  []*feeder
	branches []*branch
	top      *branch // the import, declared or not
	stop     *Stop   // nil: no emergency stop is in force
	tariff   tariff
	limited  []*worker // whose owners limit the hours
}

// New makes a governor from a configuration and what its journal remembers.
func New(ctx context.Context, cfg Config) (*Governor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	g := &Governor{
		cfg: cfg, log: cfg.Log, poke: make(chan struct{}, 1), nudge: make(chan struct{}, 1),
		byFeeder: map[fleet.FeederID]*feeder{},
		byWorker: make(map[pool.WorkerID]*worker, len(cfg.Workers)),
		claims:   map[string]*claim{}, responses: map[ResponseKey]*Response{},
	}
	for i := range cfg.Sites {
		g.addSite(cfg.Sites[i])
	}
	for i := range cfg.Workers {
		w := newWorker(cfg.Workers[i], cfg.Actuators[cfg.Workers[i].ID])
		g.addProbe(w)
		w.feeder = g.byFeeder[w.Feeder]
		w.feeder.workers = append(w.feeder.workers, w)
		w.feeder.full += w.full()
		g.takeTerms(w)
		if w.terms.owner.Hours > 0 {
			w.feeder.site.limited = append(w.feeder.site.limited, w)
		}
		w.hang()
		w.place = i
		g.workers = append(g.workers, w)
		g.byWorker[w.ID] = w
	}
	for i := range cfg.Meters {
		if sum, ok := cfg.Meters[i].Meter.(*SumOfDevices); ok {
			sum.probes, sum.cfg = g.byProbe(), &g.cfg
		}
		m := newMeter(cfg.Meters[i])
		if m.Branch != "" {
			g.addBranchMeter(m)
			continue
		}
		g.meters = append(g.meters, m)
		f := g.byFeeder[m.Feeder]
		f.meters, f.points = append(f.meters, m), addMeter(f.points, m)
	}
	if err := g.load(ctx); err != nil {
		return nil, fmt.Errorf("reading the governor's journal: %w", err)
	}
	g.noteStart(time.Now())
	if err := g.loadTerms(ctx); err != nil {
		return nil, fmt.Errorf("reading the governor's journal: %w", err)
	}
	return g, nil
}

func (g *Governor) addSite(s fleet.Site) {
	t, known := g.cfg.Tariffs[s.ID]
	st := &site{Site: s, tariff: newTariff(t, known)}
	for i := range s.Feeders {
		f := newFeeder(s.Feeders[i], g.cfg.History)
		f.site = st
		st.feeders = append(st.feeders, f)
		g.feeders = append(g.feeders, f)
		g.byFeeder[f.ID] = f
	}
	g.addBranches(st)
	g.sites = append(g.sites, st)
}

// Run reads meters, plans, orders and verifies until ctx ends. Setpoints stay as they are when it
// returns: tenants keep their power. It waits for everything that it started.
func (g *Governor) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, m := range slices.Concat(g.meters, g.branchMeters) {
		wg.Go(func() { m.run(ctx, &g.cfg) }) // ends with ctx
	}
	for _, st := range g.sites {
		if st.tariff.Feed != nil {
			wg.Go(func() { g.askPrices(ctx, st) }) // ends with ctx
		}
	}
	wg.Go(func() { g.ask(ctx) })       // ends with ctx
	wg.Go(func() { g.keepSaved(ctx) }) // ends with ctx
	defer wg.Wait()
	defer g.sends.Wait()
	g.mu.Lock()
	g.started = time.Now()
	g.mu.Unlock()

	tick := time.NewTicker(g.cfg.Tick)
	defer tick.Stop()
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	for {
		looked := false
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			looked = true
			g.step(time.Now())
		case <-g.poke:
			looked = true
			g.unrest()
			g.step(time.Now())
		case <-g.nudge:
		case <-due.C:
		}
		due.Reset(g.dispatch(ctx, time.Now(), looked))
		g.tell(ctx)
	}
}

// wake makes Run look at once.
func (g *Governor) wake() {
	select {
	case g.poke <- struct{}{}:
	default:
	}
}

// step is one look at everything: what is, what should be, and the difference as orders.
func (g *Governor) step(now time.Time) {
	g.mu.Lock()
	before := g.seq
	changes := g.cfg.Registry.Changes()
	g.relink, g.linked = !g.looked || g.linked != changes, changes
	g.looked = true
	for _, w := range g.workers {
		g.observe(w, now)
	}
	for _, f := range g.feeders {
		if !f.resting(now) {
			f.unrest()
			f.sum(now)
		}
		g.measure(f, now)
		g.compare(f, now)
		g.verify(f, now)
		f.explain(now)
		g.suspect(f, now)
		f.learn(g, now)
		g.tellBackups(f, now)
	}
	g.measureBranches(now)
	g.lookAtPrices(now)
	g.useHours(now)
	g.endCurtailments(now)
	g.regulate()
	caps := g.capsNow(now)
	if g.ready || g.stopped() {
		g.replan(caps, now)
	}
	for _, f := range g.feeders {
		g.findRest(f, now)
		f.advice.passTime(f, now)
	}
	g.prove(now)
	g.declare(now)
	for _, f := range g.feeders {
		f.remember(caps, now)
	}
	g.witness(caps, now)
	news := g.seq > before
	g.mu.Unlock()
	if news {
		g.bell.ring()
	}
}

// replan makes the plan and turns it into orders where the arm allows.
func (g *Governor) replan(caps []fleet.Cap, now time.Time) {
	snap := g.snapshot(now)
	branches, which := g.branchStates()
	snap.Branches = branches
	resting := g.resting(now)
	if !resting {
		g.states(snap, now)
	}
	g.memo.stood = g.memo.stands(snap, resting, caps, now) && g.memo.fits(g, snap, caps, now)
	if !g.memo.stood {
		if resting {
			g.states(snap, now)
		}
		snap, caps = g.planWithinTerms(snap, caps, now)
	}
	g.noteBranches(&fleet.Plan{Branches: g.memo.branches}, which, now)
	for _, f := range g.feeders {
		stopped := f.site.stop != nil
		if stopped || f.commission != nil {
			g.memo.planned = false // wants are overridden below
		}
		if stopped {
			f.stopAll()
		} else {
			f.wakePinned()
			f.commissionWants()
		}
		g.noteShort(f, now)
		g.notePrices(f, now)
		if f.arm != fleet.Act && g.ready {
			f.advise(snap.MsatPerHash)
		}
		if f.arm == fleet.Act && (stopped || g.mayOrder(f, now)) {
			g.order(f, caps, now)
		}
	}
}

// mayOrder says whether enough is known for orders on a feeder: what tenants hold, what its meters say, and
// what its machines are about to do.
func (g *Governor) mayOrder(f *feeder, now time.Time) bool {
	read := f.now.read || now.Sub(g.started) > g.cfg.Stale
	return g.ready && read && !g.looking(f, now)
}

// plan makes a new plan from the snapshot.
func (g *Governor) plan(snap *fleet.Snapshot, caps []fleet.Cap, now time.Time) {
	plan := g.planner.Plan(snap, caps, now)
	same := true
	wish := func(w *worker, sp fleet.Setpoint) {
		sp = w.tried(w.underCeiling(sp))
		same = same && w.want.Mode == sp.Mode && w.want.Watts == sp.Watts
		w.want = sp
	}
	for i := range plan.Setpoints {
		w := g.byWorker[plan.Setpoints[i].Worker]
		w.planned = true
		wish(w, plan.Setpoints[i])
	}
	for _, w := range g.workers {
		if !w.planned {
			wish(w, w.present())
		}
		w.planned = false
	}
	for i := range plan.Feeders {
		g.feeders[i].plan = plan.Feeders[i]
	}
	g.memo.same, g.memo.steady = same, same && len(plan.Setpoints) == 0
	g.memo.take(plan.Branches, caps, now)
}

// snapshot is what the planner is shown, until the next one is made. Feeders and workers keep the
// configuration's order.
func (g *Governor) snapshot(now time.Time) *fleet.Snapshot {
	snap := g.memo.next()
	snap.MsatPerHash = g.hashPrice
	g.spreadLimits(now)
	for _, f := range g.feeders {
		snap.Feeders = append(snap.Feeders, fleet.FeederState{
			Feeder: &f.Feeder, Base: f.base, Tenants: f.now.tenants,
			Margin: f.margin(&g.cfg), Keep: f.permille(g.cfg.KeepPermille), Excess: f.excess + f.unseen,
			Ceiling:    f.ceiling,
			Tariff:     f.site.tariff.price,
			TariffFor:  f.site.tariff.stands,
			SleepFirst: g.sleepsFirst(f, now) || f.doubt.trying(now, g.cfg.Reoptimise),
		})
	}
	return snap
}

// sleepsFirst says that only whole machines give way: claims are new, or not proven.
func (g *Governor) sleepsFirst(f *feeder, now time.Time) bool {
	return now.Sub(f.calmSince) < g.cfg.Reoptimise
}

// states shows the planner all workers.
func (g *Governor) states(snap *fleet.Snapshot, now time.Time) {
	for _, w := range g.workers {
		st := w.state(now)
		w.showCeiling(&st)
		st.Want = &w.want
		st.Terms = g.termsOf(w, now)
		if w.Pinned && w.ordered() && w.reduced() {
			st.Draw = w.full() // it is to return: others make room
		}
		st.Reachable = st.Reachable && !w.feeder.leftOut()
		snap.Workers = append(snap.Workers, st)
	}
}

func (g *Governor) price() float64 {
	if g.cfg.MsatPerHash == nil {
		return 0
	}
	return g.cfg.MsatPerHash() * g.cfg.HashScale // a hash of the curves stands for so many real ones
}

// noteShort tells people when a plan cannot keep the bound, and when it can again.
func (g *Governor) noteShort(f *feeder, now time.Time) {
	short := f.plan.Short > 0
	if short == f.short || !g.returned.done { // who has not come back yet counts in full
		return
	}
	f.short = short
	if short {
		g.event(now, Event{Level: Warn, Feeder: f.ID, Message: fmt.Sprintf(
			"mining cannot be brought below %v: %v too much", f.plan.Bound, f.plan.Short)})
		return
	}
	g.event(now, Event{Feeder: f.ID, Message: "mining can be kept below its bound again"})
}
