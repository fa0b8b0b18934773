package service_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/lease/service"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/ledger"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/mem"
	"github.com/hashlease/hashlease/storage/storagetest"
)

// settled lets everything that is due happen.
func settled(d time.Duration) {
	time.Sleep(d) // the bubble's clock, not the wall's
	synctest.Wait()
}

// Ensure a lease goes from booking over proof to the ledger, with the caps that it needs at each stage.
func TestService_TakesALeaseThroughItsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gov, b := newGovernor(), &books{}
		gov.capacity("north", 1000)
		cfg := config()
		cfg.Share = 250_000
		r := start(t, cfg, mem.New(), gov, b)
		settled(0)
		if caps, rev, sets := gov.set(); len(caps) != 0 || rev != 1<<32|1 || sets != 1 {
			t.Fatalf("at the start %d caps of revision %x, %d sets", len(caps), rev, sets)
		}
		l := r.create(60, 100, 600)
		settled(39 * time.Second)
		r.want(l.UID, lease.Scheduled)
		if caps, _, _ := gov.set(); len(caps) != 0 {
			t.Fatalf("caps before the order is due: %v", caps)
		}
		settled(time.Second)
		r.want(l.UID, lease.Preparing)
		caps, _, _ := gov.set()
		want := []fleet.Cap{{
			Feeder: "north", Claim: string(l.UID), Tenant: "acme", Watts: 600,
			Order: l.OrderAt, From: l.Slot.Start, Until: l.Slot.End,
		}}
		if diff := cmp.Diff(want, caps); diff != "" {
			t.Fatal(diff)
		}
		ordered := time.Now()
		settled(10 * time.Second)
		gov.prove(fleet.Proof{Claim: string(l.UID), Free: true, FirstOrder: ordered, Freed: 650})
		settled(9 * time.Second)
		r.want(l.UID, lease.Preparing)
		settled(time.Second)
		if a := r.want(l.UID, lease.Active); !a.ActiveAt.Equal(l.Slot.Start) || !a.OrderedAt.Equal(ordered) {
			t.Fatalf("active %v, ordered %v", a.ActiveAt, a.OrderedAt)
		}
		settled(100 * time.Second)
		r.want(l.UID, lease.Ending)
		if caps, _, _ := gov.set(); len(caps) != 1 || !caps[0].Until.Equal(l.Slot.End) {
			t.Fatalf("an ending lease claims %v", caps)
		}
		gov.prove(fleet.Proof{Claim: string(l.UID), Gone: true, Delivered: 50_000})
		settled(time.Second)
		end := r.want(l.UID, lease.Completed)
		if caps, _, _ := gov.set(); len(caps) != 0 || end.Charge != 50_000 || !end.Settled {
			t.Fatalf("%d caps, charge %d, settled %v", len(caps), end.Charge, end.Settled)
		}
		entries, _ := b.all()
		wantLines := []ledger.Line{
			{Account: "tenant/acme", Amount: -50_000},
			{Account: "site/yard", Amount: 37_500},
			{Account: "curtailed/north", Amount: 12_500},
		}
		if diff := cmp.Diff(wantLines, entries["lease/"+string(l.UID)].Lines); diff != "" {
			t.Error(diff)
		}
		if st := r.Stats(); st.Owed != 0 || st.Live != 0 || st.Leases[lease.Completed] != 1 {
			t.Errorf("%+v", st)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// Ensure a proof that is late, lost or never comes shows as shortfall, and never as ACTIVE.
func TestService_ShowsMissingProofsAsShortfall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gov := newGovernor()
		gov.capacity("north", 1000)
		r := start(t, config(), mem.New(), gov, &books{})
		settled(0)
		late, never := r.create(30, 60, 300), r.create(30, 60, 300)
		settled(37 * time.Second)
		r.want(late.UID, lease.Degraded)
		gov.prove(fleet.Proof{Claim: string(late.UID), Free: true})
		settled(0)
		if l := r.want(late.UID, lease.Active); l.Shortfall != 7*time.Second {
			t.Errorf("shortfall %v, want 7s", l.Shortfall)
		}
		settled(10 * time.Second)
		gov.prove(fleet.Proof{Claim: string(late.UID), Reason: "meter is silent"})
		settled(3 * time.Second)
		r.want(late.UID, lease.Degraded)
		settled(time.Minute)
		if l := r.want(late.UID, lease.Ending); l.Shortfall != 50*time.Second {
			t.Errorf("shortfall %v, want 50s", l.Shortfall)
		}
		if l := r.want(never.UID, lease.Failed); l.Shortfall != time.Minute || !l.Claims() {
			t.Errorf("shortfall %v, claims %v", l.Shortfall, l.Claims())
		}
		if _, err := r.Confirm(t.Context(), never.UID); err != nil {
			t.Fatal(err)
		}
		settled(0)
		if caps, _, _ := gov.set(); len(caps) != 1 || caps[0].Claim != string(late.UID) {
			t.Errorf("caps %v", caps)
		}
	})
}

