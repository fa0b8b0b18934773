package simtest

import (
	"container/heap"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage/mem"
)

// maxFailures bounds what is told in words.
const maxFailures = 20

// site is a place, for what fails on it.
type site struct {
	fleet.Site
	rng     *rand.Rand
	feeders []*feeder

	branches []*branch
	feed     *feed
	failing  time.Time // until when one of its control domains is
	stopped  int       // workers, by the price
}

// world is everything that is simulated. The governor's goroutines come in through meters and machines;
// everything else happens on the goroutine of Run.
type world struct {
	cfg     Config
	journal *mem.Journal
	price   atomic.Uint64 // bits of a float64
	term    uint32

	mu        sync.Mutex
	rng       *rand.Rand
	events    events
	seq       uint64
	sites     []*site
	feeders   []*feeder
	byFeeder  map[fleet.FeederID]*feeder
	devices   []*device
	server    *server
	killing   bool // the server is to be killed now
	starting  bool // another one is to be started now
	orders    []func(*governor.Governor)
	crashed   time.Time // when a server was last started
	priced    time.Time // when it was last asked whom the price stops
	capsDirty bool
	revision  fleet.Revision
	result    *Result
	began     time.Time
}

// Run simulates. It must be called in a bubble of testing/synctest.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	w := newWorld(cfg)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := w.start(ctx); err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.schedule()
	w.mu.Unlock()
	if err := w.loop(ctx); err != nil {
		return nil, err
	}
	if !w.server.dead {
		if err := w.kill(); err != nil {
			return nil, err
		}
	}
	return w.result, w.judgeAudit(context.WithoutCancel(ctx))
}

// newWorld builds the sites.
func newWorld(cfg Config) *world {
	w := &world{
		cfg: cfg, journal: mem.New(), rng: rand.New(rand.NewPCG(cfg.Seed, 0)),
		byFeeder: map[fleet.FeederID]*feeder{}, began: time.Now(),
		result: &Result{
			Seed: cfg.Seed, Workers: cfg.Workers, Feeders: cfg.Feeders, Wide: map[string]float64{},
			Faults: map[string]int{}, Failed: map[string]int{},
		},
	}
	w.price.Store(math.Float64bits(5e-13))
	for i := range cfg.Sites {
		w.sites = append(w.sites, &site{
			Site: fleet.Site{ID: fleet.SiteID(fmt.Sprintf("s%d", i)), Name: "site"},
			rng:  rand.New(rand.NewPCG(cfg.Seed, uint64(1+i))),
			feed: &feed{
				w: w, rng: rand.New(rand.NewPCG(cfg.Seed, uint64(500+i))), price: float64(middling),
			},
		})
	}
	for i := range cfg.Feeders {
		w.addFeeder(i)
	}
	for _, s := range w.sites {
		for _, f := range s.feeders {
			s.Feeders = append(s.Feeders, f.Feeder)
			if cfg.Branches {
				w.addPDUs(s, f)
			}
		}
		if cfg.Branches {
			w.addTransformer(s)
		}
		for _, b := range s.branches {
			s.Branches = append(s.Branches, b.Branch)
		}
	}
	return w
}

