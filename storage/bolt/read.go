package bolt

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/hashlease/hashlease/storage"
)

// Bounds of what Replay copies out of the file at once.
const (
	pageBytes   = 1 << 20
	pageRecords = 4096
)

// page is a copied run of records.
type page struct {
	bytes []byte
	ends  []int // of each record in bytes
}

// view reads the file. fn must copy what it keeps and do nothing slow: the file is held open for it.
func (j *Journal) view(ctx context.Context, fn func(tx *bbolt.Tx) error) error {
	if err := j.enter(ctx); err != nil {
		return err
	}
	defer j.leave()
	return safely(func() error { return j.db.View(fn) })
}

// Replay implements storage.Journal.
func (j *Journal) Replay(
	ctx context.Context, stream string, after storage.Seq, fn func(storage.Seq, []byte) error,
) error {
	last, err := j.Last(ctx, stream)
	if err != nil {
		return err
	}
	var p page
	for after < last {
		err := j.view(ctx, func(tx *bbolt.Tx) error { return p.read(tx, stream, after, last) })
		if err != nil {
			return err
		}
		from := 0
		for _, end := range p.ends {
			after++
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("replaying %s: %w", stream, err)
			}
			if err := fn(after, p.bytes[from:end:end]); err != nil {
				return err
			}
			from = end
		}
	}
	return nil
}

// read copies the records that follow a Seq: at least one, or it is an error.
func (p *page) read(tx *bbolt.Tx, stream string, after, last storage.Seq) error {
	p.bytes, p.ends = p.bytes[:0], p.ends[:0]
	bucket := tx.Bucket(streamsBucket).Bucket([]byte(stream))
	if bucket == nil {
		return fmt.Errorf("%w: stream %s has no bucket", storage.ErrCorrupt, stream)
	}
	c := bucket.Cursor()
	next := after + 1
	k, v := c.Seek(key(next))
	if string(k) != string(key(next)) {
		h, err := readHead(stream, bucket)
		if err == nil && after < h.trimmed {
			return fmt.Errorf("%w: %s begins after %d, not %d", storage.ErrTrimmed, stream, h.trimmed, after)
		}
		return fmt.Errorf("%w: record %d of %s is missing", storage.ErrCorrupt, next, stream)
	}
	for ; next <= last && len(p.ends) < pageRecords && len(p.bytes) < pageBytes; k, v = c.Next() {
		if string(k) != string(key(next)) {
			return fmt.Errorf("%w: record %d of %s is missing", storage.ErrCorrupt, next, stream)
		}
		r, err := unframe(v, stream, next)
		if err != nil {
			return err
		}
		p.bytes = append(p.bytes, r...)
		p.ends = append(p.ends, len(p.bytes))
		next++
	}
	return nil
}

// Last implements storage.Journal.
func (j *Journal) Last(ctx context.Context, stream string) (storage.Seq, error) {
	if err := storage.CheckStream(stream); err != nil {
		return 0, err
	}
	if err := j.enter(ctx); err != nil {
		return 0, err
	}
	defer j.leave()
	return j.head(stream).last, nil
}

// Trimmed is the Seq up to which the stream's records are gone, for those who copy the journal.
func (j *Journal) Trimmed(ctx context.Context, stream string) (storage.Seq, error) {
	if err := storage.CheckStream(stream); err != nil {
		return 0, err
	}
	if err := j.enter(ctx); err != nil {
		return 0, err
	}
	defer j.leave()
	return j.head(stream).trimmed, nil
}

// Streams implements storage.Journal.
func (j *Journal) Streams(ctx context.Context) ([]string, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	j.mu.RLock()
	defer j.mu.RUnlock()
	return slices.Sorted(maps.Keys(j.heads)), nil
}

// Snapshot implements storage.Journal.
func (j *Journal) Snapshot(ctx context.Context, stream string) (at storage.Seq, state []byte, err error) {
	if err := storage.CheckStream(stream); err != nil {
		return 0, nil, err
	}
	err = j.view(ctx, func(tx *bbolt.Tx) error {
		at, state, err = decodeSnapshot(stream, tx.Bucket(snapshotBucket).Get([]byte(stream)))
		if at != 0 {
			state = append([]byte{}, state...)
		}
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	return at, state, nil
}

// PutSnapshot implements storage.Journal.
func (j *Journal) PutSnapshot(ctx context.Context, stream string, at storage.Seq, state []byte) error {
	if err := storage.CheckStream(stream); err != nil {
		return err
	}
	if err := storage.CheckSnapshot(1, 0, 1, len(state)); err != nil {
		return err // before the copy
	}
	value := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(state)), uint64(at))
	frame := appendFrame(nil, stream, 0, append(value, state...))
	return j.submit(ctx, len(frame), func(b *batch) error {
		h := b.head(stream)
		if err := storage.CheckSnapshot(at, h.at, h.last, len(state)); err != nil {
			return err
		}
		h.at = at
		b.heads[stream] = h
		b.dirty = true
		return b.broken(b.tx.Bucket(snapshotBucket).Put([]byte(stream), frame))
	})
}

// decodeSnapshot reads a stored snapshot; a nil frame is none. The state aliases it.
func decodeSnapshot(stream string, frame []byte) (storage.Seq, []byte, error) {
	if frame == nil {
		return 0, nil, nil
	}
	v, err := unframe(frame, stream, 0)
	if err != nil || len(v) < 8 || binary.BigEndian.Uint64(v) == 0 {
		return 0, nil, fmt.Errorf("%w: snapshot of %s is wrong", storage.ErrCorrupt, stream)
	}
	return storage.Seq(binary.BigEndian.Uint64(v)), v[8:], nil
}

// Lead implements storage.Elector: whoever has the file open leads.
func (j *Journal) Lead(ctx context.Context) (term storage.Term, err error) {
	err = j.submit(ctx, 0, func(b *batch) error {
		meta := b.tx.Bucket(metaBucket)
		if v := meta.Get(termKey); len(v) == 8 {
			term = storage.Term(binary.BigEndian.Uint64(v))
		}
		term++
		b.dirty = true
		return b.broken(meta.Put(termKey, binary.BigEndian.AppendUint64(nil, uint64(term))))
	})
	if err != nil {
		return 0, err
	}
	return term, nil
}
