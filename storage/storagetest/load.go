package storagetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashlease/hashlease/storage"
)

func testCompareAndSwap(t *testing.T, p Place) {
	t.Helper()
	const callers, rounds = 16, 10
	j := open(t, p)
	for round := range storage.Seq(rounds) {
		var wins atomic.Int32
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				_, err := j.Append(t.Context(), to("cas", round, strconv.Itoa(c)))
				switch {
				case err == nil:
					wins.Add(1)
				case !errors.Is(err, storage.ErrExpect):
					t.Errorf("append: %v", err)
				}
			})
		}
		wg.Wait()
		if wins.Load() != 1 {
			t.Fatalf("%d of %d callers won round %d, want 1", wins.Load(), callers, round)
		}
	}
	wantLast(t, j, "cas", rounds)
}

// testIsolation mixes calls that must fail with calls that must not.
func testIsolation(t *testing.T, p Place) {
	t.Helper()
	const callers, rounds = 32, 20
	j := open(t, p)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range storage.Seq(rounds) {
				stream := "s" + strconv.Itoa(c)
				_, err := j.Append(t.Context(), to("both", storage.Any, "lost"), to(stream, i+1, "lost"))
				if !errors.Is(err, storage.ErrExpect) {
					t.Errorf("append that expects too much: %v", err)
				}
				if _, err := j.Append(t.Context(), to(stream, i, strconv.Itoa(int(i)))); err != nil {
					t.Errorf("append: %v", err)
				}
			}
		})
	}
	wg.Wait()
	wantLast(t, j, "both", 0)
	for c := range callers {
		wantLast(t, j, "s"+strconv.Itoa(c), rounds)
	}
}

func testContext(t *testing.T, p Place) {
	t.Helper()
	j := open(t, p)
	mustAppend(t, j, to("a", 0, "1", "2"))
	ctx, cancel := context.WithCancel(t.Context())
	err := j.Replay(ctx, "a", 0, func(storage.Seq, []byte) error {
		cancel()
		return nil
	})
	wantErr(t, "replay", err, context.Canceled)
	_, err = j.Append(ctx, to("a", storage.Any, "x"))
	wantErr(t, "append", err, context.Canceled)
	wantErr(t, "put snapshot", j.PutSnapshot(ctx, "a", 1, nil), context.Canceled)
	wantErr(t, "trim", j.Trim(ctx, "a", 1), context.Canceled)
	_, err = j.Last(ctx, "a")
	wantErr(t, "last", err, context.Canceled)
	wantRecords(t, j, "a", 0, "1:1", "2:2")

	// Contexts that end at any moment: an append is in the stream exactly if it was answered with success.
	const callers, rounds = 8, 30
	acked := make([]map[string]bool, callers)
	var wg sync.WaitGroup
	for c := range callers {
		acked[c] = map[string]bool{}
		wg.Go(func() {
			for i := range rounds {
				record := fmt.Sprintf("%d/%d", c, i)
				ctx, cancel := context.WithCancel(t.Context())
				go cancel() // ends by itself
				if _, err := j.Append(ctx, to("race", storage.Any, record)); err == nil {
					acked[c][record] = true
				} else if !errors.Is(err, context.Canceled) {
					t.Errorf("append: %v", err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	for _, r := range records(t, j, "race", 0) {
		_, record, _ := strings.Cut(r, ":")
		c, _, _ := strings.Cut(record, "/")
		n, _ := strconv.Atoi(c)
		if !acked[n][record] {
			t.Errorf("record %s is there, its append failed", record)
		}
		delete(acked[n], record)
	}
	for _, left := range acked {
		for record := range left {
			t.Errorf("record %s is acknowledged and not there", record)
		}
	}
}

func testLoad(t *testing.T, p Place) {
	t.Helper()
	const callers, total = 64, 1000
	j := open(t, p)
	var next atomic.Int64
	acked := make([][]int64, callers)
	seqs := make([][]storage.Seq, callers)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := next.Add(1); i <= total; i = next.Add(1) {
				seq, err := j.Append(t.Context(), to("load", storage.Any, fmt.Sprintf("%d/%d", c, i)))
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				acked[c], seqs[c] = append(acked[c], i), append(seqs[c], seq)
			}
		})
	}
	wg.Wait()
	j = reopen(t, p, j)
	got := records(t, j, "load", 0)
	if len(got) != total {
		t.Fatalf("%d records are there, want %d", len(got), total)
	}
	for c := range callers {
		for i, n := range acked[c] {
			seq := seqs[c][i]
			if i > 0 && seq <= seqs[c][i-1] {
				t.Fatalf("caller %d got seq %d after %d", c, seq, seqs[c][i-1])
			}
			if want := fmt.Sprintf("%d:%d/%d", seq, c, n); got[seq-1] != want {
				t.Fatalf("record is %q, want %q", got[seq-1], want)
			}
		}
	}
}

// testCloseUnderLoad closes while callers append: each is answered, truthfully.
func testCloseUnderLoad(t *testing.T, p Place) {
	t.Helper()
	const callers = 16
	j := open(t, p)
	var started, wg sync.WaitGroup
	var acked atomic.Uint64
	started.Add(callers)
	for range callers {
		wg.Go(func() {
			for i := 0; ; i++ {
				_, err := j.Append(t.Context(), to("a", storage.Any, "x"))
				if i == 0 {
					started.Done()
				}
				if err != nil {
					if !errors.Is(err, storage.ErrClosed) {
						t.Errorf("append: %v", err)
					}
					return
				}
				acked.Add(1)
			}
		})
	}
	started.Wait()
	next := reopen(t, p, j)
	wg.Wait()
	wantLast(t, next, "a", storage.Seq(acked.Load()))
}
