package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/ledger"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/mem"
	"github.com/hashlease/hashlease/storage/storagetest"
)

// sameWork compares totals without their times, which the clock gives.
var sameWork = cmp.Options{
	cmpopts.IgnoreFields(ledger.WorkerTotal{}, "Last"),
	cmp.Comparer(func(a, b unit.Work) bool { return a.Cmp(b) == 0 }),
}

// config takes a snapshot with every third slice, so that tests meet all kinds of records.
func config() ledger.Config {
	c := ledger.DefaultConfig()
	c.Shards, c.SnapshotEvery = 3, 3
	return c
}

func openShares(t *testing.T, shares, book storage.Journal) *ledger.Shares {
	t.Helper()
	s, err := ledger.NewShares(t.Context(), shares, book, config())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func credit(worker string, shares, work uint64) pool.Credit {
	return pool.Credit{Worker: pool.WorkerID(worker), Shares: shares, Work: work}
}

func total(worker string, shares, work uint64) ledger.WorkerTotal {
	w := pool.WorkerID(worker)
	return ledger.WorkerTotal{Worker: w, Account: w.Account(), Shares: shares, Work: unit.WorkOf(work)}
}

func mustCredit(t *testing.T, s *ledger.Shares, cs ...pool.Credit) {
	t.Helper()
	if err := s.Credit(t.Context(), cs); err != nil {
		t.Fatal(err)
	}
}

func mustFlush(t *testing.T, s *ledger.Shares) {
	t.Helper()
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func wantTotals(t *testing.T, s *ledger.Shares, want ...ledger.WorkerTotal) {
	t.Helper()
	if diff := cmp.Diff(want, s.Totals(), sameWork, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("totals (-want +got):\n%s", diff)
	}
}

// Ensure credited work is summed per worker, sorted, and found again with and without slices.
func TestShares_KeepsCredits(t *testing.T) {
	shares, book := mem.New(), mem.New()
	s := openShares(t, shares, book)
	wantTotals(t, s)
	mustCredit(t, s)
	for i := range uint64(10) {
		mustCredit(t, s, credit("bob.s19", 1, 100), credit("alice.s21", 2, i), credit("alice.s21", 1, 0))
		if i%2 == 1 {
			mustFlush(t, s)
		}
	}
	want := []ledger.WorkerTotal{total("alice.s21", 30, 45), total("bob.s19", 10, 1000)}
	for range 3 {
		wantTotals(t, s, want...)
		for _, w := range s.Totals() {
			if w.Last.IsZero() || time.Since(w.Last) > time.Hour {
				t.Errorf("last credit of %s is at %v", w.Worker, w.Last)
			}
		}
		shares, book = shares.Reopen(), book.Reopen()
		s = openShares(t, shares, book)
	}
	mustCredit(t, s, credit("bob.s19", 1, 1))
	wantTotals(t, s, want[0], total("bob.s19", 11, 1001))
}

// Ensure sums pass 2^64 without loss.
func TestShares_SumsMoreThan64Bits(t *testing.T) {
	shares, book := mem.New(), mem.New()
	s := openShares(t, shares, book)
	for range 3 {
		mustCredit(t, s, credit("a.b", 1, 1<<64-1))
	}
	mustFlush(t, s)
	s = openShares(t, shares.Reopen(), book.Reopen())
	if got := s.Totals()[0].Work.String(); got != "55340232221128654845" {
		t.Errorf("work is %s, want 3 x (2^64-1)", got)
	}
}

// Ensure the shards are emptied into the book and the book into its snapshot, so that nothing grows.
func TestShares_TrimsWhatIsBooked(t *testing.T) {
	shares, book := mem.New(), mem.New()
	s := openShares(t, shares, book)
	for range 30 {
		for range 7 {
			mustCredit(t, s, credit("a.b", 1, 1))
		}
		mustFlush(t, s)
	}
	st := s.Stats()
	st.LastSlice = time.Time{}
	want := ledger.SharesStats{Workers: 1, Shares: 210, Credits: 210, Slices: 30}
	if diff := cmp.Diff(want, st); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
	left := func(j storage.Journal, stream string, after storage.Seq) (n int) {
		err := j.Replay(t.Context(), stream, after, func(storage.Seq, []byte) error { n++; return nil })
		if err != nil {
			t.Errorf("replaying %s: %v", stream, err)
		}
		return n
	}
	for i := range 3 {
		stream := fmt.Sprintf("shares/%d", i)
		last, err := shares.Last(t.Context(), stream)
		if err != nil || last != 70 {
			t.Errorf("%s ends at %d (%v), want 70", stream, last, err)
		}
		if err := shares.Replay(t.Context(), stream, last-1, nil); !errors.Is(err, storage.ErrTrimmed) {
			t.Errorf("%s still has its last record: %v", stream, err)
		}
	}
	at, _, err := book.Snapshot(t.Context(), "shares")
	if n := left(book, "shares", at); err != nil || n >= 3 {
		t.Errorf("a replay reads %d slices after the snapshot (%v), want less than 3", n, err)
	}
	mustFlush(t, s)
	if last, err := book.Last(t.Context(), "shares"); last != 30 || err != nil {
		t.Errorf("an empty slice was written: the book is at %d (%v)", last, err)
	}
}

// Ensure shards of an older configuration are counted and emptied.
func TestShares_CountsRetiredShards(t *testing.T) {
	shares, book := mem.New(), mem.New()
	s := openShares(t, shares, book)
	for range 9 {
		mustCredit(t, s, credit("a.b", 1, 10))
	}
	mustFlush(t, s)
	for range 3 {
		mustCredit(t, s, credit("a.b", 1, 10))
	}
	cfg := config()
	cfg.Shards = 1
	shares, book = shares.Reopen(), book.Reopen()
	s, err := ledger.NewShares(t.Context(), shares, book, cfg)
	if err != nil {
		t.Fatal(err)
	}
	mustCredit(t, s, credit("a.b", 1, 10))
	wantTotals(t, s, total("a.b", 13, 130))
	mustFlush(t, s)
	for i := range 3 {
		stream := fmt.Sprintf("shares/%d", i)
		if err := shares.Replay(t.Context(), stream, 0, nil); !errors.Is(err, storage.ErrTrimmed) {
			t.Errorf("%s is not emptied: %v", stream, err)
		}
	}
	wantTotals(t, openShares(t, shares.Reopen(), book.Reopen()), total("a.b", 13, 130))
}

// holding is a journal with one record.
func holding(t *testing.T, stream string, record ...byte) storage.Journal {
	t.Helper()
	j := mem.New()
	_, err := j.Append(t.Context(), storage.Write{Stream: stream, Records: [][]byte{record}})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// Ensure a book is not mixed with another book's shares, which would lose work silently.
func TestNewShares_RefusesAForeignSharesJournal(t *testing.T) {
	shares, book := mem.New(), mem.New()
	s := openShares(t, shares, book)
	mustCredit(t, s, credit("a.b", 1, 1))
	mustFlush(t, s)
	_, err := ledger.NewShares(t.Context(), mem.New(), book.Reopen(), config())
	if !errors.Is(err, ledger.ErrMismatch) {
		t.Errorf("opening with an empty shares journal: %v, want ErrMismatch", err)
	}
	for _, stream := range []string{"shares/x", "shares/01", "shares/1024", "shares/"} {
		j := holding(t, stream, 1)
		_, err := ledger.NewShares(t.Context(), j, mem.New(), config())
		if !errors.Is(err, ledger.ErrMismatch) {
			t.Errorf("opening with stream %s: %v, want ErrMismatch", stream, err)
		}
	}
}

// Ensure damaged records stop the opening and say where they are.
func TestNewShares_RefusesUnreadableRecords(t *testing.T) {
	for _, stream := range []string{"shares", "shares/2"} {
		j := holding(t, stream, 9, 9)
		_, err := ledger.NewShares(t.Context(), j, j, config())
		if !errors.Is(err, ledger.ErrRecord) || !strings.Contains(err.Error(), "record 1") {
			t.Errorf("opening with a bad record in %s: %v", stream, err)
		}
	}
}

// Ensure a configuration's faults are all named.
func TestConfig_ListsEveryFault(t *testing.T) {
	_, err := ledger.NewShares(t.Context(), mem.New(), mem.New(), ledger.Config{})
	for _, field := range []string{"shards", "interval", "snapshot_every", "max_workers"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("error %v does not name %s", err, field)
		}
	}
}

// Ensure what cannot be kept is refused before anything is written.
func TestShares_RefusesBadCredits(t *testing.T) {
	shares := mem.New()
	cfg := config()
	cfg.MaxWorkers = 2
	s, err := ledger.NewShares(t.Context(), shares, mem.New(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, worker := range []string{"", strings.Repeat("a", 264)} {
		err := s.Credit(t.Context(), []pool.Credit{credit("a.b", 1, 1), credit(worker, 1, 1)})
		if !errors.Is(err, ledger.ErrInvalid) {
			t.Errorf("worker of %d bytes: %v, want ErrInvalid", len(worker), err)
		}
	}
	mustCredit(t, s, credit("a.1", 1, 1), credit("a.2", 1, 1))
	err = s.Credit(t.Context(), []pool.Credit{credit("a.3", 1, 1)})
	if !errors.Is(err, ledger.ErrTooManyWorkers) {
		t.Errorf("third of two workers: %v, want ErrTooManyWorkers", err)
	}
	mustCredit(t, s, credit("a.1", 1, 1))
	wantTotals(t, s, total("a.1", 2, 2), total("a.2", 1, 1))
	if st := s.Stats(); st.Refused != 3 || st.Credits != 2 {
		t.Errorf("stats are %+v", st)
	}
}

// Ensure a batch of any length is one unit.
func TestShares_TakesLongBatches(t *testing.T) {
	shares, book := mem.New(), mem.New()
	s := openShares(t, shares, book)
	name := strings.Repeat("w", 250)
	var cs []pool.Credit
	for i := range 20_000 {
		cs = append(cs, credit(fmt.Sprintf("%s.%d", name, i), 1, 1<<60))
	}
	mustCredit(t, s, cs...)
	mustCredit(t, s, cs[:5]...)
	mustFlush(t, s)
	s = openShares(t, shares.Reopen(), book.Reopen())
	if got := s.Totals(); len(got) != len(cs) || got[0].Shares != 2 {
		t.Errorf("%d workers, the first with %d shares; want %d and 2", len(got), got[0].Shares, len(cs))
	}
}

// Ensure nothing is credited if the journal refuses, and a slice that failed is in the next.
func TestShares_SurvivesAFullDisk(t *testing.T) {
	sharesJournal, bookJournal := mem.New(), mem.New()
	shares, book := storagetest.NewFaulty(sharesJournal), storagetest.NewFaulty(bookJournal)
	s := openShares(t, shares, book)
	mustCredit(t, s, credit("a.b", 1, 1))
	shares.Fail(1)
	err := s.Credit(t.Context(), []pool.Credit{credit("a.b", 5, 5)})
	if !errors.Is(err, storagetest.ErrFault) {
		t.Fatalf("credit on a full disk: %v", err)
	}
	book.Fail(1)
	if err := s.Flush(t.Context()); !errors.Is(err, storagetest.ErrFault) {
		t.Fatalf("slice on a full disk: %v", err)
	}
	wantTotals(t, s, total("a.b", 1, 1))
	mustCredit(t, s, credit("a.b", 1, 1))
	shares.Fail(1) // the trim
	if err := s.Flush(t.Context()); !errors.Is(err, storagetest.ErrFault) {
		t.Fatalf("trim on a full disk: %v", err)
	}
	mustFlush(t, s)
	if st := s.Stats(); st.Failures != 1 || st.Slices != 1 || st.Unbooked != 0 {
		t.Errorf("stats are %+v", st)
	}
	wantTotals(t, s, total("a.b", 2, 2))
	wantTotals(t, openShares(t, sharesJournal.Reopen(), bookJournal.Reopen()), total("a.b", 2, 2))
}

// held is a journal whose first Append comes back only when it is released.
type held struct {
	storage.Journal
	calls    atomic.Int32
	written  chan struct{} // closed when the first Append is durable
	released chan struct{}
}

func (h *held) Append(ctx context.Context, ws ...storage.Write) (storage.Seq, error) {
	seq, err := h.Journal.Append(ctx, ws...)
	if h.calls.Add(1) == 1 {
		close(h.written)
		<-h.released
	}
	return seq, err
}

// Ensure a slice never covers a record that is not counted yet, though later ones are acknowledged.
func TestShares_SlicesOnlyWhatIsCounted(t *testing.T) {
	sharesJournal, book := mem.New(), mem.New()
	shares := &held{Journal: sharesJournal, written: make(chan struct{}), released: make(chan struct{})}
	cfg := config()
	cfg.Shards = 1
	s, err := ledger.NewShares(t.Context(), shares, book, cfg)
	if err != nil {
		t.Fatal(err)
	}
	first := make(chan error, 1) // its one result
	go func() { first <- s.Credit(t.Context(), []pool.Credit{credit("a.1", 1, 1)}) }()
	<-shares.written
	for range 2 {
		mustCredit(t, s, credit("a.2", 1, 1))
	}
	wantTotals(t, s, total("a.2", 2, 2))
	mustFlush(t, s)
	if last, err := book.Last(t.Context(), "shares"); last != 0 || err != nil {
		t.Fatalf("a slice was written past a record that is not counted: %d (%v)", last, err)
	}
	close(shares.released)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	mustFlush(t, s)
	if st := s.Stats(); st.Slices != 1 || st.Unbooked != 0 {
		t.Errorf("stats are %+v", st)
	}
	want := []ledger.WorkerTotal{total("a.1", 1, 1), total("a.2", 2, 2)}
	wantTotals(t, s, want...)
	wantTotals(t, openShares(t, sharesJournal.Reopen(), book.Reopen()), want...)
}

// Ensure Run makes a slice a minute, goes on after a failure, ends with its context, and stops for
// good when somebody else writes the book.
func TestShares_RunSlicesEveryInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shares, bookJournal := mem.New(), mem.New()
		book := storagetest.NewFaulty(bookJournal)
		s := openShares(t, shares, book)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1) // Run's one result
		go func() { done <- s.Run(ctx) }()
		for i := range uint64(4) {
			mustCredit(t, s, credit("a.b", 1, 1))
			if i == 2 {
				book.Fail(1)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		if st := s.Stats(); st.Slices != 3 || st.Failures != 1 || st.Unbooked != 0 {
			t.Errorf("stats after 4 minutes are %+v", st)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run ended with %v", err)
		}
		go func() { done <- s.Run(t.Context()) }()
		other := storage.Write{Stream: "shares", Expect: 3, Records: [][]byte{{1}}}
		_, err := bookJournal.Append(t.Context(), other)
		if err != nil {
			t.Fatal(err)
		}
		mustCredit(t, s, credit("a.b", 1, 1))
		if err := <-done; !errors.Is(err, storage.ErrExpect) {
			t.Errorf("run beside another writer ended with %v, want ErrExpect", err)
		}
	})
}

// Ensure concurrent callers and slices lose and double nothing.
func TestShares_CountsConcurrentCallers(t *testing.T) {
	const callers, rounds = 16, 100
	shares, book := mem.New(), mem.New()
	s := openShares(t, shares, book)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			worker := fmt.Sprintf("a.%02d", c)
			for range rounds {
				cs := []pool.Credit{credit(worker, 1, 7), credit("all.x", 1, 1)}
				if err := s.Credit(t.Context(), cs); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			if err := s.Flush(t.Context()); err != nil {
				t.Error(err)
			}
			s.Totals()
			s.Stats()
		}
	})
	wg.Wait()
	var want []ledger.WorkerTotal
	for c := range callers {
		want = append(want, total(fmt.Sprintf("a.%02d", c), rounds, 7*rounds))
	}
	want = append(want, total("all.x", callers*rounds, callers*rounds))
	wantTotals(t, s, want...)
	wantTotals(t, openShares(t, shares.Reopen(), book.Reopen()), want...)
}

