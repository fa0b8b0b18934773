package noise

import (
	"context"
	"sync/atomic"
	"time"
)

// Rhythm of refilling. A key costs 0.1 to 0.2 ms.
const (
	refillKeys = 16                     // between two waits
	calmShare  = 2                      // while nobody takes keys, refilling uses a core's time over this
	busyShare  = 20                     // ... and while somebody does
	calmAfter  = 100 * time.Millisecond // without a key taken
)

// Stock holds ephemeral keys made ahead, so that a storm of reconnects meets a
// responder that has a third of its work behind it. Each key leaves the stock once.
// An empty stock is no fault: the handshake makes its key itself.
type Stock struct {
	keys  chan keypair  // bounded; Run blocks when full, take does not block when empty
	taken atomic.Uint64 // keys asked for, there or not
}

// NewStock makes an empty stock for at most size keys (about 110 bytes each).
func NewStock(size int) *Stock {
	return &Stock{keys: make(chan keypair, max(size, 1))}
}

// Run keeps the stock full until ctx ends, and returns nil then. It makes keys in half of a core's time
// while no handshake wants one, and in a twentieth during a storm: what it took then from the cores
// would be missing to the handshakes and to those who mine.
func (s *Stock) Run(ctx context.Context) error {
	var seen uint64
	var last time.Time
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return nil
		}
		began := time.Now()
		for range refillKeys {
			k, err := newKeypair()
			if err != nil {
				return err
			}
			spent := time.Since(began)
			select {
			case s.keys <- k:
				continue
			default:
			}
			select { // full
			case s.keys <- k:
				began = time.Now().Add(-spent) // waiting is no work
			case <-ctx.Done():
				return nil
			}
		}
		now := time.Now()
		if n := s.taken.Load(); n != seen {
			seen, last = n, now
		}
		share := calmShare
		if now.Sub(last) < calmAfter {
			share = busyShare
		}
		pause.Reset(time.Duration(share-1) * now.Sub(began))
	}
}

// Len is how many keys are ready.
func (s *Stock) Len() int { return len(s.keys) }

func (s *Stock) take() (keypair, bool) {
	s.taken.Add(1)
	select {
	case k := <-s.keys:
		return k, true
	default:
		return keypair{}, false
	}
}
