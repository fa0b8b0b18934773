package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool/ledger"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/mem"
	"github.com/hashlease/hashlease/storage/storagetest"
)

var when = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func openEntries(t *testing.T, book storage.Journal) *ledger.Entries {
	t.Helper()
	e, err := ledger.NewEntries(t.Context(), book)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// entry moves an amount from one account to another.
func entry(id, from, to string, amount unit.Msat) ledger.Entry {
	return ledger.Entry{ID: id, At: when, Memo: "test", Lines: []ledger.Line{
		{Account: from, Amount: -amount}, {Account: to, Amount: amount},
	}}
}

func mustPost(t *testing.T, e *ledger.Entries, es ...ledger.Entry) {
	t.Helper()
	if err := e.Post(t.Context(), es...); err != nil {
		t.Fatal(err)
	}
}

// Ensure postings add up, are kept over a restart and can be listed by account.
func TestEntries_KeepsBalances(t *testing.T) {
	book := mem.New()
	e := openEntries(t, book)
	lease := ledger.Entry{ID: "lease/1/settle", At: when, Memo: "50 kWh", Lines: []ledger.Line{
		{Account: "tenant/acme", Amount: -1000},
		{Account: "site/yard", Amount: 700},
		{Account: "worker/alice.s21-1", Amount: 300},
	}}
	deposit := entry("deposit/1", "outside/lightning", "tenant/acme", 5000)
	mustPost(t, e)
	mustPost(t, e, deposit, lease)
	mustPost(t, e, lease)
	want := []ledger.Balance{
		{Account: "outside/lightning", Amount: -5000},
		{Account: "site/yard", Amount: 700},
		{Account: "tenant/acme", Amount: 4000},
		{Account: "worker/alice.s21-1", Amount: 300},
	}
	for range 2 {
		if diff := cmp.Diff(want, e.Balances()); diff != "" {
			t.Fatalf("balances (-want +got):\n%s", diff)
		}
		if e.Balance("tenant/acme") != 4000 || e.Balance("tenant/other") != 0 {
			t.Errorf("balances are %v and %v", e.Balance("tenant/acme"), e.Balance("tenant/other"))
		}
		posted := []ledger.Posted{{Seq: 1, Entry: deposit}, {Seq: 2, Entry: lease}}
		got, err := e.List(t.Context(), "tenant/acme", 0, 10)
		if diff := cmp.Diff(posted, got); diff != "" || err != nil {
			t.Fatalf("list (-want +got), %v:\n%s", err, diff)
		}
		got, err = e.List(t.Context(), "site/yard", 0, 1)
		if err != nil || len(got) != 1 || got[0].Seq != 2 {
			t.Fatalf("list of the site is %v (%v)", got, err)
		}
		got, err = e.List(t.Context(), "", 1, 10)
		if err != nil || len(got) != 1 || got[0].ID != lease.ID {
			t.Fatalf("list after 1 is %v (%v)", got, err)
		}
		if st := e.Stats(); st.Entries != 2 || st.Accounts != 4 || st.Last != 2 {
			t.Errorf("stats are %+v", st)
		}
		book = book.Reopen()
		e = openEntries(t, book)
	}
	for _, limit := range []int{0, -1, 1001} {
		if _, err := e.List(t.Context(), "", 0, limit); !errors.Is(err, ledger.ErrInvalid) {
			t.Errorf("list with limit %d: %v", limit, err)
		}
	}
}

// Ensure an ID is posted once: the same again is done already, another content is a conflict and
// takes the whole call with it.
func TestEntries_AreIdempotent(t *testing.T) {
	book := mem.New()
	e := openEntries(t, book)
	first := entry("x", "a/1", "a/2", 5)
	same := first
	same.At = when.In(time.FixedZone("east", 3600)).Add(100 * time.Microsecond) // the same to the millisecond
	mustPost(t, e, first, same, first)
	for range 2 {
		mustPost(t, e, same)
		for name, other := range map[string]ledger.Entry{
			"amount": entry("x", "a/1", "a/2", 6),
			"order":  {ID: "x", At: when, Memo: "test", Lines: []ledger.Line{first.Lines[1], first.Lines[0]}},
			"memo":   {ID: "x", At: when, Memo: "other", Lines: first.Lines},
			"time":   {ID: "x", At: when.Add(time.Millisecond), Memo: "test", Lines: first.Lines},
		} {
			err := e.Post(t.Context(), entry("new", "a/1", "a/2", 1), other)
			if !errors.Is(err, ledger.ErrConflict) {
				t.Errorf("same ID with other %s: %v, want ErrConflict", name, err)
			}
		}
		err := e.Post(t.Context(), entry("y", "a/1", "a/2", 1), entry("y", "a/1", "a/2", 2))
		if !errors.Is(err, ledger.ErrConflict) {
			t.Errorf("conflict within a call: %v", err)
		}
		if e.Balance("a/2") != 5 {
			t.Errorf("balance is %v, want 5", e.Balance("a/2"))
		}
		book = book.Reopen()
		e = openEntries(t, book)
	}
}

// Ensure what does not balance or cannot be read is refused, naming the fault.
func TestEntries_RefusesBadEntries(t *testing.T) {
	e := openEntries(t, mem.New())
	tests := map[string]func(*ledger.Entry){
		"id":               func(e *ledger.Entry) { e.ID = "" },
		"id \"a b\"":       func(e *ledger.Entry) { e.ID = "a b" },
		"printable":        func(e *ledger.Entry) { e.ID = strings.Repeat("x", 129) },
		"at ":              func(e *ledger.Entry) { e.At = time.Time{} },
		"memo":             func(e *ledger.Entry) { e.Memo = "\xff" },
		"memo of 513":      func(e *ledger.Entry) { e.Memo = strings.Repeat("m", 513) },
		"0 lines":          func(e *ledger.Entry) { e.Lines = nil },
		"4097 lines":       func(e *ledger.Entry) { e.Lines = make([]ledger.Line, 4097) },
		"sum to 1 msat":    func(e *ledger.Entry) { e.Lines[0].Amount++ },
		"lines[1].amount":  func(e *ledger.Entry) { e.Lines[1].Amount = 0 },
		"lines[0].account": func(e *ledger.Entry) { e.Lines[0].Account = "plain" },
		"/name":            func(e *ledger.Entry) { e.Lines[0].Account = "/x" },
		"letters":          func(e *ledger.Entry) { e.Lines[0].Account = "a/\u00e4" },
		"passes the range": func(e *ledger.Entry) {
			e.Lines = []ledger.Line{
				{Account: "a/1", Amount: math.MaxInt64},
				{Account: "a/2", Amount: 2},
				{Account: "a/3", Amount: math.MaxInt64},
			}
		},
	}
	for want, spoil := range tests {
		bad := entry("x", "a/1", "a/2", 5)
		spoil(&bad)
		err := e.Post(t.Context(), entry("good", "a/1", "a/2", 1), bad)
		if !errors.Is(err, ledger.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want ErrInvalid with %q", err, want)
		}
	}
	if len(e.Balances()) != 0 {
		t.Errorf("balances are %v, want none", e.Balances())
	}
}

// Ensure a balance never wraps: the entry that would do it is refused.
func TestEntries_RefusesOverflow(t *testing.T) {
	e := openEntries(t, mem.New())
	mustPost(t, e, entry("1", "a/from", "a/to", math.MaxInt64))
	for _, bad := range []ledger.Entry{entry("2", "a/x", "a/to", 1), entry("3", "a/from", "a/x", 2)} {
		if err := e.Post(t.Context(), bad); !errors.Is(err, ledger.ErrOverflow) {
			t.Errorf("entry %s: %v, want ErrOverflow", bad.ID, err)
		}
	}
	mustPost(t, e, entry("4", "a/from", "a/x", 1)) // the smallest amount of all
	if e.Balance("a/from") != math.MinInt64 {
		t.Errorf("balance is %d", e.Balance("a/from"))
	}
}

// Ensure the replay is bounded by snapshots, which remember every ID.
func TestEntries_SnapshotsItsFold(t *testing.T) {
	const n = 3000
	book := mem.New()
	e := openEntries(t, book)
	for i := range n {
		mustPost(t, e, entry(fmt.Sprint(i), "a/1", fmt.Sprintf("a/%d", i%7), unit.Msat(i+1)))
	}
	at, _, err := book.Snapshot(t.Context(), "ledger")
	if err != nil || n-at > 1024 {
		t.Fatalf("snapshot is at %d (%v): a replay reads more than 1024 records", at, err)
	}
	before := e.Balances()
	e = openEntries(t, book.Reopen())
	if diff := cmp.Diff(before, e.Balances()); diff != "" {
		t.Errorf("balances changed over a restart:\n%s", diff)
	}
	mustPost(t, e, entry("0", "a/1", "a/0", 1)) // known from the snapshot alone
	if err := e.Post(t.Context(), entry("1", "a/1", "a/0", 1)); !errors.Is(err, ledger.ErrConflict) {
		t.Errorf("an ID of before the snapshot: %v, want ErrConflict", err)
	}
	if list, err := e.List(t.Context(), "", 0, 1); err != nil || len(list) != 1 || list[0].ID != "0" {
		t.Errorf("the first entry is gone: %v (%v)", list, err)
	}
	if st := e.Stats(); st.Entries != n || st.SnapshotFailures != 0 {
		t.Errorf("stats are %+v", st)
	}
}

// Ensure concurrent callers are served one after the other, and a waiting one can give up.
func TestEntries_TakesConcurrentCallers(t *testing.T) {
	e := openEntries(t, mem.New())
	var wg sync.WaitGroup
	for c := range 16 {
		wg.Go(func() {
			for i := range 50 {
				id := fmt.Sprintf("%d/%d", c, i)
				if err := e.Post(t.Context(), entry(id, "a/1", "a/2", 1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if e.Balance("a/2") != 16*50 {
		t.Errorf("balance is %v, want %d", e.Balance("a/2"), 16*50)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Post(ctx, entry("late", "a/1", "a/2", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("post with an ended context: %v", err)
	}
}

// Ensure a second writer of the book is refused instead of mixed in.
func TestEntries_RefusesASecondWriter(t *testing.T) {
	book := mem.New()
	one, two := openEntries(t, book), openEntries(t, book)
	mustPost(t, one, entry("1", "a/1", "a/2", 1))
	if err := two.Post(t.Context(), entry("2", "a/1", "a/2", 1)); !errors.Is(err, storage.ErrExpect) {
		t.Errorf("post of a second writer: %v, want ErrExpect", err)
	}
	if two.Balance("a/2") != 0 {
		t.Errorf("balance is %v, want 0", two.Balance("a/2"))
	}
}

// Ensure that posting again after crashes at any write leaves each entry posted exactly once.
func TestEntries_SurvivesCrashes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		book := mem.New()
		var faulty *storagetest.Faulty
		var e *ledger.Entries
		want := map[string]unit.Msat{} // by the entries that were acknowledged
		pending := map[string]ledger.Entry{}
		add := func(es ...ledger.Entry) {
			for _, p := range es {
				for _, l := range p.Lines {
					want[l.Account] += l.Amount
				}
				delete(pending, p.ID)
			}
		}
		restart := func(*rapid.T) {
			book = book.Reopen()
			faulty = storagetest.NewFaulty(book)
			var err error
			if e, err = ledger.NewEntries(t.Context(), faulty); err != nil {
				rt.Fatal(err)
			}
			for _, p := range pending { // nobody knows whether it was posted: say it again
				if err := e.Post(t.Context(), p); err != nil {
					rt.Fatalf("posting %s again: %v", p.ID, err)
				}
				add(p)
			}
			got := map[string]unit.Msat{}
			sum := unit.Msat(0)
			for _, b := range e.Balances() {
				got[b.Account] = b.Amount
				sum += b.Amount
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || sum != 0 {
				rt.Fatalf("balances, which sum to %v (-want +got):\n%s", sum, diff)
			}
		}
		restart(rt)
		id := 0
		rt.Repeat(map[string]func(*rapid.T){
			"post": func(rt *rapid.T) {
				var es []ledger.Entry
				for range rapid.IntRange(1, 3).Draw(rt, "entries") {
					id++
					to := rapid.SampledFrom([]string{"a/1", "a/2", "b/1"}).Draw(rt, "to")
					amount := unit.Msat(rapid.IntRange(1, 99).Draw(rt, "amount"))
					p := entry(fmt.Sprint(id), "bank/0", to, amount)
					es, pending[p.ID] = append(es, p), p
				}
				if e.Post(t.Context(), es...) == nil {
					add(es...)
				}
			},
			"crash": func(rt *rapid.T) {
				n := rapid.IntRange(1, 3).Draw(rt, "writes")
				faulty.KillAt(faulty.Writes()+n, rapid.Bool().Draw(rt, "after"))
			},
			"restart": restart,
		})
		restart(rt)
	})
}

// ExampleNewEntries settles a lease.
func ExampleNewEntries() {
	ctx := context.Background()
	e, err := ledger.NewEntries(ctx, mem.New())
	if err != nil {
		fmt.Println(err)
		return
	}
	settle := ledger.Entry{ID: "lease/7/settle", At: when, Lines: []ledger.Line{
		{Account: "tenant/acme", Amount: -900},
		{Account: "site/yard", Amount: 600},
		{Account: "worker/alice.s21-1", Amount: 300},
	}}
	fmt.Println(e.Post(ctx, settle), e.Post(ctx, settle))
	for _, b := range e.Balances() {
		fmt.Println(b.Account, int64(b.Amount))
	}
	// Output:
	// <nil> <nil>
	// site/yard 600
	// tenant/acme -900
	// worker/alice.s21-1 300
}
