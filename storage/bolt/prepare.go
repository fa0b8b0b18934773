package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"

	"go.etcd.io/bbolt"

	"github.com/hashlease/hashlease/storage"
)

const format = "hashlease journal 1"

// Names in the file.
var (
	metaBucket     = []byte("meta")
	streamsBucket  = []byte("streams")
	snapshotBucket = []byte("snapshots")
	formatKey      = []byte("format")
	termKey        = []byte("term")
	trimKey        = key(0)
)

// prepare lays a new file out, or checks that an old one is ours and whole, and
// returns where its streams begin and end.
func prepare(db *bbolt.DB) (heads map[string]head, err error) {
	fresh := false
	err = safely(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			first, _ := tx.Cursor().First()
			if fresh = first == nil; fresh {
				return nil
			}
			heads, err = readHeads(tx)
			return err
		})
	})
	if err != nil || !fresh {
		return heads, err
	}
	return map[string]head{}, db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{metaBucket, streamsBucket, snapshotBucket} {
			if _, err := tx.CreateBucket(name); err != nil {
				return fmt.Errorf("creating bucket %s: %w", name, err)
			}
		}
		return tx.Bucket(metaBucket).Put(formatKey, []byte(format))
	})
}

// verify walks every page before bbolt opens the file for writing: then bbolt looks for free
// pages with goroutines of its own, where a panic on a broken page could not be caught.
func verify(path string, o Options) error {
	db, err := openFile(path, o, true)
	if err != nil {
		return err
	}
	err = safely(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return walk(b) })
		})
	})
	return errors.Join(err, db.Close())
}

func walk(b *bbolt.Bucket) error {
	return b.ForEach(func(k, v []byte) error {
		if v != nil {
			return nil
		}
		if inner := b.Bucket(k); inner != nil {
			return walk(inner)
		}
		return fmt.Errorf("%w: bucket %q is missing", storage.ErrCorrupt, k)
	})
}

// safely runs fn and turns a panic of bbolt on a broken page, or a fault
// behind the end of a truncated file, into ErrCorrupt.
func safely(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", storage.ErrCorrupt, p)
		}
	}()
	return fn()
}

func readHeads(tx *bbolt.Tx) (map[string]head, error) {
	meta, streams, snaps := tx.Bucket(metaBucket), tx.Bucket(streamsBucket), tx.Bucket(snapshotBucket)
	if meta == nil || streams == nil || snaps == nil {
		return nil, fmt.Errorf("%w: the file is not a journal of hashlease", storage.ErrCorrupt)
	}
	if f := meta.Get(formatKey); string(f) != format {
		return nil, fmt.Errorf("file has format %q: %q is accepted", f, format)
	}
	heads := map[string]head{}
	err := streams.ForEachBucket(func(name []byte) error {
		h, err := readHead(string(name), streams.Bucket(name))
		if err != nil {
			return err
		}
		h.at, _, err = decodeSnapshot(string(name), snaps.Get(name))
		if err == nil && h.at > h.last {
			err = fmt.Errorf("%w: snapshot of %s is past its end", storage.ErrCorrupt, name)
		}
		heads[string(name)] = h
		return err
	})
	return heads, err
}

// readHead finds a stream's bounds and checks that they agree with the keys at both ends.
func readHead(name string, b *bbolt.Bucket) (head, error) {
	h := head{last: storage.Seq(b.Sequence())}
	c := b.Cursor()
	first, v := c.First()
	if string(first) == string(trimKey) {
		value, err := unframe(v, name, 0)
		if err != nil || len(value) != 8 {
			return head{}, fmt.Errorf("%w: trim mark of %s is wrong", storage.ErrCorrupt, name)
		}
		h.trimmed = storage.Seq(binary.BigEndian.Uint64(value))
		first, _ = c.Next()
	}
	last, _ := c.Last()
	empty := first == nil
	switch {
	case empty && h.last == h.trimmed,
		!empty && string(first) == string(key(h.trimmed+1)) && string(last) == string(key(h.last)):
		return h, nil
	}
	return head{}, fmt.Errorf("%w: bounds of %s do not agree with its records", storage.ErrCorrupt, name)
}