func (w *world) addFeeder(i int) {
	s := w.sites[i%len(w.sites)]
	f := &feeder{
		w: w, rng: rand.New(rand.NewPCG(w.cfg.Seed, uint64(1000+i))), breaker: breaker{settled: time.Now()},
	}
	f.ID, f.Site, f.Arm = fleet.FeederID(fmt.Sprintf("f%d", i)), s.ID, fleet.Act
	var curve float64
	for n := range w.cfg.Workers / w.cfg.Feeders {
		d := w.newDevice(f, i, n)
		curve += float64(d.worker.Curve.Full().Watts)
		f.devices = append(f.devices, d)
		f.mining += d.watts
		f.largest = max(f.largest, d.full())
	}
	w.devices = append(w.devices, f.devices...)
	limit := curve * 1000 / (fillPermille - basePermille)
	share := func(permille float64) unit.Watts { return unit.Watts(limit * permille / 1000) }
	f.Limit, f.Reserve, f.Restore = unit.Watts(limit), share(reservePermille), share(restorePermille)
	f.Overload = fleet.Overload{Watts: share(overPermille), For: overFor}
	f.Notice, f.Trusted = notice, true
	f.base = limit * basePermille / 1000
	for _, role := range []fleet.Role{fleet.Total, fleet.Mining} {
		f.meters = append(f.meters, w.newMeter(f, role, 0))
	}
	for t := range tenants {
		f.meters = append(f.meters, w.newMeter(f, fleet.Tenant, t))
	}
	s.feeders = append(s.feeders, f)
	w.feeders = append(w.feeders, f)
	w.byFeeder[f.ID] = f
}

func (w *world) newMeter(f *feeder, role fleet.Role, tenant int) *meter {
	truth := map[fleet.Role]func() float64{
		fleet.Total:  f.total,
		fleet.Mining: func() float64 { return f.mining },
		fleet.Tenant: func() float64 { return f.drawn[tenant] },
	}[role]
	return &meter{
		w: w, role: role, tenant: tenant, truth: truth, bias: 0.008*f.rng.Float64() - 0.004,
		rng: rand.New(rand.NewPCG(f.rng.Uint64(), 5)),
	}
}

// newDevice is a machine of some firmware, with what is peculiar to it.
func (w *world) newDevice(f *feeder, i, n int) *device {
	r := rand.New(rand.NewPCG(w.cfg.Seed<<20|uint64(i), uint64(1e6+n)))
	p := &profiles[r.IntN(len(profiles))]
	m, _ := fleet.ModelNamed(p.model)
	d := &device{
		w: w, profile: p, feeder: f, rng: r, factor: 0.97 + 0.06*r.Float64(), bias: 0.9 + 0.2*r.Float64(),
		worker: fleet.Worker{
			ID: pool.WorkerID(fmt.Sprintf("a.f%d-%04d", i, n)), Feeder: f.ID, Model: m.Name,
			Curve: m.Curve(8), Sleep: m.Sleep, MinRun: 2 * time.Minute, MinOff: time.Minute, Wear: unit.Sat,
		},
	}
	d.capability = p.capability(&d.worker)
	d.deaf, d.mute = r.Float64() < 0.01, r.Float64() < 0.01
	d.elsewhere = r.Float64() < 0.05
	d.watts = d.full()
	d.goal = d.watts
	return d
}

// schedule lets everything begin that happens by itself.
func (w *world) schedule() {
	for _, f := range w.feeders {
		w.moveBase(f)
		if !w.cfg.Quiet {
			w.in(time.Minute, func() { w.book(f) })
			w.limits(f)
		}
	}
	w.reboots()
	w.movePrice()
	for _, s := range w.sites {
		if s.fed() && !w.cfg.Quiet {
			w.in(time.Minute+time.Duration(s.feed.rng.IntN(1e9)), s.feed.move)
		}
		w.curtails(s)
		if w.cfg.FaultEvery > 0 {
			w.in(time.Duration(s.rng.ExpFloat64()*float64(w.cfg.FaultEvery)), func() { w.domains(s) })
		}
		if w.cfg.WideEvery > 0 {
			w.in(time.Duration(s.rng.ExpFloat64()*float64(w.cfg.WideEvery)), func() { w.wide(s) })
		}
	}
}

// moveBase lets what is neither mining nor tenants wander.
func (w *world) moveBase(f *feeder) {
	f.settle(time.Now())
	nominal := float64(f.Limit) * basePermille / 1000
	f.base += (nominal-f.base)/10 + nominal*0.01*f.rng.NormFloat64()
	w.in(20*time.Second+time.Duration(f.rng.IntN(2e10)), func() { w.moveBase(f) })
}

