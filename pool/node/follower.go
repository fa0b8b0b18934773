package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/pool"
)

// Waiting times of a follower.
const (
	firstRetry   = 250 * time.Millisecond // after a connection was lost
	longestRetry = 5 * time.Second
	notReadyWait = time.Second            // until a node that is not ready is asked again
	settleWait   = 100 * time.Millisecond // when the node's answers disagree: it is in between
)

// Stats counts what one node did.
type Stats struct {
	Connections  uint64 // opened
	Templates    uint64 // full ones, as the node gave them
	Partials     uint64 // made from headers
	Announced    uint64 // blocks heard of
	Submissions  uint64 // blocks sent
	Height       int32  // of the newest block
	TemplateTime time.Duration
}

// follower keeps up with one node: it connects, follows the chain, publishes
// templates and sends blocks. Btcd and Core are followers with different links.
type follower struct {
	// immutable after construction
	cfg   Config
	open  func(context.Context, Config) (link, error)
	check func(context.Context, link, Config) error
	kick  chan struct{} // wakes follow when a block of our own has its verdict

	board board
	count struct {
		connections, templates, partials, announced, submissions atomic.Uint64
		templateTime                                             atomic.Int64
	}

	// guarded by mu
	mu      sync.Mutex
	state   State
	link    link           // nil while there is no connection
	chain   *chain         // nil while there is no connection
	full    *pool.Template // newest full template; nil while the node is not ready
	pending *header        // our own block on top of the chain that the node has not confirmed
}

// Name is the node's name for people.
func (f *follower) Name() string { return f.cfg.Name }

// State is how the node is doing now.
func (f *follower) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

// Stats is a copy of the counters.
func (f *follower) Stats() Stats {
	s := Stats{
		Connections: f.count.connections.Load(), Templates: f.count.templates.Load(),
		Partials: f.count.partials.Load(), Announced: f.count.announced.Load(),
		Submissions:  f.count.submissions.Load(),
		TemplateTime: time.Duration(f.count.templateTime.Load()),
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.chain != nil {
		s.Height = f.chain.tip().height
	}
	return s
}

// Next implements pool.Node. It waits for Run.
func (f *follower) Next(ctx context.Context, after *pool.Template) (*pool.Template, error) {
	return f.board.next(ctx, after)
}

// Run follows the node until the context ends; then it returns nil.
// A node that is away or wrong is tried again.
func (f *follower) Run(ctx context.Context) error {
	retry := firstRetry
	for ctx.Err() == nil {
		if f.attempt(ctx) {
			retry = firstRetry
		}
		pause(ctx, retry)
		retry = min(2*retry, longestRetry)
	}
	f.unready(&notReady{f.cfg.Name, State{Stopped, ""}, ctx.Err()})
	return nil
}

// attempt has one session and records why it ended. It reports whether the node was
// there a moment ago, so that trying again soon makes sense.
func (f *follower) attempt(ctx context.Context) (again bool) {
	connections := f.count.connections.Load()
	err := f.session(ctx)
	if ctx.Err() == nil {
		f.unready(asNotReady(f.cfg.Name, err))
	}
	return f.count.connections.Load() != connections && phaseOf(err) == Away
}

// unready records why the node gives no template.
func (f *follower) unready(why *notReady) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.board.get(); f.state == why.state && err != nil {
		return
	}
	f.state, f.full = why.state, nil
	f.board.set(nil, why)
}

// session is the life of one connection. It returns why that ended.
func (f *follower) session(ctx context.Context) error {
	l, err := f.open(ctx, f.cfg)
	if err != nil {
		return err
	}
	defer l.close()
	if err := f.bounded(ctx, func(ctx context.Context) error { return f.check(ctx, l, f.cfg) }); err != nil {
		return err
	}
	f.count.connections.Add(1)
	defer f.attach(nil, nil)
	if err := f.reload(ctx, l); err != nil {
		return err
	}
	return f.follow(ctx, l)
}

// attach sets the connection and what it knows of the chain.
func (f *follower) attach(l link, c *chain) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.link, f.chain, f.pending = l, c, nil
}

// answer is what a node said when it was asked for a template.
type answer struct {
	template *pool.Template
	err      error
}

// follow asks for a template whenever there may be a better one. It hears of blocks all the while: a node
// takes a third of a second to build a full template, and no tip waits behind that.
func (f *follower) follow(ctx context.Context, l link) error {
	poll := time.NewTicker(f.cfg.Poll)
	defer poll.Stop()
	for {
		if err := f.round(ctx, l, poll.C); err != nil {
			return err
		}
	}
}

// round asks for one template. It returns when another should be asked for, whether this one came or not.
func (f *follower) round(ctx context.Context, l link, poll <-chan time.Time) error {
	asked, cancel := context.WithCancel(ctx)
	answers := make(chan answer, 1) // so that asking ends though nobody wants to know any more
	var asking sync.WaitGroup
	asking.Go(func() { // ends with its call
		t, err := f.ask(asked, l)
		answers <- answer{t, err}
	})
	defer asking.Wait()
	defer cancel()
	return f.await(ctx, l, poll, answers)
}

