package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/device/devicetest"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/stratumtest"
)

// startSpread is how long the miners' first connections take together: a site that is switched on.
const startSpread = time.Second

// Sim is a running site.
type Sim struct {
	cfg      Config // immutable
	site     *site
	meters   *meters
	listener net.Listener
	modbus   net.Listener
	exchange *exchange // nil: every interface has a port of its own
	grinder  *stratumtest.Grinder
	machines []machine // immutable
	endpoint atomic.Pointer[stratumtest.Endpoint]

	mu      sync.Mutex
	tenants []*Tenant // guarded by mu
}

// machine is one ASIC: its physics and its miner.
type machine struct {
	worker fleet.Worker
	power  *powered
	miner  miner
	agent  *stratumtest.Agent // sets the power of a machine that speaks Stratum V1; nil: another does
	vendor *vendor            // the machine's own interface; nil: it has none
	speaks Dialects           // V1 or V2
	away   bool               // it mines at another pool
	outlet *outlet
}

// WorkerStats are one worker's shares as its device counts them.
type WorkerStats struct {
	Submitted uint64 `json:"submitted"`
	Acked     uint64 `json:"acked"`
}

// Stats are the sums over the fleet, and its power now.
type Stats struct {
	Miners    int               `json:"miners"`
	Mining    int               `json:"mining"` // with an open channel and a job
	Away      int               `json:"mining_elsewhere"`
	Sessions  uint64            `json:"sessions"`
	Hashes    uint64            `json:"hashes"` // really computed
	Hashrate  unit.Hashrate     `json:"hashrate"`
	Watts     unit.Watts        `json:"watts"` // of the devices
	States    map[string]int    `json:"states"`
	Submitted uint64            `json:"shares_submitted"`
	Acked     uint64            `json:"shares_acked"`
	Rejected  map[string]uint64 `json:"shares_rejected"`
	Blocks    uint64            `json:"blocks"` // shares that met the network's target
	// Dialects are the same figures of the machines that speak V1 and V2.
	Dialects map[Dialects]DialectStats `json:"dialects"`
	Faults   []string                  `json:"faults,omitempty"` // of the pool, by firmware of V1
}

// New sets a site up: every device at full power and not connected, and the
// HTTP interface's port taken, so that Addr is known. Run or Close must follow.
func New(cfg Config) (*Sim, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("checking the simulation: %w", err)
	}
	place, err := newSite(cfg.Plan, cfg.Firmware, time.Now())
	if err != nil {
		return nil, err
	}
	for id, f := range cfg.Faults {
		if err := place.setFault(id, f); err != nil {
			return nil, err
		}
	}
	s := &Sim{
		cfg: cfg, site: place, grinder: stratumtest.NewGrinder(1),
		meters: &meters{site: place, class: cfg.Class, rng: rand.New(rand.NewPCG(cfg.Seed, 1))},
	}
	s.meters.fault = s.SetFault
	s.SetPool(cfg.Pool)
	if err := s.addMachines(); err != nil {
		return nil, errors.Join(err, s.closeVendors())
	}
	for _, t := range cfg.Tenants {
		if _, err := s.AddTenant(t); err != nil {
			return nil, err
		}
	}
	if s.listener, err = net.Listen("tcp", cfg.Meters); err != nil {
		return nil, fmt.Errorf("listening for the meters: %w", err)
	}
	host, _, err := net.SplitHostPort(s.Addr())
	if err == nil {
		s.modbus, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		_ = s.listener.Close()
		return nil, fmt.Errorf("listening for the meters' gateway: %w", err)
	}
	return s, nil
}

// addMachines makes every machine of the plan, with its own interface if that is wanted.
func (s *Sim) addMachines() error {
	host, _, err := net.SplitHostPort(s.cfg.Meters)
	if err != nil {
		return fmt.Errorf("address of the meters %q: HOST:PORT is accepted: %w", s.cfg.Meters, err)
	}
	if s.cfg.OnePort {
		if s.exchange, err = newExchange(); err != nil {
			return err
		}
	}
	for i, w := range s.cfg.Plan.Workers {
		p := &powered{site: s.site, device: s.site.devices[w.ID], scale: s.cfg.Scale, ordered: s.cfg.Ordered}
		var v *vendor
		if _, has := vendorAPIs[p.device.firmware.API]; has && s.cfg.Vendor {
			if v, err = s.newVendor(i, p, host); err != nil {
				return err
			}
		}
		m := s.newMachine(i, w, p, v != nil)
		m.outlet = &outlet{}
		m.vendor, m.away = v, v != nil && s.cfg.Elsewhere > 0 && (i+1)%s.cfg.Elsewhere == 0
		s.machines = append(s.machines, m)
	}
	s.SetPool(s.cfg.Pool)
	return nil
}

