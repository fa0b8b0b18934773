package sim

import (
	"runtime"
	"syscall"
	"testing"
	"time"
)

// BenchmarkSite measures what the demonstration's fleet costs: 200 machines at
// 5 kH/s for each 200 TH/s, with the server that they mine at in the same process.
func BenchmarkSite(b *testing.B) {
	p := newTestPool(b)
	endpoint, stop := p.serve(b, 1)
	defer stop()
	s := runSim(b, Config{Plan: DemoSite(200), Pool: endpoint})
	eventually(b, "everybody mining", func() bool { return s.Stats().Mining == 200 })
	for range b.N {
		before, hashes, start := cpuTime(b), s.Stats().Hashes, time.Now()
		time.Sleep(5 * time.Second)
		wall := time.Since(start).Seconds()
		b.ReportMetric(100*(cpuTime(b)-before).Seconds()/wall, "%core")
		b.ReportMetric(float64(s.Stats().Hashes-hashes)/wall/1e3, "kH/s")
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapAlloc+m.StackInuse)/200/1024, "KiB/miner")
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
