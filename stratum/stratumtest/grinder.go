package stratumtest

import (
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"hash"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// Pace of a Grinder.
const (
	grindTick  = 20 * time.Millisecond
	grindDebt  = 250 * time.Millisecond // work missed beyond this is lost: a starved miner is a slower one
	grindSlice = 1 << 16                // hashes for one miner before the next one has its turn
)

// Grinder hashes for many miners, each at its own rate. Its zero rate costs
// nothing but a look every 20 ms.
type Grinder struct {
	lanes []lane // immutable after NewGrinder
	next  atomic.Uint32
}

// lane is the set of miners that one goroutine hashes for.
type lane struct {
	mu      sync.Mutex
	hashers map[*hasher]struct{} // guarded by mu
}

// NewGrinder returns a grinder that uses the given number of goroutines while it runs, at least one.
func NewGrinder(goroutines int) *Grinder {
	g := &Grinder{lanes: make([]lane, max(1, goroutines))}
	for i := range g.lanes {
		g.lanes[i].hashers = map[*hasher]struct{}{}
	}
	return g
}

// Run hashes until the context ends.
func (g *Grinder) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for i := range g.lanes {
		wg.Go(func() { g.lanes[i].run(ctx) }) // ends with ctx
	}
	wg.Wait()
	return ctx.Err()
}

// add takes a hasher in and returns how to take it out again.
func (g *Grinder) add(h *hasher) (remove func()) {
	l := &g.lanes[int(g.next.Add(1))%len(g.lanes)]
	l.mu.Lock()
	l.hashers[h] = struct{}{}
	l.mu.Unlock()
	return func() {
		l.mu.Lock()
		delete(l.hashers, h)
		l.mu.Unlock()
	}
}

func (l *lane) run(ctx context.Context) {
	tick := time.NewTicker(grindTick)
	defer tick.Stop()
	e := newEngine()
	last := time.Now()
	var batch []*hasher
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		passed := min(now.Sub(last), grindDebt)
		last = now
		l.mu.Lock()
		batch = batch[:0]
		for h := range l.hashers {
			batch = append(batch, h)
		}
		l.mu.Unlock()
		for _, h := range batch {
			h.turn(e, passed, now)
		}
		clear(batch)
	}
}

// hasher is one miner's place in a grinder.
type hasher struct {
	found func(w *work, s solution) // called by the grinder's goroutine; must not block for long

	rate atomic.Uint64 // bits of a float64, hashes a second
	work atomic.Pointer[work]
	done atomic.Uint64 // hashes since the start

	// owned by the grinder's goroutine
	at      *work
	nonce   uint32
	left    uint64 // nonces left at this header time
	seconds uint32 // header time above the work's minimum
	credit  float64
}

// solution is a header that meets the target of its work.
type solution struct {
	nonce, time uint32
	block       bool // it meets the network's target as well
}

func (h *hasher) setRate(r unit.Hashrate) {
	if !(r > 0) || math.IsInf(float64(r), 0) {
		r = 0
	}
	h.rate.Store(math.Float64bits(float64(r)))
}

func (h *hasher) hashrate() unit.Hashrate { return unit.Hashrate(math.Float64frombits(h.rate.Load())) }

// turn does the hashes that are due after the passed time.
func (h *hasher) turn(e *engine, passed time.Duration, now time.Time) {
	w, rate := h.work.Load(), float64(h.hashrate())
	if w == nil || rate == 0 {
		h.credit = 0
		return
	}
	h.credit = min(h.credit+rate*passed.Seconds(), grindSlice)
	if w != h.at {
		h.at, h.nonce, h.left, h.seconds = w, w.first, 1<<32, 0
	}
	if s := uint32(max(0, now.Sub(w.since)) / time.Second); s > h.seconds {
		h.seconds, h.left = s, 1<<32 // a new header time is a new search space
	}
	n := min(uint64(h.credit), h.left)
	h.credit -= float64(n)
	h.left -= n
	h.done.Add(n)
	e.load(w, w.minTime+h.seconds)
	for range n {
		if e.hash(h.nonce); w.target.Meets(&e.out) {
			h.found(w, solution{h.nonce, w.minTime + h.seconds, w.network.Meets(&e.out)})
			if h.work.Load() != w {
				return // the rest of this turn would be stale
			}
			e.load(w, w.minTime+h.seconds)
		}
		h.nonce++
	}
}

// engine computes SHA-256d of headers from the state after their first 64 bytes, without
// allocating. It belongs to one goroutine.
type engine struct {
	digest hash.Hash
	state  encoding.BinaryUnmarshaler
	mid    []byte
	tail   [headerSize - midSize]byte
	out    [32]byte
}

func newEngine() *engine {
	d := sha256.New()
	s, _ := d.(encoding.BinaryUnmarshaler) // documented by crypto/sha256
	return &engine{digest: d, state: s}
}

func (e *engine) load(w *work, headerTime uint32) {
	e.mid = w.mid
	copy(e.tail[:], w.header[midSize:])
	binary.LittleEndian.PutUint32(e.tail[timeAt-midSize:], headerTime)
}

// hash leaves the header's hash for a nonce in e.out.
func (e *engine) hash(nonce uint32) {
	binary.LittleEndian.PutUint32(e.tail[nonceAt-midSize:], nonce)
	_ = e.state.UnmarshalBinary(e.mid) // made by the same package: cannot fail
	e.digest.Write(e.tail[:])
	e.out = sha256.Sum256(e.digest.Sum(e.out[:0]))
}