// newMachine is a machine that mines. One with an interface of its own takes no orders in band.
func (s *Sim) newMachine(i int, w fleet.Worker, p *powered, own bool) machine {
	if s.cfg.Dialects.of(p.device.firmware) == V1 {
		return s.newV1Machine(w, p, own)
	}
	var inBand stratumtest.PowerDevice
	if !own {
		inBand = p
	}
	return machine{worker: w, power: p, speaks: V2, miner: stratumtest.NewMiner(stratumtest.MinerConfig{
		Pool: func() stratumtest.Endpoint { return *s.endpoint.Load() }, Identity: string(w.ID),
		Nominal:  p.device.hashrate(p.device.full()) / unit.Hashrate(s.cfg.Scale),
		Extended: s.cfg.Extended > 0 && (i+1)%s.cfg.Extended == 0,
		Vendor:   p.device.firmware.Vendor, Hardware: w.Model, Firmware: p.device.firmware.Name,
		Power: inBand, Grinder: s.grinder, Log: s.cfg.Log, MaxBackoff: 2 * time.Second,
	})}
}

// SetPool says where the pool is from now on; connections that are open stay.
func (s *Sim) SetPool(e stratumtest.Endpoint) {
	s.endpoint.Store(&e)
	for i := range s.machines {
		if m := &s.machines[i]; m.vendor != nil {
			m.vendor.aim(e, string(m.worker.ID), m.away)
		}
	}
}

// Addr is where the HTTP interface listens.
func (s *Sim) Addr() string { return s.listener.Addr().String() }

// ModbusAddr is where the Modbus TCP gateway listens.
func (s *Sim) ModbusAddr() string { return s.modbus.Addr().String() }

// Scale is how many hashes of a device stand for one that is really ground.
func (s *Sim) Scale() float64 { return s.cfg.Scale }

// Close frees the ports of a Sim that is not run.
func (s *Sim) Close() error {
	return errors.Join(s.listener.Close(), s.modbus.Close(), s.closeVendors())
}

// Run simulates until the context ends, which is no error.
func (s *Sim) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{
		Handler: s.meters.handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
	}
	var wg sync.WaitGroup
	failed := make(chan error, 1)
	wg.Go(func() { // ends when the server is closed
		if err := server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serving the meters: %w", err)
			cancel()
		}
	})
	gateway := s.meters.gateway(s.cfg.Plan.Meters())
	wg.Go(func() { gateway.Serve(s.modbus) }) // ends when its listener is closed
	wg.Go(func() { _ = s.grinder.Run(ctx) })  // ends with ctx
	wg.Go(func() { s.integrate(ctx) })        // ends with ctx
	for i := range s.machines {
		wg.Go(func() { s.startMiner(ctx, i) }) // ends with ctx
		if v := s.machines[i].vendor; v != nil {
			wg.Go(func() { v.api.serve(v.machine, v.ln) }) // ends when its listener is closed
		}
	}
	for _, t := range s.tenantList() {
		wg.Go(func() { _ = t.Run(ctx) }) // ends with ctx
	}
	<-ctx.Done()
	_ = server.Close()
	_ = s.modbus.Close()
	_ = s.closeVendors()
	wg.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// startMiner runs a machine until the context ends, over every loss of power.
func (s *Sim) startMiner(ctx context.Context, i int) {
	m := &s.machines[i]
	for wait := startSpread * time.Duration(i) / time.Duration(len(s.machines)); ; wait = m.outlet.booting() {
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
		powered, cut := m.outlet.plug(ctx)
		m.run(powered)
		cut()
	}
}