// Ensure 50 calls with one request id at once make one lease, and so does a repeat after a crash.
func TestService_BooksARequestOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gov, j := newGovernor(), mem.New()
		gov.capacity("north", 1000)
		r := start(t, config(), j, gov, &books{})
		settled(0)
		c := order("acme", "r1", 100, 100, 10)
		var wg sync.WaitGroup
		uids := make([]lease.UID, 50)
		for i := range uids {
			wg.Go(func() {
				l, err := r.Create(t.Context(), c)
				if err != nil {
					t.Error(err)
				}
				uids[i] = l.UID
			})
		}
		wg.Wait()
		for _, u := range uids {
			if u != uids[0] || u == "" {
				t.Fatalf("leases %v", uids)
			}
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		r = start(t, config(), j.Reopen(), newGovernor(), &books{})
		again, err := r.Create(t.Context(), c)
		if err != nil || again.UID != uids[0] {
			t.Errorf("after a restart %v, %v", again.UID, err)
		}
		c.Watts++
		_, err = r.Create(t.Context(), c)
		if f, ok := errors.AsType[*lease.Refusal](err); !ok || f.Kind != lease.RequestIDReused {
			t.Errorf("another content: %v", err)
		}
	})
}

// Ensure that when the process dies in any write, what was acknowledged is there, no lease is there
// twice, and the repeat of what was not acknowledged succeeds.
func TestService_SurvivesDeathInAnyWrite(t *testing.T) {
	for n := 1; n <= 8; n++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d after %v", n, after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { dieInWrite(t, n, after) })
			})
		}
	}
}

func dieInWrite(t *testing.T, n int, after bool) {
	t.Helper()
	j := mem.New()
	faulty := storagetest.NewFaulty(j)
	faulty.KillAt(n, after)
	gov := newGovernor()
	gov.capacity("north", 1000)
	r := start(t, config(), faulty, gov, &books{})
	settled(0)
	acked := map[lease.UID]bool{}
	orders := []lease.Create{}
	for i := range 6 {
		c := order("acme", fmt.Sprint("r", i), 100, 100, 10)
		orders = append(orders, c)
		if l, err := r.Create(t.Context(), c); err == nil {
			acked[l.UID] = true
		} else if !errors.Is(err, service.ErrReadOnly) {
			if r, ok := errors.AsType[*lease.Refusal](err); !ok || r.Kind != lease.NoCapacity {
				t.Fatalf("create: %v", err)
			}
		}
	}
	_ = r.stop() // whatever it says, it is dead

	gov2 := newGovernor()
	gov2.capacity("north", 1000)
	r = start(t, config(), j.Reopen(), gov2, &books{})
	settled(0)
	for uid := range acked {
		if _, err := r.Lease("acme", uid); err != nil {
			t.Errorf("acknowledged lease %s is lost", uid)
		}
	}
	for _, c := range orders {
		if _, err := r.Create(t.Context(), c); err != nil {
			t.Errorf("repeat: %v", err)
		}
	}
	if ls := r.Leases(100); len(ls) != len(orders) {
		t.Errorf("%d leases, want %d", len(ls), len(orders))
	}
}

// Ensure a journal that fails for a while makes the book read-only and nothing else: no call is
// answered as done, and afterwards everything goes on, with the proofs that came meanwhile.
func TestService_IsReadOnlyWhileTheJournalFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gov, faulty := newGovernor(), storagetest.NewFaulty(mem.New())
		gov.capacity("north", 1000)
		r := start(t, config(), faulty, gov, &books{})
		settled(0)
		l := r.create(30, 600, 300)
		settled(31 * time.Second)
		faulty.Fail(1)
		gov.prove(fleet.Proof{Claim: string(l.UID), Free: true})
		synctest.Wait()
		if _, err := r.Create(t.Context(), small()); !errors.Is(err, service.ErrReadOnly) {
			t.Errorf("create while read-only: %v", err)
		}
		if err := r.Health(); !errors.Is(err, service.ErrReadOnly) {
			t.Errorf("health while read-only: %v", err)
		}
		r.want(l.UID, lease.Degraded) // reads still work
		settled(3 * time.Second)
		r.want(l.UID, lease.Active)
		r.create(60, 60, 10)
		if st := r.Stats(); st.ReadOnly || st.AppendErrors != 1 || r.Health() != nil {
			t.Errorf("%+v", st)
		}
	})
}

