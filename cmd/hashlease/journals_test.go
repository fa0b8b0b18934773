package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/ledger"
	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/bolt"
	"github.com/hashlease/hashlease/storage/wal"
)

// oldSite makes a storage directory as a version with shares.db left it: shares in a slice of the
// book, shares after it, and trimmed shards.
func oldSite(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	book, err := bolt.Open(filepath.Join(dir, bookFile), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	shares, err := bolt.Open(filepath.Join(dir, oldShares), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := ledger.NewShares(t.Context(), shares, book, ledger.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		credit := pool.Credit{Worker: pool.WorkerID(fmt.Sprintf("alice.%d", i%3)), Shares: 1, Work: 10}
		if err := s.Credit(t.Context(), []pool.Credit{credit}); err != nil {
			t.Fatal(err)
		}
		if i == 12 {
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(shares.Close(), book.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// credited opens the journals as the server does and returns how many shares are credited.
func credited(t *testing.T, dir string) (n uint64, err error) {
	t.Helper()
	s := &server{log: slog.New(slog.DiscardHandler)}
	if err := errors.Join(adoptShares(t.Context(), dir, s.log)); err != nil {
		return 0, err
	}
	book, err := bolt.Open(filepath.Join(dir, bookFile), bolt.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, book.Close()) }()
	shares, err := wal.Open(filepath.Join(dir, sharesDir), wal.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, shares.Close()) }()
	all, err := ledger.NewShares(t.Context(), shares, book, ledger.DefaultConfig())
	if err != nil {
		return 0, err
	}
	for _, w := range all.Totals() {
		n += w.Shares
	}
	return n, all.Credit(t.Context(), []pool.Credit{{Worker: "bob.1", Shares: 1, Work: 10}})
}

func wantCredited(t *testing.T, dir string, want uint64) {
	t.Helper()
	if got, err := credited(t, dir); got != want || err != nil {
		t.Fatalf("%d shares are credited (%v), want %d", got, err, want)
	}
}

// names lists a directory.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// Ensure the share journal of an older version is taken over once, whole, and kept under another name.
func TestAdoptShares_TakesOverAnOldJournalOnce(t *testing.T) {
	dir := oldSite(t)
	for i := range uint64(3) {
		wantCredited(t, dir, 20+i)
		if got := names(t, dir); !slices.Equal(got, []string{bookFile, importedShares, sharesDir}) {
			t.Fatalf("the directory has %v", got)
		}
	}
}

// Ensure a start that was cut off anywhere in the take-over of the old journal is finished by the next one.
func TestAdoptShares_FinishesWhatWasCutOff(t *testing.T) {
	for name, cut := range map[string]func(t *testing.T, path func(string) string) error{
		"half an import": func(_ *testing.T, path func(string) string) error {
			return errors.Join(os.Mkdir(path(unreadyShares+".new"), 0o700),
				os.WriteFile(path(unreadyShares+".new/0000000000000001.seg"), []byte("half"), 0o600))
		},
		"imported, the old one still in force": func(t *testing.T, path func(string) string) error {
			t.Helper()
			from, err := bolt.Open(path(oldShares), bolt.Options{})
			if err != nil {
				return err
			}
			err = wal.Import(t.Context(), from, path(unreadyShares), wal.Options{})
			return errors.Join(err, from.Close())
		},
		"imported, none in force": func(t *testing.T, path func(string) string) error {
			t.Helper()
			return importOld(t.Context(), path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := oldSite(t)
			path := func(name string) string { return filepath.Join(dir, name) }
			if err := cut(t, path); err != nil {
				t.Fatal(err)
			}
			wantCredited(t, dir, 20)
			wantCredited(t, dir, 21)
		})
	}
}

// Ensure two share journals are never merged, an old one in use is not touched, and a broken one stops the
// start with its name.
func TestAdoptShares_RefusesWhatItCannotKnow(t *testing.T) {
	dir := oldSite(t)
	path := filepath.Join(dir, oldShares)
	running, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := credited(t, dir); !errors.Is(err, storage.ErrLocked) {
		t.Errorf("an old journal in use: %v", err)
	}
	if err := running.Close(); err != nil {
		t.Fatal(err)
	}
	wantCredited(t, dir, 20)
	old, err := bolt.Open(path, bolt.Options{}) // an older version serves again
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := credited(t, dir); err == nil || !strings.Contains(err.Error(), path) ||
		!strings.Contains(err.Error(), "older version") {
		t.Errorf("two share journals: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(dir, sharesDir)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("not a journal\n", 2000)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = credited(t, dir)
	if !errors.Is(err, storage.ErrCorrupt) || !strings.Contains(err.Error(), path) {
		t.Errorf("a broken old journal: %v", err)
	}
}