// integrate steps the truth and paces every miner by its device's present power.
func (s *Sim) integrate(ctx context.Context) {
	tick := time.NewTicker(Step)
	defer tick.Stop()
	for {
		s.site.mu.Lock()
		t := s.site.now()
		s.site.advanceLocked(t)
		for i := range s.machines {
			s.machines[i].miner.SetHashrate(s.machines[i].power.pace(t))
		}
		s.site.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Truth is what happened since the start or the last MarkTruth.
func (s *Sim) Truth() Truth { return s.site.truth(false) }

// MarkTruth is Truth, and begins a new one from here.
func (s *Sim) MarkTruth() Truth { return s.site.truth(true) }

// Mining is the true power of all machines now.
func (s *Sim) Mining() float64 { return s.site.mining() }

// SetTenantLoad sets what a tenant draws on a feeder by hand.
func (s *Sim) SetTenantLoad(feeder fleet.FeederID, tenant string, w unit.Watts) error {
	return s.site.setLoad(feeder, tenant, w)
}

// SetFault makes a device fail, or heals it with the zero Fault.
func (s *Sim) SetFault(worker pool.WorkerID, f Fault) error {
	if err := s.site.setFault(worker, f); err != nil {
		return err
	}
	for i := range s.machines {
		if m := &s.machines[i]; m.worker.ID == worker && m.vendor != nil {
			m.vendor.machine.Fail(devicetest.Defects{Dead: f.Dead})
		}
	}
	return nil
}

// Devices are all devices as they truly are.
func (s *Sim) Devices() []DeviceView { return s.site.views() }

// Workers are the shares of each worker as its device counts them.
func (s *Sim) Workers() map[pool.WorkerID]WorkerStats {
	all := make(map[pool.WorkerID]WorkerStats, len(s.machines))
	for _, m := range s.machines {
		st := m.miner.Stats()
		all[m.worker.ID] = WorkerStats{Submitted: st.Submitted, Acked: st.Acked}
	}
	return all
}

// Stats sums the fleet up.
func (s *Sim) Stats() Stats {
	all := Stats{
		Miners: len(s.machines), States: map[string]int{}, Rejected: map[string]uint64{},
		Dialects: map[Dialects]DialectStats{},
	}
	for _, m := range s.machines {
		st := m.miner.Stats()
		if st.Mining {
			all.Mining++
		}
		if m.away {
			all.Away++
			continue
		}
		all.Dialects[m.speaks] = all.Dialects[m.speaks].plus(&st)
		for _, f := range st.Faults {
			if !slices.Contains(all.Faults, f) {
				all.Faults = append(all.Faults, f)
			}
		}
		all.Sessions += st.Sessions
		all.Hashes += st.Hashes
		all.Submitted += st.Submitted
		all.Acked += st.Acked
		all.Blocks += st.Blocks
		for code, n := range st.Rejected {
			all.Rejected[code] += n
		}
	}
	var watts float64
	for _, d := range s.site.views() {
		all.States[d.State]++
		all.Hashrate += d.Hashrate
		watts += d.Watts
	}
	all.Watts = unit.Watts(watts)
	return all
}

// AddTenant gives the site a tenant; it acts while Run does if added before,
// else the caller runs it.
func (s *Sim) AddTenant(cfg TenantConfig) (*Tenant, error) {
	if !slices.Contains(s.cfg.Plan.Tenants, cfg.Name) {
		return nil, fmt.Errorf("tenant %q has no meters: one of %q is accepted", cfg.Name, s.cfg.Plan.Tenants)
	}
	if cfg.Log == nil {
		cfg.Log = s.cfg.Log
	}
	t, err := NewTenant(cfg, func(f fleet.FeederID, w unit.Watts) {
		if err := s.SetTenantLoad(f, cfg.Name, w); err != nil {
			s.cfg.Log.Warn("tenant cannot draw", slog.String("tenant", cfg.Name), slog.Any("error", err))
		}
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tenants = append(s.tenants, t)
	return t, nil
}

func (s *Sim) tenantList() []*Tenant {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Tenant(nil), s.tenants...)
}

// Leases are the tenants' own reports of their leases.
func (s *Sim) Leases() []LeaseReport {
	all := []LeaseReport{}
	for _, t := range s.tenantList() {
		all = append(all, t.Reports()...)
	}
	return all
}