// await returns when a template should be asked for: after a new tip, when a block of our own has its
// verdict, or some time after the answer.
func (f *follower) await(
	ctx context.Context, l link, poll <-chan time.Time, answers <-chan answer,
) error {
	again := time.NewTimer(time.Hour)
	again.Stop() // until there is an answer
	defer again.Stop()
	for {
		var moved bool
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.done():
			_, err = l.call(ctx, "uptime") // says why
			return err
		case a := <-answers:
			var wait time.Duration
			wait, err = f.take(ctx, l, a)
			again.Reset(wait)
		case <-again.C:
			return nil
		case <-f.kick:
			return nil
		case <-l.wake():
			moved, err = f.hear(ctx, l)
		case <-poll:
			moved, err = f.look(ctx, l)
		}
		if err != nil || moved {
			return err
		}
	}
}

// hear takes announced blocks.
func (f *follower) hear(ctx context.Context, l link) (moved bool, err error) {
	blocks, lost := l.take()
	f.count.announced.Add(uint64(len(blocks)))
	for i, h := range blocks {
		last := i == len(blocks)-1
		if !f.advance(h, last && !lost) {
			lost = true
		}
	}
	if lost {
		return true, f.reload(ctx, l)
	}
	return len(blocks) > 0, nil
}

// look asks for the newest block, in case nobody announces it.
func (f *follower) look(ctx context.Context, l link) (moved bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	best, err := askHash(ctx, l, "getbestblockhash")
	if err != nil || f.expected(best) {
		return false, err
	}
	h, err := askHeader(ctx, l, best, 0)
	if err != nil {
		return false, err
	}
	f.count.announced.Add(1)
	if f.advance(h, true) {
		return true, nil
	}
	return true, f.reload(ctx, l)
}

// expected reports whether best is no news: the tip, or what is under a block of
// our own that the node has not taken yet.
func (f *follower) expected(best chainhash.Hash) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return best == f.chain.tip().hash || f.pending != nil && best == f.pending.prev
}

// advance moves the tip to h and publishes what is known of the block after it. It reports
// false if h builds on a block that is not known.
func (f *follower) advance(h header, publish bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.chain.knows(h.hash) { // our own, or news of an older block that come late
		if h.hash == f.chain.tip().hash {
			f.pending = nil
		}
		return true
	}
	f.pending = nil
	if !f.chain.extend(h) {
		return false
	}
	if publish {
		f.publishPartialLocked()
	}
	return true
}

// publishPartialLocked publishes a template without transactions for the block
// after the tip. Where it cannot be known exactly, the node's own must be waited for.
func (f *follower) publishPartialLocked() {
	tip, ok := f.chain.next()
	if !ok || f.full == nil {
		return
	}
	f.count.partials.Add(1)
	f.board.set(&pool.Template{
		Tip:     tip,
		Version: f.full.Version,
		Time:    max(uint32(time.Now().Unix()), tip.MinTime),
		Value:   subsidy(f.cfg.Network, tip.Height),
		Partial: true,
		Next:    pool.NextBlock{Version: f.full.Version, Value: subsidy(f.cfg.Network, tip.Height+1)},
	}, nil)
}

// reload fetches the end of the chain anew.
func (f *follower) reload(ctx context.Context, l link) error {
	return f.bounded(ctx, func(ctx context.Context) error {
		c, err := loadChain(ctx, l, f.cfg.Network)
		if err != nil {
			return fmt.Errorf("reading the chain: %w", err)
		}
		f.attach(l, c)
		return nil
	})
}

// ask asks for a template and reads it.
func (f *follower) ask(ctx context.Context, l link) (t *pool.Template, err error) {
	err = f.bounded(ctx, func(ctx context.Context) error {
		text, err := l.call(ctx, "getblocktemplate", templateRequest(f.cfg.Network))
		if err != nil {
			return err
		}
		started := time.Now()
		t, err = decodeTemplate(text, f.cfg.Network)
		f.count.templateTime.Store(int64(time.Since(started)))
		return err
	})
	return t, err
}

// take publishes what the node answered. It returns how long to wait for the next template if nothing
// happens.
func (f *follower) take(ctx context.Context, l link, a answer) (time.Duration, error) {
	if codeOf(a.err) != 0 || errors.Is(a.err, errBroken) {
		f.unready(asNotReady(f.cfg.Name, a.err)) // the connection is good: keep listening
		return notReadyWait, nil
	}
	if a.err != nil {
		return 0, a.err
	}
	f.count.templates.Add(1)
	if f.accept(a.template) {
		return f.cfg.Refresh, nil
	}
	return settleWait, f.resync(ctx, l)
}

// accept publishes a full template if it is for our tip and better than what we have.
func (f *follower) accept(t *pool.Template) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if tip := f.chain.tip(); t.Prev != tip.hash || t.Height != tip.height+1 {
		return false
	}
	current, _ := f.board.get()
	f.state = State{Phase: Ready}
	f.full = t
	if current == nil || current.Partial || better(t, current) {
		f.board.set(t, nil)
	}
	return true
}

// better reports whether miners should change to t: it is for another block, or pays more.
func better(t, current *pool.Template) bool {
	return t.Tip != current.Tip || t.Version != current.Version || t.Value > current.Value
}

// resync reads the chain again after a template for another tip. While a block of our own waits
// for its verdict that is no surprise, and the verdict wakes us.
func (f *follower) resync(ctx context.Context, l link) error {
	f.mu.Lock()
	waiting := f.pending != nil
	f.mu.Unlock()
	if waiting {
		return nil
	}
	return f.reload(ctx, l)
}

// bounded calls fn with the time for one answer. Running out of it breaks the connection, not the follower.
func (f *follower) bounded(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	return fn(ctx)
}
