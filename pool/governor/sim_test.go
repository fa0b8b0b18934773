package governor_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/fleet/fleettest"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
)

// simStep is how often the truth is looked at.
const simStep = 50 * time.Millisecond

// device is a simulated machine: what it is told takes effect after a delay. It draws what it draws,
// whatever it says.
type device struct {
	worker     fleet.Worker
	capability fleet.Capability
	shed, wake time.Duration

	mu      sync.Mutex
	draws   unit.Watts // now
	next    unit.Watts // after
	at      time.Time
	was     unit.Watts // before it turned to next
	turned  time.Time
	ramps   bool // evenly, not all at the end
	set     []fleet.Setpoint
	setAt   []time.Time
	until   time.Time // dead man
	hold    bool
	factor  float64 // of its curve's watts that it really draws; 0 is 1
	hashes  float64 // of its curve's hashrate that its shares show; 0 is 1
	deaf    bool    // takes orders and does nothing
	mute    bool    // does not answer at all
	liar    bool    // says that it does as ordered, and does not
	silent  bool    // never reports
	mostSet int     // concurrent calls of Set, at most
	in      int
	noise   float64  // of what it draws, slowly
	phase   float64  // of that, seconds
	probes  int      // questions on its own interface
	pool    string   // its active pool, by that
	backups []string // and its others
}

var _ fleet.Actuator = (*device)(nil)

func (d *device) Capability() fleet.Capability { return d.capability }

func (d *device) Set(ctx context.Context, s fleet.Setpoint) (fleet.Ack, error) {
	d.mu.Lock()
	d.in++
	d.mostSet = max(d.mostSet, d.in)
	mute := d.mute
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.in--
		d.mu.Unlock()
	}()
	if mute {
		<-ctx.Done()
		return fleet.Ack{}, ctx.Err()
	}
	time.Sleep(5 * time.Millisecond)
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.FailHold && !d.capability.HoldsAlone {
		return fleet.Ack{}, errCannotHold
	}
	now := time.Now()
	d.until, d.hold = now.Add(s.ValidFor), s.FailHold
	if n := len(d.set); n > 0 {
		last := d.set[n-1]
		if s.Term < last.Term || s.Term == last.Term && s.Command <= last.Command {
			return fleet.Ack{Command: s.Command, Planned: last.Watts, Hashrate: last.Hashrate}, nil
		}
	}
	d.set, d.setAt = append(d.set, s), append(d.setAt, now)
	if !d.deaf && !d.liar {
		d.turnTo(d.factored(s.Watts), now)
	}
	return fleet.Ack{Command: s.Command, Planned: s.Watts, Hashrate: s.Hashrate}, nil
}

func (d *device) factored(w unit.Watts) unit.Watts {
	if d.factor == 0 || w == d.worker.Sleep {
		return w
	}
	return unit.Watts(float64(w) * d.factor)
}

func (d *device) turnTo(w unit.Watts, now time.Time) {
	d.was, d.next, d.turned = d.draws, w, now
	d.at = now.Add(d.shed)
	if w > d.draws {
		d.at = now.Add(d.wake)
	}
}

// step moves the device to now and returns what it draws.
func (d *device) step(now time.Time) unit.Watts {
	d.mu.Lock()
	defer d.mu.Unlock()
	full := d.worker.Curve.Full().Watts
	n := len(d.set)
	if n > 0 && d.set[n-1].Mode != fleet.Free && now.After(d.until) && !d.hold && d.next < full {
		d.turnTo(d.factored(full), now)
	}
	switch {
	case !now.Before(d.at):
		d.draws = d.next
	case d.ramps:
		share := float64(now.Sub(d.turned)) / float64(d.at.Sub(d.turned))
		d.draws = d.was + unit.Watts(share*float64(d.next-d.was))
	}
	return d.draws
}

func (d *device) says() unit.Watts {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.set); d.liar && n > 0 {
		return d.set[n-1].Watts
	}
	return d.drawn()
}

// drawn is what the device draws, noise and all. The caller holds mu.
func (d *device) drawn() unit.Watts {
	if d.noise == 0 {
		return d.draws
	}
	t := float64(time.Now().UnixMilli())/1000 + d.phase
	return unit.Watts(float64(d.draws) * (1 + d.noise*math.Sin(2*math.Pi*t/(30+d.phase/4))))
}

// wakeUp is a device that starts by itself.
func (d *device) wakeUp() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turnTo(d.worker.Curve.Full().Watts, time.Now().Add(-d.wake))
}

