package ledger_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/ledger"
	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/bolt"
	"github.com/hashlease/hashlease/storage/wal"
)

// journals are what the shares can be kept in: what the server uses, and what it used before.
var journals = []struct {
	name string
	open func(path string) (storage.Journal, error)
}{
	{"wal", func(p string) (storage.Journal, error) { return wal.Open(p, wal.Options{}) }},
	{"bolt", func(p string) (storage.Journal, error) { return bolt.Open(p, bolt.Options{}) }},
}

// openBench opens an account over a journal of shares of one kind and a book.
func openBench(b *testing.B, open func(string) (storage.Journal, error)) *ledger.Shares {
	b.Helper()
	shares, err := open(filepath.Join(b.TempDir(), "shares"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = shares.Close() })
	book, err := bolt.Open(filepath.Join(b.TempDir(), "book.db"), bolt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = book.Close() })
	s, err := ledger.NewShares(b.Context(), shares, book, ledger.DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkShares_Credit measures durable shares a second, with their accounts kept: 16 shares of
// one worker a call, which is what a session acknowledges at once, with a slice a second.
func BenchmarkShares_Credit(b *testing.B) {
	for _, k := range journals {
		for _, callers := range []int{1, 64, 256} {
			b.Run(fmt.Sprintf("%s/callers=%d", k.name, callers), func(b *testing.B) {
				benchCredit(b, openBench(b, k.open), callers)
			})
		}
	}
}

func benchCredit(b *testing.B, s *ledger.Shares, callers int) {
	b.Helper()
	const batch = 16
	waits := make([][]time.Duration, callers)
	var left atomic.Int64
	left.Store(int64(b.N))
	stop := slices1s(b, s)
	var wg sync.WaitGroup
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
	stop()
	all := slices.Sorted(slices.Values(slices.Concat(waits...)))
	b.ReportMetric(float64(batch*b.N)/b.Elapsed().Seconds(), "shares/s")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
}

// slices1s moves a slice to the book every second until it is stopped.
func slices1s(b *testing.B, s *ledger.Shares) (stop func()) {
	b.Helper()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // ends with done
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if err := s.Flush(b.Context()); err != nil {
					b.Error(err)
				}
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

// BenchmarkShares_Durable offers shares of 1,000 workers to the door at a rate, as two of the Stratum
// server's committers do: what is there every 5 ms is summed by worker and is one call, and the next
// gathers meanwhile. It reports how long after its arrival a share was durable, what became durable in
// a second, and what this cost in CPU: by share and by commit, with the summing, the accounts and a
// slice a second.
func BenchmarkShares_Durable(b *testing.B) {
	for _, k := range journals {
		for _, rate := range []int{5_000, 50_000, 100_000} {
			b.Run(fmt.Sprintf("%s/rate=%d", k.name, rate), func(b *testing.B) {
				benchDurable(b, openBench(b, k.open), rate)
			})
		}
	}
}

func benchDurable(b *testing.B, s *ledger.Shares, rate int) {
	b.Helper()
	const committers = 2
	list := make([]*committer, committers)
	for i := range list {
		n := b.N / committers
		if i == 0 {
			n += b.N % committers
		}
		list[i] = newCommitter(i, n, time.Second*committers/time.Duration(rate))
	}
	stop := slices1s(b, s)
	b.ReportAllocs()
	b.ResetTimer()
	before, began := cpuTime(b), time.Now()
	var wg sync.WaitGroup
	for _, c := range list {
		wg.Go(func() { c.run(b, s, began) })
	}
	wg.Wait()
	b.StopTimer()
	used, commits := cpuTime(b)-before, 0
	stop()
	var waits []time.Duration
	for _, c := range list {
		waits, commits = append(waits, c.waits...), commits+c.commits
	}
	slices.Sort(waits)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "shares/s")
	b.ReportMetric(float64(waits[len(waits)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-us/share")
	b.ReportMetric(float64(used.Microseconds())/float64(commits), "cpu-us/call")
}

// committer offers shares as they arrive, one every so often.
type committer struct {
	every   time.Duration
	shares  int
	workers []pool.WorkerID
	credits []pool.Credit // scratch
	waits   []time.Duration
	commits int
}

func newCommitter(number, shares int, every time.Duration) *committer {
	c := &committer{every: every, shares: shares, waits: make([]time.Duration, 0, shares)}
	for w := range 500 {
		c.workers = append(c.workers, pool.WorkerID(fmt.Sprintf("alice.c%dw%d", number, w)))
	}
	return c
}

func (c *committer) run(b *testing.B, s *ledger.Shares, began time.Time) {
	b.Helper()
	const gather = 5 * time.Millisecond // as stratum.Config.Gather by default
	arrival := func(i int) time.Time { return began.Add(time.Duration(i) * c.every) }
	for done := 0; done < c.shares; {
		time.Sleep(time.Until(arrival(done)))
		time.Sleep(gather - time.Duration(time.Now().UnixNano()%int64(gather)))
		there := min(c.shares, int(time.Since(began)/c.every)+1)
		if err := s.Credit(b.Context(), c.sum(done, there)); err != nil {
			b.Error(err)
			return
		}
		c.commits++
		for now := time.Now(); done < there; done++ {
			c.waits = append(c.waits, now.Sub(arrival(done)))
		}
	}
}

// sum is the credits of a range of shares.
func (c *committer) sum(from, to int) []pool.Credit {
	c.credits = c.credits[:0]
	for i := from; i < to; i++ {
		if n := i - from; n >= len(c.workers) {
			c.credits[n%len(c.workers)].Shares++
			c.credits[n%len(c.workers)].Work += 1 << 40
			continue
		}
		worker := c.workers[i%len(c.workers)]
		c.credits = append(c.credits, pool.Credit{Worker: worker, Shares: 1, Work: 1 << 40})
	}
	return c.credits
}

// cpuTime is what this process has used, in the kernel too.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
