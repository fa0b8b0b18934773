package service_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/lease/service"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/ledger"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage"
)

// governor is a Curtailer that says what the test tells it to.
type governor struct {
	mu         sync.Mutex
	bell       chan struct{} // closed and replaced with each news
	seq        uint64
	capacities map[fleet.FeederID]fleet.Capacity
	proofs     map[string]fleet.Proof
	caps       []fleet.Cap
	revision   fleet.Revision
	sets       int
	fail       int // calls of SetCaps that are still to fail
}

func newGovernor() *governor {
	return &governor{
		bell: make(chan struct{}), capacities: map[fleet.FeederID]fleet.Capacity{},
		proofs: map[string]fleet.Proof{},
	}
}

func (g *governor) SetCaps(_ context.Context, rev fleet.Revision, caps []fleet.Cap) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fail > 0 {
		g.fail--
		return errors.New("the governor is away")
	}
	if rev > g.revision {
		g.revision, g.caps = rev, caps
		g.sets++
	}
	return nil
}

func (g *governor) set() ([]fleet.Cap, fleet.Revision, int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.caps, g.revision, g.sets
}

func (g *governor) capacity(f fleet.FeederID, w unit.Watts) {
	g.news(func() { g.capacities[f] = fleet.Capacity{Seq: g.seq, Feeder: f, Firm: w, Basis: "test"} })
}

func (g *governor) prove(p fleet.Proof) {
	g.news(func() {
		p.Seq = g.seq
		if p.At.IsZero() {
			p.At = time.Now()
		}
		g.proofs[p.Claim] = p
	})
}

func (g *governor) news(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seq++
	f()
	close(g.bell)
	g.bell = make(chan struct{})
}

func (g *governor) Capacity(ctx context.Context, after uint64) ([]fleet.Capacity, error) {
	return newer(ctx, g, g.capacities, func(c fleet.Capacity) bool { return c.Seq > after })
}

func (g *governor) Delivered(ctx context.Context, after uint64) ([]fleet.Proof, error) {
	return newer(ctx, g, g.proofs, func(p fleet.Proof) bool { return p.Seq > after })
}

func newer[K comparable, T any](ctx context.Context, g *governor, m map[K]T, is func(T) bool) ([]T, error) {
	for {
		g.mu.Lock()
		bell := g.bell
		var out []T
		for _, v := range m {
			if is(v) {
				out = append(out, v)
			}
		}
		g.mu.Unlock()
		if len(out) > 0 {
			return out, nil
		}
		select {
		case <-bell:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// books is a Poster that keeps entries.
type books struct {
	mu      sync.Mutex
	entries map[string]ledger.Entry
	posts   int
	fail    int
}

func (b *books) Post(_ context.Context, es ...ledger.Entry) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.posts++
	if b.fail > 0 {
		b.fail--
		return errors.New("the ledger is away")
	}
	for _, e := range es {
		if err := e.Validate(); err != nil {
			return err
		}
		if b.entries == nil {
			b.entries = map[string]ledger.Entry{}
		}
		b.entries[e.ID] = e
	}
	return nil
}

func (b *books) all() (map[string]ledger.Entry, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.entries, b.posts
}

// rig is a service in operation with its surroundings.
type rig struct {
	*service.Service
	t    *testing.T
	gov  *governor
	book *books
	stop func() error // ends Run as a crash would: nothing is drained on purpose
}

func config() service.Config {
	cfg := service.DefaultConfig()
	cfg.Term, cfg.Price = 1, 3_600_000
	cfg.Sites = []fleet.Site{{ID: "yard", Name: "The yard", Feeders: []fleet.Feeder{
		{ID: "north", Site: "yard", Limit: 1200, Reserve: 50, Notice: 20 * time.Second},
		{ID: "south", Site: "yard", Limit: 900, Notice: 30 * time.Second},
	}}}
	return cfg
}

// start runs a service over the journal until the test or stop ends it, and waits for it to serve.
func start(t *testing.T, cfg service.Config, j storage.Journal, gov *governor, b *books) *rig {
	t.Helper()
	s, err := service.New(cfg, j, gov, b)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	var end error
	r := &rig{Service: s, t: t, gov: gov, book: b, stop: func() error {
		once.Do(func() { cancel(); end = <-done })
		return end
	}}
	t.Cleanup(func() { _ = r.stop() })
	select {
	case <-s.Ready():
	case end = <-done:
		done <- end
		t.Fatalf("the service does not run: %v", end)
	}
	return r
}

// create books watts on north from in seconds on, for so long.
func (r *rig) create(in, seconds int, w unit.Watts) lease.Lease {
	r.t.Helper()
	l, err := r.Create(r.t.Context(), order("acme", "", in, seconds, w))
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

func order(tenant, id string, in, seconds int, w unit.Watts) lease.Create {
	from := time.Now().Truncate(time.Second).Add(time.Duration(in) * time.Second)
	return lease.Create{
		Tenant: lease.TenantID(tenant), RequestID: id, Site: "yard", Feeder: "north", Watts: w,
		Start: from, End: from.Add(time.Duration(seconds) * time.Second),
	}
}

func (r *rig) state(uid lease.UID) lease.Lease {
	r.t.Helper()
	l, err := r.Lease("", uid)
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

func (r *rig) want(uid lease.UID, st lease.State) lease.Lease {
	r.t.Helper()
	l := r.state(uid)
	if l.State != st {
		r.t.Fatalf("lease is %v (%s), want %v", l.State, l.Reason, st)
	}
	return l
}
