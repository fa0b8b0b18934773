package ledger_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/ledger"
	"github.com/hashlease/hashlease/storage/bolt"
)

// BenchmarkShares_Credit measures durable shares a second, with their accounts kept: 16 shares of
// one worker a call, which is what a session acknowledges at once, on two bbolt journals with a slice
// a second.
func BenchmarkShares_Credit(b *testing.B) {
	for _, callers := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { benchCredit(b, callers) })
	}
}

func benchCredit(b *testing.B, callers int) {
	b.Helper()
	open := func(name string) *bolt.Journal {
		j, err := bolt.Open(filepath.Join(b.TempDir(), name), bolt.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = j.Close() })
		return j
	}
	s, err := ledger.NewShares(b.Context(), open("shares.db"), open("book.db"), ledger.DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	const batch = 16
	waits := make([][]time.Duration, callers)
	var left atomic.Int64
	left.Store(int64(b.N))
	stop := make(chan struct{}) // closed when the callers are done
	var wg, slicer sync.WaitGroup
	slicer.Go(func() {
		for tick := time.NewTicker(time.Second); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
				if err := s.Flush(b.Context()); err != nil {
					b.Error(err)
				}
			}
		}
	})
	b.ReportAllocs()
	b.ResetTimer()
	for c := range callers {
		wg.Go(func() {
			worker := pool.WorkerID(fmt.Sprintf("alice.s%d", c))
			credits := []pool.Credit{{Worker: worker, Shares: batch, Work: 1 << 40}}
			for left.Add(-1) >= 0 {
				start := time.Now()
				if err := s.Credit(b.Context(), credits); err != nil {
					b.Error(err)
					return
				}
				waits[c] = append(waits[c], time.Since(start))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	close(stop)
	slicer.Wait()
	all := slices.Sorted(slices.Values(slices.Concat(waits...)))
	b.ReportMetric(float64(batch*b.N)/b.Elapsed().Seconds(), "shares/s")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkShares_Durable offers 100,000 shares a second of 1,000 workers to the door as two of the Stratum
// server's committers do: each gathers for 3 ms from the oldest share on, sums up by worker, and gathers the
// next batch while this one is written. It reports what became durable in a second and how long after its
// arrival a share was.
func BenchmarkShares_Durable(b *testing.B) {
	const (
		rate, committers = 100_000, 2
		gather           = 3 * time.Millisecond
	)
	open := func(name string) *bolt.Journal {
		j, err := bolt.Open(filepath.Join(b.TempDir(), name), bolt.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = j.Close() })
		return j
	}
	s, err := ledger.NewShares(b.Context(), open("shares.db"), open("book.db"), ledger.DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	waits := make([][]time.Duration, committers)
	var wg sync.WaitGroup
	b.ResetTimer()
	began := time.Now()
	for c := range committers {
		n := b.N / committers
		if c == 0 {
			n = b.N - n*(committers-1)
		}
		arrival := func(i int) time.Time { // of the committer's share number i
			return began.Add(time.Duration(i) * (time.Second * committers / rate))
		}
		wg.Go(func() {
			for done := 0; done < n; {
				time.Sleep(time.Until(arrival(done)))
				time.Sleep(gather - time.Duration(time.Now().UnixNano()%int64(gather)))
				there := min(n, int(time.Since(began)/(time.Second*committers/rate))+1)
				if err := s.Credit(b.Context(), batchOf(c, done, there)); err != nil {
					b.Error(err)
					return
				}
				now := time.Now()
				for ; done < there; done++ {
					waits[c] = append(waits[c], now.Sub(arrival(done)))
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	all := slices.Sorted(slices.Values(slices.Concat(waits...)))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "shares/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
}

// batchOf sums a range of shares of a committer's 500 workers.
func batchOf(committer, from, to int) []pool.Credit {
	const workers = 500
	list := make([]pool.Credit, 0, min(workers, to-from))
	for i := from; i < to; i++ {
		if i-from >= workers {
			list[(i-from)%workers].Shares++
			list[(i-from)%workers].Work += 1 << 40
			continue
		}
		worker := pool.WorkerID(fmt.Sprintf("alice.c%dw%d", committer, i%workers))
		list = append(list, pool.Credit{Worker: worker, Shares: 1, Work: 1 << 40})
	}
	return list
}
