package service

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage"
)

// Service is the lease book in operation. Make it with New, run it with Run.
type Service struct {
	// immutable after New
	cfg       Config
	journal   storage.Journal
	curtailer Curtailer
	poster    Poster
	log       *slog.Logger

	calls   chan call     // capacity 0: a call is either in the loop or its caller's
	quit    chan struct{} // closed by Shutdown
	ready   chan struct{} // closed once the service serves
	stopped chan struct{} // closed when the loop is over

	quitOnce sync.Once
	running  atomic.Bool
	view     view
	stats    counters

	capsWake  chan struct{} // capacity 1: claims changed
	owedWake  chan struct{} // capacity 1: charges are owed
	capsCount atomic.Uint32 // sets of caps ordered in this term
}

// counters are the figures that the loop keeps for Stats.
type counters struct {
	commits, failures, repeats, refused atomic.Uint64
	readOnly, suspect                   atomic.Bool
	snapshot                            atomic.Uint64
	capsSent, capsFailed                atomic.Uint64
	posted, postsFailed                 atomic.Uint64
	now                                 atomic.Int64 // service time, Unix ms
}

// New returns a service over the journal. It starts nothing.
func New(cfg Config, j storage.Journal, c Curtailer, p Poster) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configuring the lease service: %w", err)
	}
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Service{
		cfg: cfg, journal: j, curtailer: c, poster: p, log: log,
		calls: make(chan call), quit: make(chan struct{}),
		ready: make(chan struct{}), stopped: make(chan struct{}),
		capsWake: make(chan struct{}, 1), owedWake: make(chan struct{}, 1),
	}, nil
}

// Ready is closed once the journal is folded, missed timers are fired and caps are ordered.
func (s *Service) Ready() <-chan struct{} { return s.ready }

// Shutdown stops taking commands, finishes those that were taken, and waits for Run to end.
func (s *Service) Shutdown(ctx context.Context) error {
	s.quitOnce.Do(func() { close(s.quit) })
	if !s.running.Load() {
		return nil
	}
	select {
	case <-s.stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the lease service to stop: %w", ctx.Err())
	}
}

// Create books a slot and returns once that is durable. The UID and the price are given
// here; a refusal is a *lease.Refusal.
func (s *Service) Create(ctx context.Context, c lease.Create) (lease.Lease, error) {
	c.UID, c.Price, c.Penalty = newUID(), s.cfg.Price, s.cfg.Penalty
	return s.command(ctx, c)
}

// Check says what Create would book, and books nothing. The returned lease has no UID.
func (s *Service) Check(ctx context.Context, c lease.Create) (lease.Lease, error) {
	c.UID, c.Price, c.Penalty = newUID(), s.cfg.Price, s.cfg.Penalty
	l, err := s.check(ctx, func(b *lease.Book, now time.Time) (*lease.Lease, error) {
		return b.Check(c, now)
	})
	l.UID = ""
	return l, err
}

// Amend changes a lease's watts or slot and returns once that is durable. An empty tenant is the operator.
func (s *Service) Amend(ctx context.Context, c lease.Amend) (lease.Lease, error) {
	return s.command(ctx, c)
}

// CheckAmend says what Amend would make of the lease, and changes nothing.
func (s *Service) CheckAmend(ctx context.Context, c lease.Amend) (lease.Lease, error) {
	return s.check(ctx, func(b *lease.Book, now time.Time) (*lease.Lease, error) {
		return b.CheckAmend(c, now)
	})
}

// check asks the book what a command would do, if the clock can be trusted.
func (s *Service) check(
	ctx context.Context, would func(*lease.Book, time.Time) (*lease.Lease, error),
) (lease.Lease, error) {
	var out lease.Lease
	var refusal error
	err := s.query(ctx, func(b *lease.Book, now time.Time, trusted bool) {
		if !trusted {
			refusal = ErrClock
			return
		}
		l, err := would(b, now)
		if refusal = err; err == nil {
			out = *l
		}
	})
	if err == nil {
		err = refusal
	}
	return out, err
}

// Cancel ends a lease early. An empty tenant is the operator.
func (s *Service) Cancel(ctx context.Context, c lease.Cancel) (lease.Lease, error) {
	return s.command(ctx, c)
}

// Confirm takes the operator's word that an ended lease's tenant is off.
func (s *Service) Confirm(ctx context.Context, uid lease.UID) (lease.Lease, error) {
	return s.command(ctx, lease.Confirm{UID: uid})
}

// Lease is one lease of the tenant, or of anybody if the tenant is empty.
func (s *Service) Lease(tenant lease.TenantID, uid lease.UID) (lease.Lease, error) {
	if err := s.serving(); err != nil {
		return lease.Lease{}, err
	}
	l, ok := s.view.lease(tenant, uid)
	if !ok {
		r := &lease.Refusal{Kind: lease.UnknownLease, Field: "name", Detail: "there is no such lease"}
		return lease.Lease{}, r
	}
	return *l, nil
}

// List is up to n leases of the tenant (empty: everybody's), newest first, that were
// created before the given revision (0: any).
func (s *Service) List(tenant lease.TenantID, before lease.Revision, n int) ([]*lease.Lease, error) {
	if err := s.serving(); err != nil {
		return nil, err
	}
	return s.view.list(tenant, before, n), nil
}

// Leases are the newest n leases of everybody, for screens. They must not be changed.
func (s *Service) Leases(n int) []*lease.Lease { return s.view.list("", 0, n) }

