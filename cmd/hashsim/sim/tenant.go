package sim

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// maxLeases bounds what a tenant remembers; the oldest lease that is over goes first.
const maxLeases = 10_000

// Refused is LeaseReport.State of a lease that the server did not book.
const Refused = "REFUSED"

// LeaseReport is a tenant's own account of one lease.
type LeaseReport struct {
	Name    string     `json:"name"` // empty if it was refused
	Tenant  string     `json:"tenant"`
	Feeder  string     `json:"feeder"`
	Watts   unit.Watts `json:"watts"`
	State   string     `json:"state"` // as the server says it last, or Refused
	Reason  string     `json:"reason,omitempty"`
	Created time.Time  `json:"created"`
	Start   time.Time  `json:"start"`
	End     time.Time  `json:"end"`
	Active  time.Time  `json:"active,omitzero"` // when this tenant heard of ACTIVE
	Ended   time.Time  `json:"ended,omitzero"`  // when this tenant stopped drawing, or heard of a final state
	// ToActive is from the start of the slot to ACTIVE; 0 if it was active by then, -1 if it never was.
	ToActive float64 `json:"seconds_to_active"`
}

// held is a lease that a tenant knows.
type held struct {
	LeaseReport
	revision int64
	granted  bool // ACTIVE was seen, and nothing since ended it
	drawing  bool
}

// Tenant buys power by a schedule, and draws the whole of every lease that its key can see, from
// ACTIVE to the end of the slot by its own clock. It does not stop when the control plane is away.
type Tenant struct {
	cfg    TenantConfig // immutable
	draw   func(fleet.FeederID, unit.Watts)
	target atomic.Pointer[string]

	mu     sync.Mutex
	leases []*held                       // guarded by mu, in the order they were heard of
	drawn  map[fleet.FeederID]unit.Watts // guarded by mu
	timer  *time.Timer                   // guarded by mu: the next slot that starts or ends
	over   bool                          // guarded by mu: Run has ended
}

// NewTenant returns a tenant that does nothing until Run. draw sets its load on a feeder and must not block.
func NewTenant(cfg TenantConfig, draw func(fleet.FeederID, unit.Watts)) (*Tenant, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	t := &Tenant{cfg: cfg, draw: draw, drawn: map[fleet.FeederID]unit.Watts{}}
	t.SetTarget(cfg.Target)
	return t, nil
}

// SetTarget says where the gRPC port is from the next connection on.
func (t *Tenant) SetTarget(target string) { t.target.Store(&target) }

// Run acts until the context ends, and then stops drawing.
func (t *Tenant) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { t.watch(ctx) }) // ends with ctx
	for _, d := range t.cfg.Demands {
		wg.Go(func() { t.demand(ctx, d) }) // ends with ctx or when its last lease is created
	}
	wg.Wait()
	<-ctx.Done()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	if t.timer != nil {
		t.timer.Stop()
	}
	t.applyLocked(time.Now())
	return ctx.Err()
}

// Reports are the leases that the tenant knows, oldest first.
func (t *Tenant) Reports() []LeaseReport {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]LeaseReport, len(t.leases))
	for i, h := range t.leases {
		list[i] = h.LeaseReport
	}
	return list
}

// heard takes the server's word on a lease.
func (t *Tenant) heard(l *hashleasev1.Lease, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.findLocked(l, now)
	if l.GetRevision() < h.revision {
		return // the answer to CreateLease may come after news from the watch
	}
	h.revision = l.GetRevision()
	state := strings.TrimPrefix(l.GetState().String(), "LEASE_STATE_")
	if state != h.State {
		t.cfg.Log.Info("lease changed", slog.String("lease", h.Name), slog.String("state", state),
			slog.String("reason", l.GetStateReason()))
	}
	h.State, h.Reason, h.Feeder = state, l.GetStateReason(), l.GetFeeder()
	h.Start, h.End, h.Watts = l.GetStartTime().AsTime(), l.GetEndTime().AsTime(), unit.Watts(l.GetWatts())
	switch l.GetState() {
	case hashleasev1.LeaseState_LEASE_STATE_ACTIVE:
		h.granted = true
		if h.Active.IsZero() {
			h.Active, h.ToActive = now, max(0, now.Sub(h.Start).Seconds())
		}
	case hashleasev1.LeaseState_LEASE_STATE_ENDING, hashleasev1.LeaseState_LEASE_STATE_COMPLETED,
		hashleasev1.LeaseState_LEASE_STATE_CANCELLED, hashleasev1.LeaseState_LEASE_STATE_FAILED:
		h.granted = false
		if h.Ended.IsZero() {
			h.Ended = now
		}
	default: // SCHEDULED and PREPARING grant nothing yet; DEGRADED changes nothing
	}
	t.applyLocked(now)
}

// findLocked is the lease by its name, made if it is new.
func (t *Tenant) findLocked(l *hashleasev1.Lease, now time.Time) *held {
	for _, h := range t.leases {
		if h.Name == l.GetName() {
			return h
		}
	}
	created := now
	if c := l.GetCreateTime(); c.IsValid() {
		created = c.AsTime()
	}
	h := &held{LeaseReport: LeaseReport{
		Name: l.GetName(), Tenant: t.cfg.Name, Created: created, ToActive: -1,
	}}
	t.rememberLocked(h)
	return h
}

func (t *Tenant) rememberLocked(h *held) {
	if len(t.leases) >= maxLeases {
		if i := slices.IndexFunc(t.leases, func(o *held) bool { return !o.granted }); i >= 0 {
			t.leases = slices.Delete(t.leases, i, i+1)
		}
	}
	t.leases = append(t.leases, h)
}

// applyLocked makes the load what the granted slots of this moment add up to, and sets the
// clock for the next one that starts or ends.
func (t *Tenant) applyLocked(now time.Time) {
	want := map[fleet.FeederID]unit.Watts{}
	var next time.Time
	for _, h := range t.leases {
		if h.granted && !now.Before(h.End) {
			h.granted = false
			h.Ended = now
		}
		h.drawing = h.granted && !now.Before(h.Start) && !t.over
		if h.drawing {
			want[feederID(h.Feeder)] += h.Watts
		}
		if at := h.nextChange(); h.granted && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	for id := range t.drawn {
		if want[id] == 0 {
			t.draw(id, 0)
			delete(t.drawn, id)
		}
	}
	for id, w := range want {
		if t.drawn[id] != w {
			t.draw(id, w)
			t.drawn[id] = w
		}
	}
	t.wakeAtLocked(next, now)
}

// nextChange is when a granted lease's draw changes by the clock.
func (h *held) nextChange() time.Time {
	if h.drawing {
		return h.End
	}
	return h.Start
}

func (t *Tenant) wakeAtLocked(at, now time.Time) {
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
	if at.IsZero() || t.over {
		return
	}
	t.timer = time.AfterFunc(at.Sub(now), func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.applyLocked(time.Now())
	})
}

// feederID is the last part of "sites/{site}/feeders/{feeder}".
func feederID(name string) fleet.FeederID {
	return fleet.FeederID(name[strings.LastIndexByte(name, '/')+1:])
}
