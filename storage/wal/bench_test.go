package wal_test

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/bolt"
	"github.com/hashlease/hashlease/storage/wal"
)

// journals are the implementations side by side.
var journals = []struct {
	name string
	open func(path string) (storage.Journal, error)
}{
	{"bolt", func(p string) (storage.Journal, error) { return bolt.Open(p, bolt.Options{}) }},
	{"wal", func(p string) (storage.Journal, error) { return wal.Open(p, wal.Options{}) }},
}

func openBench(b *testing.B, open func(string) (storage.Journal, error)) storage.Journal {
	b.Helper()
	j, err := open(filepath.Join(b.TempDir(), "journal"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := j.Close(); err != nil {
			b.Error(err)
		}
	})
	return j
}

// BenchmarkJournal_Append measures durable records a second of both implementations: 100 bytes each, one
// record a call.
func BenchmarkJournal_Append(b *testing.B) {
	for _, k := range journals {
		for _, callers := range []int{1, 64, 256} {
			b.Run(fmt.Sprintf("%s/callers=%d", k.name, callers), func(b *testing.B) {
				benchAppend(b, openBench(b, k.open), callers)
			})
		}
	}
}

func benchAppend(b *testing.B, j storage.Journal, callers int) {
	b.Helper()
	record := [][]byte{make([]byte, 100)}
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan error, callers)
	b.ReportAllocs()
	b.ResetTimer()
	for range callers {
		go func() {
			var err error
			for err == nil && left.Add(-1) >= 0 {
				_, err = j.Append(b.Context(), storage.Write{
					Stream: "bench", Expect: storage.Any, Records: record,
				})
			}
			done <- err
		}()
	}
	for range callers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkJournal_Commit measures what one commit costs of both implementations: 1 kB, one after the
// other, and one every 5 ms, when a commit finds the processor asleep. The first line of each pace is
// the pace alone.
func BenchmarkJournal_Commit(b *testing.B) {
	for _, every := range []time.Duration{0, 5 * time.Millisecond} {
		if every > 0 {
			b.Run(fmt.Sprintf("none/every=%v", every), func(b *testing.B) {
				benchCommit(b, every, func() error { return nil })
			})
		}
		for _, k := range journals {
			b.Run(fmt.Sprintf("%s/every=%v", k.name, every), func(b *testing.B) {
				j, record := openBench(b, k.open), [][]byte{make([]byte, 1000)}
				benchCommit(b, every, func() error {
					_, err := j.Append(b.Context(), storage.Write{
						Stream: "bench", Expect: storage.Any, Records: record,
					})
					return err
				})
			})
		}
	}
}

func benchCommit(b *testing.B, every time.Duration, commit func() error) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime(b)
	for range b.N {
		if every > 0 {
			time.Sleep(every)
		}
		if err := commit(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-us/commit")
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
