package simtest

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/audit"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage"
)

// server is one incarnation of the process: its governor, its sessions, its way to the journal.
type server struct {
	g        *governor.Governor
	registry *fleet.Registry
	cancel   context.CancelFunc
	ended    chan error
	dead     bool // guarded by the world's mu: killed, nothing leaves it any more
	journal  *journal
	audit    *audit.Log // nil: there is none
	written  chan error // of its Run
	proofs   uint64     // newest taken
	capacity uint64
}

// journal is the medium as one process sees it: nothing is written after its kill.
type journal struct {
	storage.Journal
	dead atomic.Bool
}

var errDead = errors.New("process was killed")

// Append implements storage.Journal.
func (j *journal) Append(ctx context.Context, ws ...storage.Write) (storage.Seq, error) {
	if j.dead.Load() {
		return 0, errDead
	}
	return j.Journal.Append(ctx, ws...)
}

// Trim implements storage.Journal.
func (j *journal) Trim(ctx context.Context, stream string, upTo storage.Seq) error {
	if j.dead.Load() {
		return errDead
	}
	return j.Journal.Trim(ctx, stream, upTo)
}

// start makes a governor from what the journal remembers. The caller does not hold mu.
func (w *world) start(ctx context.Context) error {
	w.term++
	s := &server{
		registry: fleet.NewRegistry(), ended: make(chan error, 1), journal: &journal{Journal: w.journal},
	}
	run, cancel := context.WithCancel(ctx)
	s.cancel = cancel
	if err := w.openAudit(run, s); err != nil {
		return err
	}
	g, err := governor.New(ctx, w.config(s))
	if err != nil {
		return err
	}
	s.g = g
	go func() { s.ended <- g.Run(run) }() // ends with run; awaited by kill
	w.mu.Lock()
	w.server, w.crashed = s, time.Now()
	for _, d := range w.devices {
		w.in(time.Duration(w.rng.IntN(2e10)), d.connect)
	}
	w.capsDirty = true
	w.mu.Unlock()
	return nil
}

// kill ends the process as a power cut does. The caller does not hold mu.
func (w *world) kill() error {
	w.mu.Lock()
	s := w.server
	s.dead = true
	s.journal.dead.Store(true)
	for _, d := range w.devices {
		d.lose()
	}
	w.mu.Unlock()
	s.cancel()
	return errors.Join(<-s.ended, s.closeAudit())
}

// config is what the governor is told, defects included.
func (w *world) config(s *server) governor.Config {
	cfg := governor.DefaultConfig()
	cfg.Registry, cfg.Term, cfg.Journal = s.registry, w.term, s.journal
	cfg.Tick, cfg.MeterEvery = w.cfg.Tick, time.Second
	// No two things at one instant, or the scheduler would have a say in the story.
	cfg.SendTimeout, cfg.Spread = 4987*time.Millisecond+1234, 297*time.Millisecond+567
	cfg.ValidFor = w.cfg.ValidFor
	cfg.History = 60
	cfg.Tariffs = w.tariffs()
	cfg.MsatPerHash = func() float64 { return math.Float64frombits(w.price.Load()) }
	cfg.Actuators = map[pool.WorkerID]fleet.Actuator{}
	for _, site := range w.sites {
		cfg.Sites = append(cfg.Sites, site.Site)
		copied := &cfg.Sites[len(cfg.Sites)-1]
		copied.Feeders = append([]fleet.Feeder(nil), copied.Feeders...)
		copied.Branches = append([]fleet.Branch(nil), copied.Branches...)
	}
	for _, d := range w.devices {
		cfg.Workers = append(cfg.Workers, d.worker)
		if d.elsewhere {
			cfg.Actuators[d.worker.ID] = handle{d, s}
		}
	}
	for _, f := range w.feeders {
		for _, m := range f.meters {
			gm := governor.Meter{
				Name: string(f.ID) + "-" + m.role.String(), Feeder: f.ID, Role: m.role, Meter: m,
			}
			if m.role == fleet.Tenant {
				gm.Tenant = tenantName(m.tenant)
				gm.Name += "-" + gm.Tenant
			}
			cfg.Meters = append(cfg.Meters, gm)
		}
	}
	cfg.Meters = append(cfg.Meters, w.branchMeters()...)
	if s.audit != nil {
		cfg.Audit = s.audit.Note
	}
	if w.cfg.Defect != nil {
		w.cfg.Defect(&cfg)
	}
	return cfg
}

// now is a context that is over: a call that waits gives what is there.
func over(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

// hear takes proofs and capacities, and tells the governor what is new. The caller does not hold mu.
func (w *world) hear(ctx context.Context) {
	s := w.server
	w.mu.Lock()
	dead := s.dead
	w.mu.Unlock()
	if dead {
		return
	}
	proofs, _ := s.g.Delivered(over(ctx), s.proofs) // its error is that the context is over
	caps, _ := s.g.Capacity(over(ctx), s.capacity)
	w.mu.Lock()
	for _, p := range proofs {
		s.proofs = max(s.proofs, p.Seq)
		w.judgeProof(p)
	}
	for _, c := range caps {
		s.capacity = max(s.capacity, c.Seq)
		w.byFeeder[c.Feeder].firm = c.Firm
	}
	if time.Since(w.priced) > time.Minute {
		w.priced = time.Now()
		w.mu.Unlock()
		w.stoppedByPrice(s.g)
		w.mu.Lock()
	}
	orders := w.orders
	w.orders = nil
	var set []fleet.Cap
	dirty := w.capsDirty
	if dirty {
		w.capsDirty = false
		w.revision++
		set = w.caps()
	}
	w.mu.Unlock()
	if dirty {
		if err := s.g.SetCaps(ctx, w.revision, set); err != nil {
			w.fail("claims", "setting claims: %v", err)
		}
	}
	for _, order := range orders {
		w.happen(time.Now().Add(time.Microsecond)) // one after the other: each has the governor look at once
		order(s.g)
	}
}

// caps are all claims that are still to be kept.
func (w *world) caps() (set []fleet.Cap) {
	for _, f := range w.feeders {
		for _, l := range f.leases {
			set = append(set, l.cap)
		}
	}
	return set
}

func tenantName(i int) string { return string(rune('a' + i)) }

// limit orders a limit from outside on a feeder.
func (w *world) limit(f *feeder) {
	r := f.rng
	shed := f.mining * (0.1 + 0.3*r.Float64())
	span := time.Duration(10+r.IntN(30)) * time.Minute
	watts := f.total() - shed
	f.ceiling, f.ceilingFrom, f.turned = watts, time.Now(), time.Now()
	w.result.Limits++
	w.in(span, func() { f.ceiling, f.turned = 0, time.Now() })
	until := time.Now().Add(span)
	w.orders = append(w.orders, func(g *governor.Governor) {
		_, err := g.SetLimit(context.Background(), governor.Limit{
			Site: f.Site, Feeder: f.ID, Watts: unit.Watts(watts), Until: until,
		})
		if err != nil {
			w.fail("limit", "setting a limit on feeder %s: %v", f.ID, err)
		}
	})
}