// bounds are what a worker's durable shares must lie between: acknowledged and submitted.
type bounds struct{ acked, submitted map[pool.WorkerID]uint64 }

func newBounds() bounds {
	return bounds{acked: map[pool.WorkerID]uint64{}, submitted: map[pool.WorkerID]uint64{}}
}

// credit notes one call and its answer.
func (b bounds) credit(cs []pool.Credit, err error) {
	for _, c := range cs {
		b.submitted[c.Worker] += c.Shares
		if err == nil {
			b.acked[c.Worker] += c.Shares
		}
	}
}

// check compares with what a restart found, which from then on is what is known.
func (b bounds) check(t rapid.TB, s *ledger.Shares) {
	t.Helper()
	durable := map[pool.WorkerID]uint64{}
	for _, w := range s.Totals() {
		durable[w.Worker] = w.Shares
		if w.Work.Cmp(unit.WorkOf(w.Shares*10)) != 0 {
			t.Fatalf("worker %s has %d shares and work %v", w.Worker, w.Shares, w.Work)
		}
	}
	for w, submitted := range b.submitted {
		if durable[w] < b.acked[w] || durable[w] > submitted {
			t.Fatalf("worker %s: acknowledged %d, durable %d, submitted %d",
				w, b.acked[w], durable[w], submitted)
		}
		b.acked[w], b.submitted[w] = durable[w], durable[w]
	}
}

