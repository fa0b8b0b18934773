package node

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/pool"
)

// Waiting times of a watch after an error.
const (
	firstWatch   = 100 * time.Millisecond
	longestWatch = 2 * time.Second
)

// WatchStats counts what was published.
type WatchStats struct {
	Rounds   uint64
	Partials uint64 // of them without transactions
	Height   int32  // of the block being mined
}

// Watch turns a node's templates into rounds. While the node gives none, the
// last round stays: miners keep their connection and their work.
type Watch struct {
	// immutable after NewWatch
	node      pool.Node
	assembler *pool.Assembler
	feed      *pool.Feed
	log       *slog.Logger

	rounds, partials atomic.Uint64
	height           atomic.Int32

	mu    sync.Mutex
	state State // guarded by mu
}

// NewWatch returns a watch that publishes to feed when Run is called.
func NewWatch(n pool.Node, a *pool.Assembler, feed *pool.Feed, log *slog.Logger) *Watch {
	return &Watch{node: n, assembler: a, feed: feed, log: log}
}

// State says for people whether there is work, and why not.
func (w *Watch) State() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// Stats is a copy of the counters.
func (w *Watch) Stats() WatchStats {
	return WatchStats{Rounds: w.rounds.Load(), Partials: w.partials.Load(), Height: w.height.Load()}
}

// Run publishes a round for each template until ctx ends; then it returns nil.
func (w *Watch) Run(ctx context.Context) error {
	var last *pool.Template
	wait := firstWatch
	for ctx.Err() == nil {
		t, err := w.node.Next(ctx, last)
		if err == nil {
			last = t
			err = w.publish(t)
		}
		switch {
		case ctx.Err() != nil:
			continue
		case err == nil:
			w.enter(State{Phase: Ready})
			wait = firstWatch
			continue
		}
		w.enter(asNotReady("", err).state)
		pause(ctx, wait)
		wait = min(2*wait, longestWatch)
	}
	return nil
}

func (w *Watch) publish(t *pool.Template) error {
	before := w.feed.Current()
	round, err := w.assembler.Advance(before, t)
	if err != nil {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	if round == before {
		return nil // nothing that miners do not have already
	}
	w.feed.Publish(round)
	w.rounds.Add(1)
	if t.Partial {
		w.partials.Add(1)
	}
	w.height.Store(t.Height)
	return nil
}

// enter records the state and logs it when it has changed.
func (w *Watch) enter(s State) {
	w.mu.Lock()
	old := w.state
	w.state = s
	w.mu.Unlock()
	switch {
	case s == old:
	case s.Phase == Ready:
		w.log.Info("node gives templates", slog.String("was", old.String()))
	default:
		w.log.Warn("node gives no templates, miners keep their work", slog.String("state", s.String()))
	}
}
