package wal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashlease/hashlease/storage"
)

// Source is a journal of another kind whose streams Import copies.
type Source interface {
	storage.Journal
	// Trimmed is the Seq up to which the stream's records are gone.
	Trimmed(ctx context.Context, stream string) (storage.Seq, error)
}

const (
	importExt     = ".new"
	importRecords = 4096 // of one Append
	importBytes   = 1 << 20
)

// Import makes a journal at path that holds what from holds: records at their Seqs, snapshots, and
// where streams were trimmed. It is durable and whole when it appears at path, where nothing may be
// yet.
func Import(ctx context.Context, from Source, path string, o Options) error {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(fmt.Errorf("importing into %s: it is there already", path), err)
	}
	unready := path + importExt
	err := os.RemoveAll(unready) // of an import that was cut off
	if err == nil {
		err = importInto(ctx, from, unready, o)
	}
	if err == nil {
		err = errors.Join(os.Rename(unready, path), syncDir(filepath.Dir(path)))
	}
	if err != nil {
		return fmt.Errorf("importing into %s: %w", path, errors.Join(err, os.RemoveAll(unready)))
	}
	return nil
}

func importInto(ctx context.Context, from Source, path string, o Options) error {
	j, err := Open(path, o)
	if err != nil {
		return err
	}
	names, err := from.Streams(ctx)
	if err != nil {
		return errors.Join(err, j.Close())
	}
	for _, name := range names {
		var trimmed storage.Seq
		if trimmed, err = from.Trimmed(ctx, name); err != nil {
			return errors.Join(err, j.Close())
		}
		j.mu.Lock() // the first batch says it in the log
		j.streams[name] = &stream{name: name, standing: standing{last: trimmed, trimmed: trimmed}}
		j.mu.Unlock()
	}
	for _, name := range names {
		if err = importStream(ctx, from, j, name); err != nil {
			err = fmt.Errorf("stream %s: %w", name, err)
			break
		}
	}
	return errors.Join(err, j.Close())
}

// importStream copies the records that a stream has, and its snapshot.
func importStream(ctx context.Context, from Source, j *Journal, name string) error {
	last, err := j.Last(ctx, name)
	if err != nil {
		return err
	}
	w := storage.Write{Stream: name, Expect: last}
	size := 0
	flush := func() (err error) {
		w.Expect, err = j.Append(ctx, w)
		w.Records, size = w.Records[:0], 0
		return err
	}
	err = from.Replay(ctx, name, last, func(_ storage.Seq, b []byte) error {
		w.Records = append(w.Records, append([]byte(nil), b...))
		if size += len(b); size < importBytes && len(w.Records) < importRecords {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return err
	}
	at, state, err := from.Snapshot(ctx, name)
	if err != nil || at == 0 {
		return err
	}
	return j.PutSnapshot(ctx, name, at, state)
}