func (w *world) limits(f *feeder) {
	w.in(time.Duration(f.rng.ExpFloat64()*float64(3*time.Hour)), func() {
		if f.ceiling == 0 && len(f.leases) == 0 && !w.server.dead {
			w.limit(f)
		}
		w.limits(f)
	})
}

// movePrice lets what a hash earns wander.
func (w *world) movePrice() {
	p := math.Float64frombits(w.price.Load())
	p *= math.Exp(0.02*w.rng.NormFloat64() + 0.05*math.Log(5e-13/p))
	w.price.Store(math.Float64bits(p))
	w.in(10*time.Minute+time.Duration(w.rng.IntN(1e9)), w.movePrice) // not at the instant of a look
}

// loop lets one event happen after the other, and looks at everything each second.
func (w *world) loop(ctx context.Context) error {
	tell := w.began.Add(w.cfg.Every)
	for second := 0; ; second++ {
		until := w.began.Add(time.Duration(second)*time.Second + 7*time.Millisecond)
		w.happen(until)
		w.mu.Lock()
		now := time.Now()
		for _, f := range w.feeders {
			f.look(now)
		}
		for i := second % reportGap; i < len(w.devices); i += reportGap {
			w.devices[i].report(now)
		}
		w.result.Span = now.Sub(w.began)
		killing, starting := w.killing, w.starting
		w.mu.Unlock()
		if err := w.restart(ctx, killing, starting); err != nil {
			return err
		}
		w.hear(ctx)
		if w.cfg.Progress != nil && !now.Before(tell) {
			tell = tell.Add(w.cfg.Every)
			if !w.cfg.Progress(w.result.Span, w.result) {
				return nil
			}
		}
		if w.result.Span >= w.cfg.Span {
			return nil
		}
	}
}

// restart does what was decided of the server.
func (w *world) restart(ctx context.Context, killing, starting bool) error {
	if killing {
		w.killing = false
		if err := w.kill(); err != nil {
			return err
		}
	}
	if starting {
		w.starting = false
		// Beside the instants at which it is looked at: of two things at one, the scheduler picks the
		// first.
		w.happen(time.Now().Add(101 * time.Millisecond))
		return w.start(ctx)
	}
	return nil
}

// happen lets time pass until an instant, with everything that is due.
func (w *world) happen(until time.Time) {
	for {
		w.mu.Lock()
		next := until
		if len(w.events) > 0 && w.events[0].at.Before(until) {
			next = w.events[0].at
		}
		w.mu.Unlock()
		time.Sleep(time.Until(next))
		w.mu.Lock()
		now := time.Now()
		for len(w.events) > 0 && !w.events[0].at.After(now) {
			e := heap.Pop(&w.events).(event) //nolint:errcheck,forcetypeassert // ours alone
			e.do()
		}
		w.mu.Unlock()
		if !now.Before(until) {
			return
		}
	}
}

func (w *world) siteOf(f *feeder) *site {
	for _, s := range w.sites {
		if s.ID == f.Site {
			return s
		}
	}
	panic("feeder without a site") // we made both
}

// outside notes time past a feeder's allowance.
func (w *world) outside(f *feeder, d time.Duration) {
	if cause := f.blame(time.Now()); cause != "" {
		w.result.Wide[cause] += d.Seconds()
		return
	}
	w.result.Outside += d.Seconds()
	w.fault("outside", "feeder %s: %.0f W, limit %v, overload %v: %.2f s outside",
		f.ID, f.total(), f.Limit, f.Overload.Watts, d.Seconds())
}

// fault notes what must not be. The caller holds mu.
func (w *world) fault(kind, format string, args ...any) {
	w.result.Failed[kind]++
	if len(w.result.Failures) < maxFailures {
		w.result.Failures = append(w.result.Failures,
			fmt.Sprintf("%10.3f s  ", time.Since(w.began).Seconds())+fmt.Sprintf(format, args...))
	}
}

// fail is fault for who does not hold mu.
func (w *world) fail(kind, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault(kind, format, args...)
}
