package service

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/storage"
)

// snapshot is the journal's snapshot of the stream, gzipped JSON.
type snapshot struct {
	History storage.Seq     `json:"history"` // records after it are kept, for watchers
	Book    *lease.Snapshot `json:"book"`
}

// maxState bounds a snapshot when it is unpacked.
const maxState = 4 << 30

// loaded is a fold of the journal.
type loaded struct {
	book   *lease.Book
	at     storage.Seq // of the last record
	snapAt storage.Seq // of the snapshot
	floor  lease.Revision
	events []*lease.Event // after floor
}

// load folds the journal: the snapshot and the records after it. Records before the snapshot that
// are still there become history for watchers.
func (s *Service) load(ctx context.Context) (*loaded, error) {
	book, err := s.cfg.book()
	if err != nil {
		return nil, err
	}
	f := &loaded{book: book}
	at, state, err := s.journal.Snapshot(ctx, Stream)
	if err != nil {
		return nil, fmt.Errorf("reading the snapshot of stream %s: %w", Stream, err)
	}
	from := storage.Seq(0)
	if at > 0 {
		snap, err := decodeSnapshot(state)
		if err != nil {
			return nil, fmt.Errorf("snapshot of stream %s at %d: %w", Stream, at, err)
		}
		if err := book.Restore(snap.Book); err != nil {
			return nil, fmt.Errorf("snapshot of stream %s at %d: %w", Stream, at, err)
		}
		if storage.Seq(book.Revision()) != at {
			return nil, fmt.Errorf("snapshot of stream %s at %d is of revision %d: %w",
				Stream, at, book.Revision(), lease.ErrCorrupt)
		}
		from, f.snapAt = min(snap.History, at), at
	}
	err = s.replay(ctx, f, from)
	if errors.Is(err, storage.ErrTrimmed) && f.at == 0 && from < at {
		f.events = nil
		err = s.replay(ctx, f, at)
	}
	if err != nil {
		return nil, err
	}
	f.at = max(f.at, at)
	last, err := s.journal.Last(ctx, Stream)
	if err != nil {
		return nil, fmt.Errorf("reading the end of stream %s: %w", Stream, err)
	}
	if last != f.at {
		return nil, fmt.Errorf("stream %s ends at %d, its records at %d: %w",
			Stream, last, f.at, lease.ErrCorrupt)
	}
	return f, nil
}

// replay folds the records after from; those that the snapshot has are history only.
func (s *Service) replay(ctx context.Context, f *loaded, from storage.Seq) error {
	f.floor = lease.Revision(from)
	err := s.journal.Replay(ctx, Stream, from, func(at storage.Seq, b []byte) error {
		var e lease.Event
		if err := json.Unmarshal(b, &e); err != nil {
			return fmt.Errorf("record %d: %w", at, err)
		}
		if storage.Seq(e.Revision) != at {
			return fmt.Errorf("record %d holds event %d: %w", at, e.Revision, lease.ErrCorrupt)
		}
		if at > f.snapAt {
			if err := f.book.Apply(e); err != nil {
				return fmt.Errorf("record %d: %w", at, err)
			}
		}
		f.at = at
		f.events = append(f.events, &e)
		if len(f.events) >= 2*historyAll {
			f.floor = f.events[len(f.events)-historyAll-1].Revision
			f.events = append([]*lease.Event(nil), f.events[len(f.events)-historyAll:]...)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("replaying stream %s: %w", Stream, err)
	}
	return nil
}

func encodeSnapshot(s snapshot) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := json.NewEncoder(z).Encode(s); err != nil {
		return nil, fmt.Errorf("encoding snapshot: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("encoding snapshot: %w", err)
	}
	return b.Bytes(), nil
}

func decodeSnapshot(b []byte) (*snapshot, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("unpacking: %w", err)
	}
	var s snapshot
	if err := json.NewDecoder(io.LimitReader(z, maxState)).Decode(&s); err != nil {
		return nil, fmt.Errorf("decoding: %w", err)
	}
	if s.Book == nil {
		return nil, fmt.Errorf("it has no book: %w", lease.ErrCorrupt)
	}
	return &s, nil
}

// keepSnapshot writes the book's state, which is durable up to at, and trims the records
// before the snapshot that it replaces. It runs beside the loop.
func (s *Service) keepSnapshot(ctx context.Context, state *lease.Snapshot, before storage.Seq) error {
	at := storage.Seq(state.Revision)
	b, err := encodeSnapshot(snapshot{History: before, Book: state})
	if err != nil {
		return err
	}
	if err := s.journal.PutSnapshot(ctx, Stream, at, b); err != nil {
		return fmt.Errorf("writing snapshot of stream %s at %d: %w", Stream, at, err)
	}
	if err := s.journal.Trim(ctx, Stream, before); err != nil {
		return fmt.Errorf("trimming stream %s up to %d: %w", Stream, before, err)
	}
	return nil
}
