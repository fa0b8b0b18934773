package stratum

import (
	"math"
	"sync/atomic"
	"time"
)

// latencyBuckets cover 1 µs to about 16 minutes in steps of 9 %.
const (
	latencyBuckets = 240
	latencyStep    = 1.09
)

// histogram counts durations in logarithmic buckets. It is safe for concurrent use.
type histogram struct {
	buckets [latencyBuckets]atomic.Uint64
	count   atomic.Uint64
	largest atomic.Int64
}

// Latency is a distribution of durations. Percentiles are exact to 9 %, rounded up.
type Latency struct {
	Count         uint64
	P50, P99, Max time.Duration
}

func (h *histogram) observe(d time.Duration) {
	us := math.Max(1, float64(d)/float64(time.Microsecond))
	i := min(int(math.Log(us)/math.Log(latencyStep)), latencyBuckets-1)
	h.buckets[i].Add(1)
	h.count.Add(1)
	for {
		old := h.largest.Load()
		if int64(d) <= old || h.largest.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

func (h *histogram) latency() Latency {
	l := Latency{Count: h.count.Load(), Max: time.Duration(h.largest.Load())}
	l.P50, l.P99 = h.percentile(l, 0.50), h.percentile(l, 0.99)
	return l
}

func (h *histogram) percentile(l Latency, p float64) time.Duration {
	if l.Count == 0 {
		return 0
	}
	rank := uint64(math.Ceil(p * float64(l.Count)))
	var seen uint64
	for i := range h.buckets {
		if seen += h.buckets[i].Load(); seen >= rank {
			edge := time.Duration(math.Pow(latencyStep, float64(i+1)) * float64(time.Microsecond))
			return min(edge, l.Max)
		}
	}
	return l.Max
}
