package ledger

import (
	"context"
	"fmt"

	"github.com/hashlease/hashlease/storage"
)

// stream is one stream of the book with this process as its only writer: every append expects what
// the last one left, so that a second writer is refused instead of mixed in.
type stream struct {
	journal storage.Journal // immutable after openStream
	name    string          // immutable after openStream
	gate    chan struct{}   // capacity 1: held by the one who appends

	last    storage.Seq // owned by the holder of the gate
	snapped storage.Seq // owned by the holder of the gate: Seq of the last snapshot
}

// openStream folds what the stream holds: its snapshot, if there is one, and the records after it.
func openStream(
	ctx context.Context, j storage.Journal, name string, state, record func([]byte) error,
) (*stream, error) {
	at, snapshot, err := j.Snapshot(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("reading snapshot of %s: %w", name, err)
	}
	if at > 0 {
		if err := state(snapshot); err != nil {
			return nil, fmt.Errorf("reading snapshot %d of %s: %w", at, name, err)
		}
	}
	last := at
	err = j.Replay(ctx, name, at, func(seq storage.Seq, b []byte) error {
		last = seq
		if err := record(b); err != nil {
			return fmt.Errorf("record %d: %w", seq, err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("replaying %s: %w", name, err)
	}
	return &stream{journal: j, name: name, gate: make(chan struct{}, 1), last: last, snapped: at}, nil
}

// lock takes the gate.
func (s *stream) lock(ctx context.Context) error {
	select {
	case s.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting to write %s: %w", s.name, ctx.Err())
	}
}

func (s *stream) unlock() { <-s.gate }

// append writes records durably. The caller holds the gate.
func (s *stream) append(ctx context.Context, records ...[]byte) error {
	last, err := s.journal.Append(ctx, storage.Write{Stream: s.name, Expect: s.last, Records: records})
	if err != nil {
		return fmt.Errorf("writing %s: %w", s.name, err)
	}
	s.last = last
	return nil
}

// snapshot stores the fold of everything up to last. The caller holds the gate.
func (s *stream) snapshot(ctx context.Context, state []byte) error {
	if err := s.journal.PutSnapshot(ctx, s.name, s.last, state); err != nil {
		return fmt.Errorf("writing snapshot of %s: %w", s.name, err)
	}
	s.snapped = s.last
	return nil
}

// since is how many records a replay would read. The caller holds the gate.
func (s *stream) since() uint64 { return uint64(s.last - s.snapped) }

// compact stores the fold and drops the records that it stands for. The caller holds the gate.
func (s *stream) compact(ctx context.Context, state []byte) error {
	if err := s.snapshot(ctx, state); err != nil {
		return err
	}
	if err := s.journal.Trim(ctx, s.name, s.snapped); err != nil {
		return fmt.Errorf("trimming %s: %w", s.name, err)
	}
	return nil
}