// Ensure a restart fires what was missed in order, orders caps at once under a higher
// revision, and takes no old proof for a new one.
func TestService_CatchesUpAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gov, j := newGovernor(), mem.New()
		gov.capacity("north", 1000)
		r := start(t, config(), j, gov, &books{})
		settled(0)
		ended := r.create(30, 100, 100)
		missed := r.create(60, 1000, 100)
		failed := r.create(100, 100, 100)
		settled(45 * time.Second)
		gov.prove(fleet.Proof{Claim: string(ended.UID), Free: true})
		gov.prove(fleet.Proof{Claim: string(missed.UID), Free: true})
		settled(time.Second)
		r.want(ended.UID, lease.Active)
		if !r.want(missed.UID, lease.Preparing).Proven {
			t.Fatal("proof is not noted")
		}
		_ = r.stop()

		time.Sleep(10 * time.Minute)
		cfg := config()
		cfg.Term = 2
		gov = newGovernor()
		r = start(t, cfg, j.Reopen(), gov, &books{})
		r.want(ended.UID, lease.Ending)
		r.want(failed.UID, lease.Failed)
		if l := r.want(missed.UID, lease.Degraded); !l.ShortSince.Equal(missed.Slot.Start) {
			t.Errorf("short since %v, want the start", l.ShortSince)
		}
		if caps, rev, _ := gov.set(); len(caps) != 3 || rev != 2<<32|1 {
			t.Errorf("%d caps of revision %x", len(caps), rev)
		}
	})
}

// Ensure caps that are not taken are ordered again, and charges that are not posted are
// posted again.
func TestService_TriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gov, b := newGovernor(), &books{fail: 2}
		gov.capacity("north", 1000)
		gov.fail = 3
		r := start(t, config(), mem.New(), gov, b)
		settled(5 * time.Second)
		if _, _, sets := gov.set(); sets != 1 {
			t.Errorf("%d sets were taken, want 1", sets)
		}
		l := r.create(0, 10, 100)
		settled(time.Second)
		gov.prove(fleet.Proof{Claim: string(l.UID), Free: true})
		settled(10 * time.Second)
		gov.prove(fleet.Proof{Claim: string(l.UID), Gone: true, Delivered: 100})
		settled(time.Minute)
		if entries, posts := b.all(); len(entries) != 1 || posts != 3 || !r.state(l.UID).Settled {
			t.Errorf("%d entries after %d posts, settled %v", len(entries), posts, r.state(l.UID).Settled)
		}
	})
}

// wall is a wall clock that can be moved.
type wall struct {
	mu  sync.Mutex
	off time.Duration
}

func (w *wall) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.off)
}

func (w *wall) move(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.off += d
}

// Ensure a clock that jumps ends no lease and books none until it is trusted again, and that
// time never goes back.
func TestService_DoesNotTrustAClockThatJumps(t *testing.T) {
	for _, jump := range []time.Duration{-time.Hour, time.Hour, 24 * time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, gov := &wall{}, newGovernor()
				gov.capacity("north", 1000)
				cfg := config()
				cfg.Wall = w.now
				r := start(t, cfg, mem.New(), gov, &books{})
				settled(0)
				l := r.create(0, 600, 100)
				settled(time.Second)
				before := r.Now()
				w.move(jump)
				settled(30 * time.Second)
				r.want(l.UID, lease.Degraded)
				if now := r.Now(); now.Before(before) || now.After(before.Add(time.Minute)) {
					t.Errorf("service time went from %v to %v", before, now)
				}
				if _, err := r.Create(t.Context(), small()); !errors.Is(err, service.ErrClock) {
					t.Errorf("create: %v", err)
				}
				if _, err := r.Amend(t.Context(), lease.Amend{}); !errors.Is(err, service.ErrClock) {
					t.Errorf("amend: %v", err)
				}
				if _, err := r.Check(t.Context(), small()); !errors.Is(err, service.ErrClock) {
					t.Errorf("check: %v", err)
				}
				if _, err := r.Cancel(t.Context(), lease.Cancel{UID: l.UID, Tenant: "acme"}); err != nil {
					t.Errorf("cancel: %v", err)
				}
				w.move(-jump)
				settled(2 * time.Second)
				r.create(60, 60, 10)
			})
		})
	}
}

// Ensure an operator can accept a clock, and that a restart with a clock behind waits for it.
func TestService_AcceptsAClockOnRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, gov, j := &wall{}, newGovernor(), mem.New()
		gov.capacity("north", 1000)
		cfg := config()
		cfg.Wall = w.now
		r := start(t, cfg, j, gov, &books{})
		settled(0)
		l := r.create(0, 600, 100)
		w.move(time.Hour)
		settled(2 * time.Second)
		if err := r.AcceptClock(t.Context()); err != nil {
			t.Fatal(err)
		}
		settled(0)
		r.want(l.UID, lease.Failed)
		high := r.Now()
		_ = r.stop()

		w.move(-time.Hour)
		r = start(t, cfg, j.Reopen(), gov, &books{})
		if now := r.Now(); now.Before(high) || !r.Stats().ClockSuspect {
			t.Errorf("after a restart it is %v, before it was %v", now, high)
		}
		settled(time.Hour)
		if r.Stats().ClockSuspect {
			t.Error("the clock has caught up and is not trusted")
		}
	})
}

