package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/pool"
)

// Bounds of a relay.
const (
	maxPending = 128              // found blocks without an outcome
	maxBehind  = 2                // blocks that a node may be behind another and still give templates
	patience   = 10 * time.Minute // for nodes that are away while others have refused a block
	askAgain   = 250 * time.Millisecond
)

// Blocks is where the fate of found blocks is journaled. Both calls may be repeated for the same
// block, after a restart for example; what they say does not change but for an outcome
// that had not been durable.
type Blocks interface {
	Found(ctx context.Context, b *pool.Block) error
	Outcome(ctx context.Context, hash chainhash.Hash, text string) error
	// Accepted are the blocks that were accepted, also those orphaned since: what can still change.
	Accepted() []*pool.Block
}

// RelayStats counts found blocks.
type RelayStats struct {
	Found, Accepted, Refused uint64
	Pending                  int // without an outcome
	Resent                   uint64
}

// NodeState is one node's name and state.
type NodeState struct {
	Name  string
	State State
}

// Relay joins several nodes. Templates come from the first one that is ready. Found blocks go to
// all of them at once, and to the spool at the same time; they are sent again until
// one node has them or all have refused.
type Relay struct {
	// immutable after NewRelay
	nodes  []Source
	spool  *spool
	blocks Blocks
	log    *slog.Logger
	due    []chan struct{} // one per node: wakes its sender
	books  chan struct{}   // wakes the bookkeeper

	board board

	// guarded by mu
	mu     sync.Mutex
	slots  []slot // one per node
	found  map[chainhash.Hash]*found
	serial uint64
	// reviewed is what was last journaled of an accepted block.
	reviewed map[chainhash.Hash]string
	stats    RelayStats
}

// slot is the newest that a node said.
type slot struct {
	template *pool.Template
	err      error
}

// NewRelay opens the spool in a directory of its own and takes up the blocks
// that an earlier run left there. Nodes are in the order of preference.
func NewRelay(dir string, blocks Blocks, log *slog.Logger, nodes ...Source) (*Relay, error) {
	if len(nodes) == 0 {
		return nil, errors.New("nodes: at least one is needed")
	}
	s, err := openSpool(dir)
	if err != nil {
		return nil, err
	}
	r := &Relay{
		nodes: nodes, spool: s, blocks: blocks, log: log,
		due: make([]chan struct{}, len(nodes)), books: make(chan struct{}, 1),
		slots: make([]slot, len(nodes)), found: make(map[chainhash.Hash]*found),
		reviewed: make(map[chainhash.Hash]string),
	}
	for i := range r.due {
		r.due[i] = make(chan struct{}, 1)
	}
	left, faults := s.load()
	for _, err := range faults {
		log.Error("a spooled block was put aside", slog.Any("error", err))
	}
	for _, b := range left {
		log.Info("sending a spooled block again",
			slog.String("block", b.Hash.String()), slog.Int("height", int(b.Height)))
		r.add(b).spooled = true
	}
	return r, nil
}

// Next implements pool.Node. It waits for Run.
func (r *Relay) Next(ctx context.Context, after *pool.Template) (*pool.Template, error) {
	return r.board.next(ctx, after)
}

// Stats is a copy of the counters.
func (r *Relay) Stats() RelayStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	for _, f := range r.found {
		if f.outcome == "" {
			s.Pending++
		}
	}
	return s
}

// States is how each node is doing, in the order of preference.
func (r *Relay) States() []NodeState {
	states := make([]NodeState, len(r.nodes))
	for i, n := range r.nodes {
		states[i] = NodeState{n.Name(), n.State()}
	}
	return states
}

// Run keeps up with all nodes, sends blocks and journals their outcomes until ctx ends; then it
// returns nil. Blocks without an outcome stay in the spool.
func (r *Relay) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, len(r.nodes))
	for i, n := range r.nodes {
		wg.Go(func() {
			if errs[i] = n.Run(ctx); errs[i] != nil {
				cancel()
			}
		})
		wg.Go(func() { r.follow(ctx, i) })
		wg.Go(func() { r.sendAll(ctx, i) })
	}
	wg.Go(func() { r.keepBooks(ctx) })
	wg.Go(func() { r.review(ctx) })
	wg.Wait()
	return errors.Join(errs...)
}

// follow takes over what node i says until ctx ends.
func (r *Relay) follow(ctx context.Context, i int) {
	var after *pool.Template
	for ctx.Err() == nil {
		t, err := r.nodes[i].Next(ctx, after)
		if ctx.Err() != nil {
			return
		}
		after = t
		if r.update(i, slot{t, err}) {
			r.retryNow(i)
		}
		if err != nil {
			pause(ctx, askAgain)
		}
	}
}

// update records what node i said, publishes what follows from it and
// reports whether the node has become ready.
func (r *Relay) update(i int, s slot) (back bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	back = r.slots[i].template == nil && s.template != nil
	r.slots[i] = s
	t, err := r.chooseLocked()
	now, was := r.board.get()
	if t != now || err != nil && (was == nil || was.Error() != err.Error()) {
		if t != nil || err != nil {
			r.board.set(t, err)
		}
	}
	return back
}

// chooseLocked is the template of the first node that is ready and not left behind.
func (r *Relay) chooseLocked() (*pool.Template, error) {
	best, unknown := int32(0), false
	for _, s := range r.slots {
		if s.template != nil {
			best = max(best, s.template.Height)
		}
		unknown = unknown || s.template == nil && s.err == nil
	}
	for _, s := range r.slots {
		if s.template != nil && s.template.Height >= best-maxBehind {
			return s.template, nil
		}
	}
	if unknown {
		return nil, nil
	}
	if len(r.slots) == 1 {
		return nil, r.slots[0].err
	}
	reasons := make([]string, len(r.slots))
	for i, s := range r.slots {
		reasons[i] = s.err.Error()
	}
	first := asNotReady(r.nodes[0].Name(), r.slots[0].err)
	return nil, &notReady{"relay", State{first.state.Phase, strings.Join(reasons, "; ")}, first}
}

// pause waits, or less if ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// poke wakes whoever waits on c; a wake that is pending is enough.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func checkBlock(b *pool.Block) error {
	h, err := parseHeader(b.Raw, b.Height)
	if err != nil {
		return err
	}
	if h.hash != b.Hash || h.prev != b.Prev || b.Height < 1 || len(b.Raw) > maxBlock {
		return fmt.Errorf("block %v does not agree with its own header", b.Hash)
	}
	return nil
}
