// Package mem is a storage.Journal in memory, for tests and for programs that need
// nothing kept. It has the semantics of storage/bolt without its durability: Reopen
// stands for the next process that finds what the last one wrote.
package mem

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/hashlease/hashlease/storage"
)

var (
	_ storage.Journal = (*Journal)(nil)
	_ storage.Elector = (*Journal)(nil)
)

// Journal is an open journal in memory.
type Journal struct {
	store *store // immutable after New
	epoch uint64 // immutable after New: the opening that this handle is
}

// store is what outlives a handle, as a file would.
type store struct {
	mu      sync.Mutex
	epoch   uint64             // guarded by mu: the opening that may work; 0: none
	opened  uint64             // guarded by mu: openings so far
	term    storage.Term       // guarded by mu
	streams map[string]*stream // guarded by mu
}

// stream holds the records with Seq from trimmed+1 on. Records are immutable.
type stream struct {
	trimmed storage.Seq
	records [][]byte
	at      storage.Seq // of the snapshot
	state   []byte
}

func (s *stream) last() storage.Seq {
	if s == nil {
		return 0
	}
	return s.trimmed + storage.Seq(len(s.records))
}

// New returns an empty journal, opened.
func New() *Journal {
	return (&Journal{store: &store{streams: map[string]*stream{}}}).Reopen()
}

// Reopen opens the same journal as another process would after this one ended: the old handle is closed.
func (j *Journal) Reopen() *Journal {
	j.store.mu.Lock()
	defer j.store.mu.Unlock()
	j.store.opened++
	j.store.epoch = j.store.opened
	return &Journal{store: j.store, epoch: j.store.epoch}
}

// begin locks the store for one call. The caller unlocks it if the error is nil.
func (j *Journal) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("waiting for the journal: %w", err)
	}
	j.store.mu.Lock()
	if j.epoch != j.store.epoch {
		j.store.mu.Unlock()
		return storage.ErrClosed
	}
	return nil
}

// Append implements storage.Journal.
func (j *Journal) Append(ctx context.Context, writes ...storage.Write) (storage.Seq, error) {
	if _, err := storage.CheckWrites(writes); err != nil {
		return 0, err
	}
	if err := j.begin(ctx); err != nil {
		return 0, err
	}
	defer j.store.mu.Unlock()
	lasts := map[string]storage.Seq{}
	for _, w := range writes {
		last, ok := lasts[w.Stream]
		if !ok {
			last = j.store.streams[w.Stream].last()
		}
		if w.Expect != storage.Any && w.Expect != last {
			return 0, fmt.Errorf("%w: %s is at %d, not at %d", storage.ErrExpect, w.Stream, last, w.Expect)
		}
		lasts[w.Stream] = last + storage.Seq(len(w.Records))
	}
	for _, w := range writes {
		if len(w.Records) == 0 {
			continue
		}
		s := j.store.streams[w.Stream]
		if s == nil {
			s = &stream{}
			j.store.streams[w.Stream] = s
		}
		for _, r := range w.Records {
			s.records = append(s.records, append([]byte{}, r...))
		}
	}
	return lasts[writes[0].Stream], nil
}

// Replay implements storage.Journal.
func (j *Journal) Replay(
	ctx context.Context, name string, after storage.Seq, fn func(storage.Seq, []byte) error,
) error {
	records, err := j.after(ctx, name, after)
	if err != nil {
		return err
	}
	for i, r := range records {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("replaying %s: %w", name, err)
		}
		if err := fn(after+storage.Seq(i)+1, slices.Clone(r)); err != nil {
			return err
		}
	}
	return nil
}

// after copies the list of records after a Seq, so that fn runs without the lock.
func (j *Journal) after(ctx context.Context, name string, after storage.Seq) ([][]byte, error) {
	if err := storage.CheckStream(name); err != nil {
		return nil, err
	}
	if err := j.begin(ctx); err != nil {
		return nil, err
	}
	defer j.store.mu.Unlock()
	s := j.store.streams[name]
	if s == nil || after >= s.last() {
		return nil, nil
	}
	if after < s.trimmed {
		return nil, fmt.Errorf("%w: %s begins after %d, not %d", storage.ErrTrimmed, name, s.trimmed, after)
	}
	return slices.Clone(s.records[after-s.trimmed:]), nil
}

// Last implements storage.Journal.
func (j *Journal) Last(ctx context.Context, name string) (storage.Seq, error) {
	if err := storage.CheckStream(name); err != nil {
		return 0, err
	}
	if err := j.begin(ctx); err != nil {
		return 0, err
	}
	defer j.store.mu.Unlock()
	return j.store.streams[name].last(), nil
}

// Streams implements storage.Journal.
func (j *Journal) Streams(ctx context.Context) ([]string, error) {
	if err := j.begin(ctx); err != nil {
		return nil, err
	}
	defer j.store.mu.Unlock()
	return slices.Sorted(maps.Keys(j.store.streams)), nil
}

// Snapshot implements storage.Journal.
func (j *Journal) Snapshot(ctx context.Context, name string) (storage.Seq, []byte, error) {
	if err := storage.CheckStream(name); err != nil {
		return 0, nil, err
	}
	if err := j.begin(ctx); err != nil {
		return 0, nil, err
	}
	defer j.store.mu.Unlock()
	s := j.store.streams[name]
	if s == nil || s.at == 0 {
		return 0, nil, nil
	}
	return s.at, append([]byte{}, s.state...), nil
}

// PutSnapshot implements storage.Journal.
func (j *Journal) PutSnapshot(ctx context.Context, name string, at storage.Seq, state []byte) error {
	if err := storage.CheckStream(name); err != nil {
		return err
	}
	if err := j.begin(ctx); err != nil {
		return err
	}
	defer j.store.mu.Unlock()
	s := j.store.streams[name]
	var old storage.Seq
	if s != nil {
		old = s.at
	}
	if err := storage.CheckSnapshot(at, old, s.last(), len(state)); err != nil {
		return err
	}
	s.at, s.state = at, slices.Clone(state)
	return nil
}

// Trim implements storage.Journal.
func (j *Journal) Trim(ctx context.Context, name string, upTo storage.Seq) error {
	if err := storage.CheckStream(name); err != nil {
		return err
	}
	if err := j.begin(ctx); err != nil {
		return err
	}
	defer j.store.mu.Unlock()
	s := j.store.streams[name]
	if upTo = min(upTo, s.last()); s != nil && upTo > s.trimmed {
		s.records = slices.Clone(s.records[upTo-s.trimmed:])
		s.trimmed = upTo
	}
	return nil
}

// Lead implements storage.Elector.
func (j *Journal) Lead(ctx context.Context) (storage.Term, error) {
	if err := j.begin(ctx); err != nil {
		return 0, err
	}
	defer j.store.mu.Unlock()
	j.store.term++
	return j.store.term, nil
}

// Close implements storage.Journal.
func (j *Journal) Close() error {
	j.store.mu.Lock()
	defer j.store.mu.Unlock()
	if j.epoch == j.store.epoch {
		j.store.epoch = 0
	}
	return nil
}
