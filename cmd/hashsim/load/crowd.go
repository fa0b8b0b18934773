package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/noise"
)

// dialers is how many connections are being opened at one time.
const dialers = 64

// crowd is all connections of a measurement.
type crowd struct {
	address   string
	authority *noise.PublicKey
	kind      pool.Kind // of the channels

	clients []*client
	payload [512]byte    // owned by the gatherer: where frames are opened
	tips    atomic.Int64 // connections that came onto a new tip, with all their channels
	lost    atomic.Int64 // connections that the server ended

	mu     sync.Mutex
	gather *gatherer // guarded by mu: nil before the first connection
}

// gatherer is what reads the connections.
func (k *crowd) gatherer() (g *gatherer, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.gather == nil {
		k.gather, err = newGatherer()
	}
	return k.gather, err
}

// connect adds connections with one channel each, or more.
func (k *crowd) connect(ctx context.Context, n, channels int) error {
	base := len(k.clients)
	clients := make([]*client, n)
	errs := make([]error, dialers)
	var next atomic.Int64
	var wg sync.WaitGroup
	for d := range dialers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && errs[d] == nil; i = int(next.Add(1)) - 1 {
				clients[i], errs[d] = k.dial(ctx, fmt.Sprintf("c%d", base+i), channels)
			}
		})
	}
	wg.Wait()
	for _, c := range clients {
		if c != nil {
			k.clients = append(k.clients, c)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("opening connection %d: %w", len(k.clients)+1, err)
	}
	return nil
}

// cut ends every connection.
func (k *crowd) cut() {
	for _, c := range k.clients {
		if c != nil {
			c.cut()
		}
	}
	k.clients = nil
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.gather != nil {
		k.gather.close()
		k.gather = nil
	}
}

// collect takes what the connections have seen since the last call.
func (k *crowd) collect() tally {
	var sum tally
	for _, c := range k.clients {
		c.mu.Lock()
		t := c.tally
		c.tally = tally{}
		c.mu.Unlock()
		sum.add(&t)
	}
	return sum
}

// levels is how many levels of the merkle tree a share of an extended channel costs, at least.
func (k *crowd) levels() int {
	least := math.MaxInt
	for _, c := range k.clients {
		c.mu.Lock()
		least = min(least, c.levels)
		c.mu.Unlock()
	}
	return least
}

// offered is an open-loop stream of shares.
type offered struct {
	rate    float64 // shares a second over all connections
	settle  time.Duration
	measure time.Duration
}

// offer sends shares round the connections at a fixed rate, whatever the server does, and returns how late
// it was itself at most. Shares of the first part do not count.
func (k *crowd) offer(
	ctx context.Context, o offered, settled func() error,
) (late []time.Duration, err error) {
	begin := time.Now()
	total := int(o.rate * (o.settle + o.measure).Seconds())
	counted := false
	for n := range total {
		due := begin.Add(time.Duration(float64(n) / o.rate * float64(time.Second)))
		now := time.Now()
		if wait := due.Sub(now); wait > 0 {
			if wait > 100*time.Microsecond {
				if err := pause(ctx, wait); err != nil {
					return late, err
				}
			}
		} else if counted && n%16 == 0 {
			late = append(late, -wait)
		}
		if !counted && now.Sub(begin) >= o.settle {
			counted = true
			if err := settled(); err != nil {
				return late, err
			}
		}
		// The number decides what is bad; connections take turns in it too.
		if err := k.clients[n%len(k.clients)].submit(n+n/len(k.clients), counted); err != nil {
			return late, fmt.Errorf("sending a share: %w", err)
		}
	}
	return late, nil
}