// Ensure a loss of capacity counts at once, a gain once it is worth a record.
func TestService_FollowsCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gov := newGovernor()
		r := start(t, config(), mem.New(), gov, &books{})
		leasable := func() int64 { return int64(r.Sites()[0].Feeders[0].Leasable) }
		for _, c := range []struct{ said, want int64 }{
			{1000, 1000}, {1005, 1000}, {1010, 1010}, {1009, 1009}, {0, 0}, {1, 1}, {-5, 0},
		} {
			gov.news(func() {
				said := fleet.Capacity{Seq: gov.seq, Feeder: "north", Firm: unit.Watts(c.said)}
				gov.capacities["north"] = said
			})
			settled(0)
			if got := leasable(); got != c.want {
				t.Errorf("said %d: leasable %d, want %d", c.said, got, c.want)
			}
		}
	})
}

// Ensure shutting down answers what was taken, keeps a snapshot, and refuses the rest.
func TestService_ShutsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gov, j := newGovernor(), mem.New()
		gov.capacity("north", 1000)
		r := start(t, config(), j, gov, &books{})
		settled(0)
		l := r.create(60, 60, 100)
		w, err := r.Watch("acme", "", 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Next(t.Context()); err != nil {
			t.Errorf("what was there: %v", err)
		}
		if _, err := w.Next(t.Context()); !errors.Is(err, service.ErrClosed) {
			t.Errorf("watch after the end: %v", err)
		}
		if _, err := r.Create(t.Context(), small()); !errors.Is(err, service.ErrClosed) {
			t.Errorf("create after the end: %v", err)
		}
		j = j.Reopen()
		if at, _, err := j.Snapshot(t.Context(), service.Stream); err != nil || at == 0 {
			t.Errorf("snapshot at %d: %v", at, err)
		}
		r = start(t, config(), j, newGovernor(), &books{})
		r.want(l.UID, lease.Scheduled)
	})
}

// Ensure a journal that is not this book's is refused instead of served.
func TestService_RefusesADamagedJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, record := range []string{"{", `{"rev":7,"kind":"mark"}`, `{"rev":1,"kind":"x"}`} {
			j := mem.New()
			if _, err := j.Append(t.Context(), write(0, []byte(record))); err != nil {
				t.Fatal(err)
			}
			s, err := service.New(config(), j, newGovernor(), &books{})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Run(t.Context()); err == nil {
				t.Errorf("%s was served", record)
			}
			if _, err := s.Create(t.Context(), lease.Create{}); !errors.Is(err, service.ErrClosed) {
				t.Errorf("create: %v", err)
			}
		}
	})
}

// Ensure a service whose stream somebody else writes stops instead of booking on.
func TestService_StopsWhenAnotherWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gov, j := newGovernor(), mem.New()
		gov.capacity("north", 1000)
		r := start(t, config(), j, gov, &books{})
		settled(0)
		last, err := j.Last(t.Context(), service.Stream)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := j.Append(t.Context(), write(last, []byte(`{}`))); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Create(t.Context(), small()); !errors.Is(err, service.ErrReadOnly) {
			t.Errorf("create: %v", err)
		}
		synctest.Wait()
		if _, err := r.Create(context.Background(), small()); !errors.Is(err, service.ErrClosed) {
			t.Errorf("create after the stop: %v", err)
		}
	})
}

// Ensure every fault of a configuration is named.
func TestConfig_NamesItsFaults(t *testing.T) {
	for name, spoil := range map[string]func(*service.Config){
		"price":  func(c *service.Config) { c.Price = -1 },
		"share":  func(c *service.Config) { c.Share = 1_000_001 },
		"limits": func(c *service.Config) { c.Limits.Live = 0 },
		"twice":  func(c *service.Config) { c.Sites = append(c.Sites, c.Sites[0]) },
		"site":   func(c *service.Config) { c.Sites[0].Feeders[0].Site = "other" },
		"notice": func(c *service.Config) { c.Sites[0].Feeders[0].Notice = -1 },
	} {
		cfg := config()
		spoil(&cfg)
		if _, err := service.New(cfg, mem.New(), newGovernor(), &books{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func write(after storage.Seq, record []byte) storage.Write {
	return storage.Write{Stream: service.Stream, Expect: after, Records: [][]byte{record}}
}

// small is an order that fits anywhere.
func small() lease.Create { return order("acme", "", 60, 60, 1) }