// Ensure a crash in every single write, before or after its effect, leaves acknowledged <= durable <=
// submitted, and that the next process goes on from there.
func TestShares_SurvivesACrashInEveryWrite(t *testing.T) {
	script := func(s *ledger.Shares, b bounds) error {
		for i := range uint64(24) {
			cs := []pool.Credit{credit("a.b", 1, 10), credit(fmt.Sprintf("w.%d", i%4), 2, 20)}
			err := s.Credit(t.Context(), cs)
			b.credit(cs, err)
			if err == nil && i%3 == 2 {
				err = s.Flush(t.Context())
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	for kill, finished := 1, false; !finished; kill++ {
		for _, after := range []bool{false, true} {
			journal, b := mem.New(), newBounds()
			faulty := storagetest.NewFaulty(journal)
			faulty.KillAt(kill, after)
			finished = script(openShares(t, faulty, faulty), b) == nil
			for range 2 { // the second time without a crash
				journal = journal.Reopen()
				s := openShares(t, journal, journal)
				b.check(t, s)
				if err := script(s, b); err != nil {
					t.Fatalf("after a crash in write %d: %v", kill, err)
				}
				b.check(t, s)
			}
		}
	}
}

// Ensure no order of credits, slices, failures, crashes and restarts doubles or loses work.
func TestShares_NeverDoubleCounts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		shares, book, b := mem.New(), mem.New(), newBounds()
		var fs, fb *storagetest.Faulty
		var s *ledger.Shares
		restart := func(*rapid.T) {
			shares, book = shares.Reopen(), book.Reopen()
			fs, fb = storagetest.NewFaulty(shares), storagetest.NewFaulty(book)
			cfg := config()
			cfg.Shards = rapid.IntRange(1, 3).Draw(rt, "shards")
			cfg.SnapshotEvery = rapid.IntRange(1, 3).Draw(rt, "snapshot every")
			var err error
			if s, err = ledger.NewShares(t.Context(), fs, fb, cfg); err != nil {
				rt.Fatal(err)
			}
			b.check(rt, s)
		}
		restart(rt)
		pick := func(rt *rapid.T) *storagetest.Faulty {
			return rapid.SampledFrom([]*storagetest.Faulty{fs, fb}).Draw(rt, "journal")
		}
		rt.Repeat(map[string]func(*rapid.T){
			"credit": func(rt *rapid.T) {
				n := rapid.Uint64Range(1, 5).Draw(rt, "shares")
				w := rapid.SampledFrom([]string{"a.1", "a.2", "b.1"}).Draw(rt, "worker")
				cs := []pool.Credit{credit(w, n, 10*n)}
				b.credit(cs, s.Credit(t.Context(), cs))
			},
			"slice": func(*rapid.T) { _ = s.Flush(t.Context()) },
			"fail":  func(rt *rapid.T) { pick(rt).Fail(1) },
			"crash": func(rt *rapid.T) {
				f := pick(rt)
				f.KillAt(f.Writes()+rapid.IntRange(1, 3).Draw(rt, "writes"), rapid.Bool().Draw(rt, "after"))
			},
			"restart": restart,
		})
		restart(rt)
	})
}

// ExampleNewShares credits work and reads it back.
func ExampleNewShares() {
	ctx := context.Background()
	journal := mem.New()
	s, err := ledger.NewShares(ctx, journal, journal, ledger.DefaultConfig())
	if err != nil {
		fmt.Println(err)
		return
	}
	err = s.Credit(ctx, []pool.Credit{{Worker: "alice.s21", Shares: 2, Work: 8192}})
	fmt.Println(err)
	for _, w := range s.Totals() {
		fmt.Println(w.Account, w.Worker, w.Shares, w.Work)
	}
	// Output:
	// <nil>
	// alice alice.s21 2 8192
}