func (d *device) orders() []fleet.Setpoint {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]fleet.Setpoint(nil), d.set...)
}

// simMeter shows the truth as it was at its last refresh.
type simMeter struct {
	truth func() unit.Watts

	mu     sync.Mutex
	now    fleet.Reading
	frozen bool
	broken bool
	bias   float64
	energy float64
	plain  bool        // it has no energy counter
	coarse unit.Joules // its counter ticks in these; 0: in joules
}

var (
	errBroken     = errors.New("meter is broken")
	errCannotHold = errors.New("device cannot hold a reduction alone")
)

func (m *simMeter) refresh(now time.Time, every time.Duration) {
	w := m.truth()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.energy += float64(w) * simStep.Seconds()
	if m.frozen || now.Sub(m.now.At) < every {
		return
	}
	shown := unit.Watts(float64(w) * (1 + m.bias))
	m.now = fleet.Reading{Watts: shown, Energy: unit.Joules(m.energy) + 1, At: now}
	if m.coarse > 0 {
		m.now.Energy = m.now.Energy / m.coarse * m.coarse
	}
	if m.plain {
		m.now.Energy = 0
	}
}

func (m *simMeter) Read(context.Context) (fleet.Reading, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken {
		return fleet.Reading{}, errBroken
	}
	return m.now, nil
}

func (m *simMeter) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// sim is a site with one feeder and its truth.
type sim struct {
	t        *testing.T
	feeder   fleet.Feeder
	devices  []*device
	registry *fleet.Registry
	links    map[pool.WorkerID]*fleet.Link
	total    *simMeter
	mining   *simMeter
	tenant   *simMeter
	more     []*simMeter // of other feeders
	unheard  bool        // the tenant has no meter

	mu     sync.Mutex
	base   unit.Watts
	drawn  unit.Watts // by the tenant
	over   time.Duration
	most   unit.Watts
	policy func(now time.Time) unit.Watts // what the tenant draws
	proof  map[string]fleet.Proof
	after  uint64
}

// newSim is a feeder at 98 % of its limit with n machines.
func newSim(t *testing.T, n int) *sim {
	t.Helper()
	s := &sim{
		t: t, registry: fleet.NewRegistry(),
		links: map[pool.WorkerID]*fleet.Link{}, proof: map[string]fleet.Proof{},
	}
	ms := fleettest.Models()
	var full unit.Watts
	for i := range n {
		m := ms[i%len(ms)]
		w := fleet.Worker{
			ID: pool.WorkerID(fmt.Sprintf("a.w%02d", i)), Feeder: "f1", Model: m.Name,
			Curve: m.Curve(6), Sleep: m.Sleep,
		}
		full += w.Curve.Full().Watts
		s.devices = append(s.devices, &device{
			worker: w, shed: 2 * time.Second, wake: 6 * time.Second,
			draws: w.Curve.Full().Watts, next: w.Curve.Full().Watts,
			capability: fleet.Capability{
				Min: w.Curve[0].Watts, Max: w.Curve.Full().Watts,
				CanCap: true, CanPause: true, HoldsAlone: true,
				ShedIn: 2 * time.Second, ReturnIn: 6 * time.Second,
			},
		})
	}
	s.base = full / 20
	limit := (full + s.base) * 102 / 100
	s.feeder = fleet.Feeder{
		ID: "f1", Site: "s1", Limit: limit, Reserve: limit / 100,
		Overload: fleet.Overload{Watts: 5000, For: time.Minute}, Arm: fleet.Act,
		Trusted: true,
	}
	s.total = &simMeter{truth: s.truth}
	s.mining = &simMeter{truth: s.miningTruth}
	s.tenant = &simMeter{truth: func() unit.Watts { s.mu.Lock(); defer s.mu.Unlock(); return s.drawn }}
	s.policy = func(time.Time) unit.Watts { return 0 }
	s.look(time.Now(), 0)
	for _, d := range s.devices {
		s.connect(d)
	}
	return s
}

func (s *sim) connect(d *device) {
	l := s.registry.Open(d.worker.ID, func() {})
	l.SetActuator(d)
	s.links[d.worker.ID] = l
}

func (s *sim) disconnect(d *device) {
	s.registry.Close(d.worker.ID, s.links[d.worker.ID])
	delete(s.links, d.worker.ID)
}

func (s *sim) miningTruth() (sum unit.Watts) {
	for _, d := range s.devices {
		d.mu.Lock()
		sum += d.drawn()
		d.mu.Unlock()
	}
	return sum
}

func (s *sim) truth() unit.Watts {
	m := s.miningTruth()
	s.mu.Lock()
	defer s.mu.Unlock()
	return m + s.base + s.drawn
}

