package load

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/pool"
)

// What the synthetic chain looks like: like mainnet, so that no share is a block by chance.
const (
	chainBits    = 0x17023a04 // about 1.3e14
	easyBits     = 0x207fffff // every second hash is a block: for the measurement of a found block
	chainHeight  = 900_000
	chainVersion = 0x20000000
	chainSubsidy = 3.125e8
	chainTxs     = 3000 // of a full template
	txFee        = 1000
)

// chain is a node whose blocks come on demand. It implements pool.Node.
type chain struct {
	txs []pool.Tx // immutable

	mu     sync.Mutex
	newest *pool.Template // guarded by mu
	wake   chan struct{}  // guarded by mu: closed when newest is replaced
	found  time.Time      // guarded by mu: when the last block of ours came
}

var _ pool.Node = (*chain)(nil)

func newChain() *chain {
	c := &chain{wake: make(chan struct{})}
	for i := range chainTxs {
		raw := binary.LittleEndian.AppendUint64(nil, uint64(i))
		c.txs = append(c.txs, pool.Tx{Raw: raw, ID: chainhash.DoubleHashH(raw), Fee: txFee, Cost: 4 * 250})
	}
	c.set(c.template(chainHeight, chainBits, false))
	return c
}

// template is for a block at this height. A partial one has no transactions, as if made from headers.
func (c *chain) template(height int32, bits uint32, partial bool) *pool.Template {
	now := uint32(time.Now().Unix())
	t := &pool.Template{
		Tip:     pool.Tip{Height: height, Bits: bits, MinTime: now - 3600},
		Version: chainVersion, Value: chainSubsidy, Partial: partial,
		Next: pool.NextBlock{Version: chainVersion, Value: chainSubsidy},
	}
	binary.BigEndian.PutUint32(t.Prev[:], uint32(height))
	t.Prev[31] = 1
	if !partial {
		t.Time, t.Txs = now, c.txs
		t.Value += int64(len(c.txs)) * txFee
	}
	return t
}

func (c *chain) set(t *pool.Template) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.newest = t
	close(c.wake)
	c.wake = make(chan struct{})
}

// advance puts a block on top, known by its header first, and returns when that was.
func (c *chain) advance(bits uint32) time.Time {
	c.mu.Lock()
	height := c.newest.Height + 1
	c.mu.Unlock()
	t := c.template(height, bits, true)
	at := time.Now()
	c.set(t)
	return at
}

// fill is the full template for the newest block, which a node needs longer for.
func (c *chain) fill() {
	c.mu.Lock()
	height, bits := c.newest.Height, c.newest.Bits
	c.mu.Unlock()
	c.set(c.template(height, bits, false))
}

// fillWith is fill with other transactions.
func (c *chain) fillWith(txs []pool.Tx) {
	c.mu.Lock()
	height, bits := c.newest.Height, c.newest.Bits
	c.mu.Unlock()
	t := c.template(height, bits, false)
	t.Value += int64(len(txs)-len(t.Txs)) * txFee
	t.Txs = txs
	c.set(t)
}

// Next implements pool.Node.
func (c *chain) Next(ctx context.Context, after *pool.Template) (*pool.Template, error) {
	for {
		c.mu.Lock()
		t, wake := c.newest, c.wake
		c.mu.Unlock()
		if t != after {
			return t, nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// SubmitBlock implements pool.Node and stratum.Submitter: the block is the tip at once.
func (c *chain) SubmitBlock(_ context.Context, b *pool.Block) error {
	at := time.Now()
	c.set(c.template(b.Height+1, chainBits, true))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.found = at
	return nil
}

// foundAt is when the last block of ours came, zero if none did.
func (c *chain) foundAt() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.found
}
