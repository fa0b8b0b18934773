package stratum

import (
	"runtime"
	"sync"
	"time"
)

// A newcomer is a session that lives on what everybody is given, not on shares that were accepted. What one
// may send at once is no burden; what a thousand may send at once is more than a machine can do, and
// those who mine would wait behind it. So all newcomers together have one budget for what each sends
// beyond a first few frames. A device that comes back needs three, and a share frees it; what the budget
// is for are the bursts of many at a time, whether they come from a hostile crowd or a broken firmware.
const (
	newcomerFree        = 32     // frames of each that are free, at once
	newcomerFreeRate    = 2.0    // ... and a second: reports of a device whose power is leased
	newcomerFreeChannel = 0.1    // ... and a second for each channel
	newcomerRate        = 2500.0 // frames a second of all others, for each core: a tenth of its time
	newcomerBurst       = 1.0    // seconds of it at once
	newcomerBatch       = 8      // frames paid for at a time: a wake costs as much as several
	newcomerOpen        = 2      // frames that a request for a channel counts for
)

// A reader that has to wait does so seldom and long: what has come meanwhile is then handled in a row.
const (
	pauseLeast = 250 * time.Millisecond
	pauseMost  = 10 * time.Second // within which a session notices that it is over
)

// newcomers is what all of them together have spent. Only those who flood meet here.
type newcomers struct {
	mu     sync.Mutex
	budget bucket // guarded by mu
}

// spend pays for frames of one session and says how long it has to wait.
func (a *newcomers) spend(frames float64, now time.Time) time.Duration {
	rate := newcomerRate * float64(runtime.GOMAXPROCS(0))
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.budget.owe(frames, rate, rate*newcomerBurst, now)
}

// chargeNewcomer accounts for a frame of a session with n channels, and says how long to wait: not at all
// if accepted shares pay for it. Only the reader calls it.
func (s *session) chargeNewcomer(opens bool, n int, now time.Time) time.Duration {
	if s.budget.spent < 0 || opens && s.opens.spent < 0 {
		return 0
	}
	cost := 1.0
	if opens {
		cost = newcomerOpen
	}
	rate := newcomerFreeRate + newcomerFreeChannel*float64(n)
	if s.free.refill(rate, now); s.free.spent+cost <= newcomerFree {
		s.free.spent += cost
		return 0
	}
	if s.paid >= cost {
		s.paid -= cost
		return 0
	}
	s.paid += newcomerBatch - cost
	return s.srv.newcomers.spend(newcomerBatch, now)
}
