package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/hashlease/hashlease/pool"
)

// entry is what is to be journaled about a block.
type entry struct {
	found   *found
	block   *pool.Block
	entered bool   // that it was found is journaled already
	outcome string // empty while it is not known
	serial  uint64
}

// keepBooks journals what was found and what became of it, until ctx ends. What cannot be
// journaled is tried again: the spool keeps it.
func (r *Relay) keepBooks(ctx context.Context) {
	wait := firstResend
	for ctx.Err() == nil {
		var errs []error
		for _, e := range r.unbooked() {
			errs = append(errs, r.enter(ctx, e))
		}
		err := errors.Join(errs...)
		if err == nil {
			wait = firstResend
			select {
			case <-ctx.Done():
			case <-r.books:
			}
			continue
		}
		if ctx.Err() == nil {
			r.log.Error("a found block could not be journaled", slog.Any("error", err))
		}
		pause(ctx, wait)
		wait = min(2*wait, longestResend)
	}
}

// unbooked is what the journal does not have yet, in order of arrival.
func (r *Relay) unbooked() []entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []entry
	for _, f := range r.found {
		outcome := f.outcome
		if !f.spooled {
			outcome = "" // its file may still appear
		}
		if !f.entered || outcome != "" {
			list = append(list, entry{f, f.block, f.entered, outcome, f.serial})
		}
	}
	slices.SortFunc(list, func(a, b entry) int { return int(a.serial) - int(b.serial) })
	return list
}

// enter journals one block's news. The spool file goes when the outcome is durable.
func (r *Relay) enter(ctx context.Context, e entry) error {
	about := []any{
		slog.String("block", e.block.Hash.String()), slog.Int("height", int(e.block.Height)),
		slog.String("worker", string(e.block.Worker)),
	}
	if !e.entered {
		if err := r.blocks.Found(ctx, e.block); err != nil {
			return fmt.Errorf("journaling block %v: %w", e.block.Hash, err)
		}
		r.mu.Lock()
		e.found.entered = true
		r.mu.Unlock()
		r.log.Info("block found", about...)
	}
	if e.outcome == "" {
		return nil
	}
	if err := r.blocks.Outcome(ctx, e.block.Hash, e.outcome); err != nil {
		return fmt.Errorf("journaling the outcome of block %v: %w", e.block.Hash, err)
	}
	if err := r.spool.remove(e.block.Hash); err != nil {
		return err
	}
	r.mu.Lock()
	delete(r.found, e.block.Hash)
	r.mu.Unlock()
	r.log.Info("block settled", append(about, slog.String("outcome", e.outcome))...)
	return nil
}
