package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hashlease/hashlease/storage"
)

// Run moves a slice to the book every Interval until the context ends; then it returns nil. A slice
// that fails is logged and its work waits for the next, unless the journal is closed, failed or has
// another writer: then that error is returned.
func (s *Shares) Run(ctx context.Context) error {
	ticker := time.NewTicker(s.cfg.Interval) //nolint:forbidigo // the loop of this room
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		err := s.Flush(ctx)
		switch {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, storage.ErrClosed), errors.Is(err, storage.ErrFailed),
			errors.Is(err, storage.ErrExpect):
			return err
		default:
			slog.WarnContext(ctx, "moving shares to the book failed", slog.Any("error", err))
		}
	}
}

// Flush moves a slice to the book now: at drain, and by Run. Credits go on meanwhile.
func (s *Shares) Flush(ctx context.Context) error {
	if err := s.book.lock(ctx); err != nil {
		return err
	}
	defer s.book.unlock()
	cs, delta, snapshot := s.cut()
	if len(cs) > 0 {
		if err := s.book.append(ctx, sliceRecords(cs, delta)...); err != nil {
			s.uncut(delta)
			return err
		}
		s.booked(cs)
	}
	// The slice is durable: from here on a failure costs space, not work.
	errs := []error{s.trimShards(ctx)}
	if snapshot != nil {
		errs = append(errs, s.book.compact(ctx, snapshot))
	}
	return errors.Join(errs...)
}

// cut takes what no slice covers, with the cursors that it leads to. If a snapshot is due, it is the
// state after this slice. The caller holds the book's gate.
func (s *Shares) cut() (cs cursors, delta tallies, snapshot []byte) {
	s.mu.Lock()
	cs = cursors{}
	for id, sh := range s.shards {
		if sh.applied > sh.booked {
			cs[id] = sh.applied
		}
	}
	delta, s.delta = s.delta, tallies{}
	if len(cs) == 0 || s.book.since()+1 < uint64(s.cfg.SnapshotEvery) {
		s.mu.Unlock()
		return cs, delta, nil
	}
	totals, all := s.totals.clone(), cursors{}
	for id, sh := range s.shards {
		if sh.applied > 0 {
			all[id] = sh.applied
		}
	}
	s.mu.Unlock()
	return cs, delta, encodeSlice(all, totals)
}

// uncut gives a slice back that was not written.
func (s *Shares) uncut(delta tallies) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delta.merge(delta)
	s.stats.Failures++
}

// booked notes that a slice is durable.
func (s *Shares) booked(cs cursors) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, seq := range cs {
		s.shards[id].booked = seq
	}
	s.stats.Slices++
	s.stats.LastSlice = now()
}

// trimShards drops what the book counts, also what an earlier slice could not.
// The caller holds the book's gate.
func (s *Shares) trimShards(ctx context.Context) error {
	for _, sh := range s.shards {
		s.mu.RLock()
		upTo := sh.booked
		s.mu.RUnlock()
		if upTo == sh.trimmed {
			continue
		}
		if err := s.journal.Trim(ctx, sh.stream, upTo); err != nil {
			return fmt.Errorf("trimming %s: %w", sh.stream, err)
		}
		sh.trimmed = upTo
	}
	return nil
}
