package wal_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/bolt"
	"github.com/hashlease/hashlease/storage/storagetest"
	"github.com/hashlease/hashlease/storage/wal"
)

var _ wal.Source = (*bolt.Journal)(nil)

// source is a bbolt journal with a whole stream, one trimmed in part, and one trimmed to its end.
func source(t *testing.T) *bolt.Journal {
	t.Helper()
	j, err := bolt.Open(filepath.Join(t.TempDir(), "shares.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	for name, n := range map[string]int{"shares/0": 10_000, "shares/1": 50, "shares/2": 7} {
		write(t, j, name, n)
	}
	err = errors.Join(
		j.PutSnapshot(t.Context(), "shares/1", 30, []byte("thirty")),
		j.Trim(t.Context(), "shares/1", 20), j.Trim(t.Context(), "shares/2", storage.Any))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// Ensure an import has every stream as it was: records at their positions, trims and snapshots; what
// an import that was cut off left is no obstacle.
func TestImport_CopiesEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shares.wal")
	if err := os.Mkdir(path+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new/0000000000000001.seg", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := wal.Import(t.Context(), source(t), path, small); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		j := open(t, path, small)
		names, err := j.Streams(t.Context())
		if diff := cmp.Diff([]string{"shares/0", "shares/1", "shares/2"}, names); diff != "" || err != nil {
			t.Fatalf("streams, %v:\n%s", err, diff)
		}
		wantRecords(t, j, "shares/0", 0, 10_000)
		wantRecords(t, j, "shares/1", 20, 50)
		wantRecords(t, j, "shares/2", 7, 7)
		err = j.Replay(t.Context(), "shares/1", 19, func(storage.Seq, []byte) error { return nil })
		if !errors.Is(err, storage.ErrTrimmed) {
			t.Errorf("replay from before the trim: %v", err)
		}
		at, state, err := j.Snapshot(t.Context(), "shares/1")
		if at != 30 || string(state) != "thirty" || err != nil {
			t.Errorf("snapshot is %d %q (%v)", at, state, err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if left := files(t, filepath.Dir(path), ".new"); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

// Ensure an import leaves nothing behind if it fails, and never touches what is there.
func TestImport_IsWholeOrNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shares.wal")
	from := source(t)
	if err := wal.Import(t.Context(), broken{from}, path, small); !errors.Is(err, storagetest.ErrFault) {
		t.Errorf("import: %v", err)
	}
	if left := files(t, filepath.Dir(path), ""); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	open(t, path, small)
	if err := wal.Import(t.Context(), from, path, small); err == nil {
		t.Error("import took a path that is in use")
	}
}

// broken is a source that cannot be read to its end.
type broken struct{ *bolt.Journal }

// Snapshot implements storage.Journal.
func (broken) Snapshot(_ context.Context, _ string) (storage.Seq, []byte, error) {
	return 0, nil, storagetest.ErrFault
}