// Events are up to n events after a revision, oldest first, for screens; those that are no longer
// held are left out. They must not be changed.
func (s *Service) Events(after lease.Revision, n int) []*lease.Event {
	s.view.mu.RLock()
	defer s.view.mu.RUnlock()
	es := s.view.all.after(after)
	return append([]*lease.Event(nil), es[:min(n, len(es))]...)
}

// RecentEvents are the newest n events, oldest first.
func (s *Service) RecentEvents(n int) []*lease.Event {
	s.view.mu.RLock()
	defer s.view.mu.RUnlock()
	es := s.view.all.events
	return append([]*lease.Event(nil), es[max(0, len(es)-n):]...)
}

// FeederView is what is sold of a feeder.
type FeederView struct {
	fleet.Feeder
	Leasable  unit.Watts // at most, now
	Basis     string     // how that was found
	Shortfall *lease.Shortfall
}

// SiteView is a site with what is sold of it.
type SiteView struct {
	ID      fleet.SiteID
	Name    string
	Feeders []FeederView
}

// Sites are the sites in the order of the configuration.
func (s *Service) Sites() []SiteView {
	now := s.Now()
	s.view.mu.RLock()
	defer s.view.mu.RUnlock()
	out := make([]SiteView, 0, len(s.cfg.Sites))
	for _, site := range s.cfg.Sites {
		sv := SiteView{ID: site.ID, Name: site.Name}
		for _, f := range site.Feeders {
			id := lease.FeederID(f.ID)
			c := s.view.capacity[id]
			fv := FeederView{Feeder: f, Leasable: c.at(now), Basis: c.basis}
			fv.Notice = max(fv.Notice, c.notice) // what is sold is what was measured
			if fv.Basis == "" {
				fv.Basis = "no capacity has been reported yet"
			}
			if short, ok := s.view.short[id]; ok {
				fv.Shortfall = &short
			}
			sv.Feeders = append(sv.Feeders, fv)
		}
		out = append(out, sv)
	}
	return out
}

// Step is watts free for a lease from an instant on.
type Step struct {
	From time.Time
	Free unit.Watts // never negative
}

// Availability is up to n steps of free watts on the feeder over a window, and whether there
// were more.
func (s *Service) Availability(
	ctx context.Context, f fleet.FeederID, w lease.Slot, n int,
) ([]Step, bool, error) {
	var steps []Step
	more := false
	err := s.query(ctx, func(b *lease.Book, _ time.Time, _ bool) {
		b.Availability(lease.FeederID(f), w, func(from time.Time, free unit.Watts) bool {
			free = max(0, free)
			if k := len(steps); k > 0 && steps[k-1].Free == free {
				return true
			}
			if more = len(steps) >= n; !more {
				steps = append(steps, Step{from, free})
			}
			return !more
		})
	})
	return steps, more, err
}

// Now is service time as the loop last saw it: within a second of the clock.
func (s *Service) Now() time.Time { return time.UnixMilli(s.stats.now.Load()).UTC() }

// AcceptClock believes the wall clock after a jump, on the operator's word.
func (s *Service) AcceptClock(ctx context.Context) error {
	_, err := s.do(ctx, call{acceptClock: true})
	return err
}

// Stats are the service's figures.
type Stats struct {
	Revision     lease.Revision
	Leases       map[lease.State]int
	Live         int
	Watchers     int
	Commits      uint64
	AppendErrors uint64
	Repeats      uint64 // mutations that were answered from memory
	Refused      uint64
	ReadOnly     bool // the journal failed and the book awaits its rebuild
	ClockSuspect bool
	Snapshot     lease.Revision
	CapsSent     uint64
	CapsFailed   uint64
	Posted       uint64
	PostsFailed  uint64
	Owed         int
	Now          time.Time
}

// Stats returns the figures as they are.
func (s *Service) Stats() Stats {
	v, c := &s.view, &s.stats
	v.mu.RLock()
	defer v.mu.RUnlock()
	byState := map[lease.State]int{}
	for _, l := range v.leases {
		byState[l.State]++
	}
	return Stats{
		Revision: v.revision, Leases: byState, Live: v.live, Watchers: v.watching, Owed: len(v.owed),
		Commits: c.commits.Load(), AppendErrors: c.failures.Load(), Repeats: c.repeats.Load(),
		Refused: c.refused.Load(), ReadOnly: c.readOnly.Load(), ClockSuspect: c.suspect.Load(),
		Snapshot: lease.Revision(c.snapshot.Load()), CapsSent: c.capsSent.Load(),
		CapsFailed: c.capsFailed.Load(), Posted: c.posted.Load(), PostsFailed: c.postsFailed.Load(),
		Now: s.Now(),
	}
}

// Health is nil while the service takes commands; else it says why it does not.
func (s *Service) Health() error {
	if err := s.serving(); err != nil {
		return err
	}
	if s.stats.readOnly.Load() {
		return ErrReadOnly
	}
	return nil
}

// serving says whether calls are taken.
func (s *Service) serving() error {
	select {
	case <-s.stopped:
		return ErrClosed
	default:
	}
	select {
	case <-s.ready:
		return nil
	default:
		return ErrRecovering
	}
}

var uidText = base32.StdEncoding.WithPadding(base32.NoPadding)

// newUID is 80 random bits: no tenant learns from it how many leases others have.
func newUID() lease.UID {
	var b [10]byte
	rand.Read(b[:]) // it never fails
	return lease.UID(strings.ToLower(uidText.EncodeToString(b[:])))
}
