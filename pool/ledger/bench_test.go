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
