package stratum

import (
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// Ensure that what many newcomers send at once is bounded over all of them, and that neither one who
// mines nor one who just came back waits with them.
func TestServer_BoundsNewcomersTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a newcomers
		now := time.Now()
		rate := newcomerRate * float64(runtime.GOMAXPROCS(0))
		frames := 0
		for a.spend(newcomerBatch, now) == 0 {
			frames += newcomerBatch
		}
		if most := int(rate * newcomerBurst); frames > most || frames < most-newcomerBatch {
			t.Errorf("%d frames at once, want %d", frames, most)
		}
		const crowd = 500
		for range crowd {
			a.spend(newcomerBatch, now)
		}
		owed := float64((crowd + 1) * newcomerBatch)
		want := time.Duration(owed / rate * float64(time.Second))
		if wait := a.spend(0, now); wait < want-want/10 || wait > want+want/10 {
			t.Errorf("behind %d others one waits %v, want %v", crowd, wait, want)
		}
	})
}

// Ensure that a session's first frames cost nothing that others pay for too, that those beyond do, and
// that accepted shares free it again.
func TestSession_IsANewcomerUntilItMines(t *testing.T) {
	b := newBench(t, nil)
	s, _ := b.tcpSession()
	defer s.close(errPeerGone)
	now := time.Now()
	spent := func() float64 {
		s.srv.newcomers.mu.Lock()
		defer s.srv.newcomers.mu.Unlock()
		return s.srv.newcomers.budget.spent
	}
	mined := sv2.Header{Extension: sv2.ChannelBit, Type: sv2.TypeSubmitSharesStandard}
	for range newcomerFree {
		s.charge(mined, true, now)
	}
	if got := spent(); got != 0 {
		t.Fatalf("%d frames cost others %v", newcomerFree, got)
	}
	for range 2 * newcomerBatch {
		s.charge(mined, true, now)
	}
	if got := spent(); got != 2*newcomerBatch {
		t.Errorf("%d frames more cost %v", 2*newcomerBatch, got)
	}
	for range 200 {
		s.charge(mined, false, now)
	}
	for range 100 {
		s.charge(mined, true, now)
	}
	if got := spent(); got != 2*newcomerBatch {
		t.Errorf("refused shares that accepted ones pay for cost %v", got-2*newcomerBatch)
	}
}

// Ensure that it is known how many handshakes wait, whoever they are from.
func TestTurns_CountTheirLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1)
		over := make(chan struct{})
		turns.take(netip.Prefix{}, over)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if turns.take(netip.Prefix{}, over) {
					turns.give()
				}
			})
		}
		synctest.Wait()
		if n := turns.line(); n != 3 {
			t.Errorf("%d wait, want 3", n)
		}
		turns.give()
		wg.Wait()
		if n := turns.line(); n != 0 {
			t.Errorf("%d wait after all had a turn", n)
		}
	})
}