// look moves the truth to now: devices, tenant, meters, and the time over the limit.
func (s *sim) look(now time.Time, reports int) {
	for _, d := range s.devices {
		d.step(now)
		if l := s.links[d.worker.ID]; l != nil && !d.silent && reports%20 == 0 {
			d.mu.Lock()
			moving := now.Before(d.at)
			d.mu.Unlock()
			l.Report(fleet.Reading{Watts: d.says(), At: now, Moving: moving})
			d.mu.Lock()
			rate := float64(d.worker.Curve.At(d.draws)) * cmp.Or(d.hashes, 1)
			d.mu.Unlock()
			l.Count(1, uint64(rate))
		}
	}
	drawn := s.policy(now)
	s.mu.Lock()
	s.drawn = drawn
	s.mu.Unlock()
	if total := s.truth(); total > s.feeder.Limit {
		s.over += simStep
		s.most = max(s.most, total)
	}
	s.total.refresh(now, time.Second)
	s.mining.refresh(now, 700*time.Millisecond)
	s.tenant.refresh(now, 900*time.Millisecond)
	for _, m := range s.more {
		m.refresh(now, time.Second)
	}
}

// run lets d pass.
func (s *sim) run(d time.Duration) {
	for i := range int(d / simStep) {
		time.Sleep(simStep)
		s.look(time.Now(), i)
	}
}

// until lets time pass until done, or fails after most.
func (s *sim) until(what string, most time.Duration, done func() bool) {
	s.t.Helper()
	start := time.Now()
	for i := 0; !done(); i++ {
		if time.Since(start) > most {
			s.t.Fatalf("%s: not within %v", what, most)
		}
		time.Sleep(simStep)
		s.look(time.Now(), i)
	}
}

func (s *sim) config() governor.Config {
	cfg := governor.DefaultConfig()
	cfg.Sites = []fleet.Site{{ID: "s1", Name: "Site", Feeders: []fleet.Feeder{s.feeder}}}
	cfg.Registry, cfg.Term = s.registry, 1
	cfg.MsatPerHash = func() float64 { return 5e-13 }
	cfg.RestorePermille = 50
	for _, d := range s.devices {
		cfg.Workers = append(cfg.Workers, d.worker)
	}
	cfg.Meters = []governor.Meter{
		{Name: "total", Feeder: "f1", Role: fleet.Total, Meter: s.total},
		{Name: "mining", Feeder: "f1", Role: fleet.Mining, Meter: s.mining},
	}
	if !s.unheard {
		cfg.Meters = append(cfg.Meters, governor.Meter{
			Name: "tenant", Feeder: "f1", Role: fleet.Tenant, Tenant: "acme", Meter: s.tenant,
		})
	}
	return cfg
}

// start runs a governor; stop ends it and waits.
func (s *sim) start(cfg governor.Config) (g *governor.Governor, stop func()) {
	s.t.Helper()
	g, err := governor.New(s.t.Context(), cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := g.Run(ctx); err != nil {
			s.t.Error(err)
		}
	}()
	return g, func() {
		cancel()
		<-done
	}
}

// lease is a claim of the tenant from start to end, ordered notice before.
func lease(name string, watts unit.Watts, start time.Time, d time.Duration) fleet.Cap {
	return fleet.Cap{
		Feeder: "f1", Claim: name, Tenant: "acme", Watts: watts,
		Order: start.Add(-30 * time.Second), From: start, Until: start.Add(d),
	}
}

// proofs takes what is new of the governor's proofs.
func (s *sim) proofs(g *governor.Governor) {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Nanosecond)
	defer cancel()
	ps, _ := g.Delivered(ctx, s.after)
	for _, p := range ps {
		s.proof[p.Claim] = p
		s.after = max(s.after, p.Seq)
	}
}

func (s *sim) writes() (n int) {
	for _, d := range s.devices {
		n += len(d.orders())
	}
	return n
}

func (s *sim) neverOver() {
	s.t.Helper()
	if s.over > 0 {
		s.t.Errorf("over the limit of %v for %v, up to %v", s.feeder.Limit, s.over, s.most)
	}
}

func setCaps(t *testing.T, g *governor.Governor, rev fleet.Revision, caps ...fleet.Cap) {
	t.Helper()
	if err := g.SetCaps(t.Context(), rev, caps); err != nil {
		t.Fatal(err)
	}
}

func one(g *governor.Governor) governor.FeederStatus { return g.Status().Sites[0].Feeders[0] }
