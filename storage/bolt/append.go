package bolt

import (
	"context"
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/hashlease/hashlease/storage"
)

// fillPercent packs pages full: keys only grow, so that no page is ever split in its middle.
const fillPercent = 0.95

// recordCost is what a record weighs beyond its bytes when a commit is bounded.
const recordCost = 64

// Append implements storage.Journal.
func (j *Journal) Append(ctx context.Context, writes ...storage.Write) (storage.Seq, error) {
	size, err := storage.CheckWrites(writes)
	if err != nil {
		return 0, err
	}
	for i := range writes {
		size += recordCost * len(writes[i].Records)
	}
	var last storage.Seq
	err = j.submit(ctx, size, func(b *batch) error {
		lasts, err := b.expect(writes)
		if err != nil {
			return err
		}
		last = lasts[writes[0].Stream]
		for i := range writes {
			if err := b.append(&writes[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return last, nil
}

// expect checks every write before the first one changes anything, and returns where
// their streams will end.
func (b *batch) expect(writes []storage.Write) (map[string]storage.Seq, error) {
	lasts := make(map[string]storage.Seq, len(writes))
	for i := range writes {
		w := &writes[i]
		last, ok := lasts[w.Stream]
		if !ok {
			last = b.head(w.Stream).last
		}
		if w.Expect != storage.Any && w.Expect != last {
			return nil, fmt.Errorf("%w: %s is at %d, not at %d", storage.ErrExpect, w.Stream, last, w.Expect)
		}
		lasts[w.Stream] = last + storage.Seq(len(w.Records))
	}
	return lasts, nil
}

func (b *batch) append(w *storage.Write) error {
	if len(w.Records) == 0 {
		return nil
	}
	bucket, err := b.tx.Bucket(streamsBucket).CreateBucketIfNotExists([]byte(w.Stream))
	if err != nil {
		return b.broken(err)
	}
	bucket.FillPercent = fillPercent
	h := b.head(w.Stream)
	for _, r := range w.Records {
		h.last++
		if err := b.put(bucket, h.last, w.Stream, r); err != nil {
			return err
		}
	}
	return b.setHead(bucket, w.Stream, h)
}

// put stores one framed value in a stream's bucket.
func (b *batch) put(bucket *bbolt.Bucket, at storage.Seq, stream string, value []byte) error {
	from := len(b.arena)
	b.arena = appendFrame(b.arena, stream, at, value)
	b.dirty = true
	return b.broken(bucket.Put(key(at), b.arena[from:len(b.arena):len(b.arena)]))
}

func (b *batch) setHead(bucket *bbolt.Bucket, stream string, h head) error {
	b.heads[stream] = h
	b.dirty = true
	return b.broken(bucket.SetSequence(uint64(h.last)))
}

// trimStep is how many records one commit drops, so that appends are not held up.
const trimStep = 4096

// Trim implements storage.Journal. It may take several commits.
func (j *Journal) Trim(ctx context.Context, stream string, upTo storage.Seq) error {
	if err := storage.CheckStream(stream); err != nil {
		return err
	}
	for more := true; more; {
		err := j.submit(ctx, trimStep*recordCost, func(b *batch) (err error) {
			more, err = b.trim(stream, upTo)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// trim drops one step of a stream's oldest records and reports whether there are more to drop.
func (b *batch) trim(stream string, upTo storage.Seq) (more bool, err error) {
	h := b.head(stream)
	upTo = min(upTo, h.last)
	if upTo <= h.trimmed {
		return false, nil
	}
	more = upTo-h.trimmed > trimStep
	end := min(upTo, h.trimmed+trimStep)
	bucket := b.tx.Bucket(streamsBucket).Bucket([]byte(stream))
	if bucket == nil {
		return false, b.broken(fmt.Errorf("%w: stream %s has no bucket", storage.ErrCorrupt, stream))
	}
	bucket.FillPercent = fillPercent
	for h.trimmed < end {
		h.trimmed++
		if err := bucket.Delete(key(h.trimmed)); err != nil {
			return false, b.broken(err)
		}
	}
	mark := binary.BigEndian.AppendUint64(nil, uint64(h.trimmed))
	if err := b.put(bucket, 0, stream, mark); err != nil {
		return false, err
	}
	return more, b.setHead(bucket, stream, h)
}
