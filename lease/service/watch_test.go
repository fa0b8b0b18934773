package service_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/lease/service"
	"github.com/hashlease/hashlease/storage/mem"
)

// next reads n changes as "uid revision" and fails when there are fewer.
func next(t *testing.T, w *service.Watcher, n int) (ls []*lease.Lease) {
	t.Helper()
	for range n {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		l, err := w.Next(ctx)
		cancel()
		if err != nil {
			t.Fatalf("after %d changes: %v", len(ls), err)
		}
		ls = append(ls, l)
	}
	return ls
}

func nothing(t *testing.T, w *service.Watcher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if l, err := w.Next(ctx); err == nil {
		t.Fatalf("an unexpected change of %s to %v", l.UID, l.State)
	}
}

// Ensure a watch that is resumed anywhere sees every change once, in order, and only its own
// tenant's, also over a restart without a snapshot.
func TestWatch_ResumesAtAnyRevision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gov, j := newGovernor(), mem.New()
		gov.capacity("north", 1000)
		r := start(t, config(), j, gov, &books{})
		settled(0)
		live, err := r.Watch("acme", "", 0)
		if err != nil {
			t.Fatal(err)
		}
		a := r.create(60, 60, 10)
		if _, err := r.Create(t.Context(), order("other", "", 60, 60, 10)); err != nil {
			t.Fatal(err)
		}
		b := r.create(60, 60, 10)
		if _, err := r.Cancel(t.Context(), lease.Cancel{UID: a.UID, Tenant: "acme"}); err != nil {
			t.Fatal(err)
		}
		all := next(t, live, 3)
		nothing(t, live)
		live.Close()
		live.Close()
		if all[0].UID != a.UID || all[1].UID != b.UID || all[2].State != lease.Cancelled {
			t.Fatalf("changes %v", all)
		}
		_ = r.stop()
		r = start(t, config(), j.Reopen(), newGovernor(), &books{})
		for i, from := range all {
			w, err := r.Watch("acme", "", from.Revision)
			if err != nil {
				t.Fatal(err)
			}
			for k, l := range next(t, w, len(all)-1-i) {
				if want := all[i+1+k].Revision; l.Revision != want {
					t.Errorf("resumed after %d: revision %d, want %d", from.Revision, l.Revision, want)
				}
			}
			nothing(t, w)
			w.Close()
		}
		w, err := r.Watch("acme", b.UID, 0)
		if err != nil {
			t.Fatal(err)
		}
		if l := next(t, w, 1)[0]; l.UID != b.UID {
			t.Errorf("watch of one lease began with %s", l.UID)
		}
		if w, err = r.Watch("", "", 0); err != nil {
			t.Fatal(err)
		}
		next(t, w, 3)
		if _, err := r.Watch("acme", "", 1<<40); !errors.Is(err, service.ErrFuture) {
			t.Errorf("a revision of the future: %v", err)
		}
	})
}

// Ensure a reader that falls behind the history is cut, and a noisy tenant does not cut another.
func TestWatch_CutsOnlyTheSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gov, j := newGovernor(), mem.New()
		gov.capacity("north", 1000)
		r := start(t, config(), j, gov, &books{})
		settled(0)
		quiet, err := r.Create(t.Context(), order("quiet", "", 60, 60, 10))
		if err != nil {
			t.Fatal(err)
		}
		first := r.create(60, 60, 1)
		slow, err := r.Watch("acme", "", first.Revision)
		if err != nil {
			t.Fatal(err)
		}
		still, err := r.Watch("quiet", "", quiet.Revision)
		if err != nil {
			t.Fatal(err)
		}
		for range 4500 {
			l := r.create(60, 60, 1)
			if _, err := r.Cancel(t.Context(), lease.Cancel{UID: l.UID, Tenant: "acme"}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := slow.Next(t.Context()); !errors.Is(err, service.ErrCompacted) {
			t.Errorf("slow reader: %v", err)
		}
		if _, err := r.Watch("acme", "", first.Revision); !errors.Is(err, service.ErrCompacted) {
			t.Errorf("resuming too late: %v", err)
		}
		nothing(t, still)
		if _, err := r.Cancel(t.Context(), lease.Cancel{UID: quiet.UID}); err != nil {
			t.Fatal(err)
		}
		next(t, still, 1)

		// Snapshots were made on the way: a start from them is the same book.
		synctest.Wait()
		st := r.Stats()
		if st.Snapshot == 0 {
			t.Error("no snapshot after 9000 events")
		}
		_ = r.stop()
		r = start(t, config(), j.Reopen(), newGovernor(), &books{})
		if again := r.Stats(); fmt.Sprint(again.Leases) != fmt.Sprint(st.Leases) {
			t.Errorf("leases %v, before the restart %v", again.Leases, st.Leases)
		}
	})
}

// Ensure open watches are bounded.
func TestWatch_IsBoundedPerTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, config(), mem.New(), newGovernor(), &books{})
		var err error
		n := 0
		for ; err == nil && n < 1000; n++ {
			_, err = r.Watch("acme", "", 0)
		}
		if !errors.Is(err, service.ErrWatchers) || n != 65 {
			t.Errorf("%d watches, then %v", n, err)
		}
		if _, err := r.Watch("other", "", 0); err != nil {
			t.Errorf("another tenant: %v", err)
		}
	})
}
