package node

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/pool"
)

// maturity is how deep a block must be before nobody looks at it again: its coinbase may be spent then.
const maturity = 100

// reviewLimit bounds one look at all blocks.
const reviewLimit = 30 * time.Second

// review looks at the accepted blocks after each new tip, until ctx ends: a reorganisation may have taken one
// off the best chain, or put it back.
func (r *Relay) review(ctx context.Context) {
	var after *pool.Template
	for ctx.Err() == nil {
		t, err := r.board.next(ctx, after)
		if err != nil {
			pause(ctx, askAgain)
			continue
		}
		if after == nil || t.Prev != after.Prev {
			r.reviewAt(ctx, t.Height)
		}
		after = t
	}
}

// reviewAt asks the node that templates come from. What fails is done again at the next tip.
func (r *Relay) reviewAt(ctx context.Context, height int32) {
	ctx, cancel := context.WithTimeout(ctx, reviewLimit)
	defer cancel()
	w := r.witness()
	for _, b := range r.blocks.Accepted() {
		if w == nil || b.Height+maturity < height {
			continue
		}
		at, err := w.BlockAt(ctx, b.Height)
		if err == nil && at != nil {
			err = r.revise(ctx, b, *at)
		}
		if err != nil && ctx.Err() == nil {
			r.log.Warn("an accepted block could not be looked at again",
				slog.String("block", b.Hash.String()), slog.Any("error", err))
		}
	}
}

// witness is the first node that is ready, nil if there is none.
func (r *Relay) witness() Source {
	for _, n := range r.nodes {
		if n.State().Phase == Ready {
			return n
		}
	}
	return nil
}

// revise journals what became of an accepted block, if that is news.
func (r *Relay) revise(ctx context.Context, b *pool.Block, at chainhash.Hash) error {
	outcome := OutcomeAccepted
	if at != b.Hash {
		outcome = OutcomeOrphaned + fmt.Sprintf("block %v has height %d", at, b.Height)
	}
	r.mu.Lock()
	was, known := r.reviewed[b.Hash]
	r.mu.Unlock()
	if known && was == outcome {
		return nil
	}
	if err := r.blocks.Outcome(ctx, b.Hash, outcome); err != nil {
		return fmt.Errorf("journaling what became of block %v: %w", b.Hash, err)
	}
	r.mu.Lock()
	r.reviewed[b.Hash] = outcome
	r.mu.Unlock()
	switch {
	case outcome != OutcomeAccepted:
		r.log.Warn("block was orphaned", slog.String("block", b.Hash.String()),
			slog.Int("height", int(b.Height)), slog.String("by", at.String()))
	case known:
		r.log.Info("orphaned block is back", slog.String("block", b.Hash.String()),
			slog.Int("height", int(b.Height)))
	}
	return nil
}
