package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/hashlease/hashlease/storage/bolt"
	"github.com/hashlease/hashlease/storage/wal"
)

// Journals in the storage directory.
const (
	bookFile  = "book.db"
	sharesDir = "shares.wal"

	oldShares      = "shares.db"            // the share journal of versions before
	importedShares = "shares.db.imported"   // the same, when shares.wal has all that it had
	unreadyShares  = "shares.wal.importing" // shares.wal until shares.db has lost its name
)

// adoptShares takes the share journal of a version before over, once: shares.wal has all of it durably
// before shares.db loses its name, and no moment of a crash leaves both or none of them in force. The
// caller has the book open, so nobody else serves here.
func adoptShares(ctx context.Context, dir string, log *slog.Logger) error {
	path := func(name string) string { return filepath.Join(dir, name) }
	old, err := exists(path(oldShares))
	if err != nil {
		return err
	}
	present, err := exists(path(sharesDir))
	switch {
	case err != nil:
		return err
	case old && present:
		return fmt.Errorf("%[1]s is the share journal of an older version, %[2]s that of this one: "+
			"an older version served here in between. If no share was mined with it, move %[1]s away; "+
			"else put back the backup from before the upgrade", path(oldShares), path(sharesDir))
	case old:
		if err := importOld(ctx, path); err != nil {
			return fmt.Errorf("taking over the share journal of an older version: %w", err)
		}
		log.Info("took over the share journal of an older version",
			slog.String("kept_as", path(importedShares)))
	case present:
		return nil
	}
	// Whole, and the only one since its source lost its name.
	if err := os.Rename(path(unreadyShares), path(sharesDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(dir)
}

// importOld copies shares.db and takes its name away.
func importOld(ctx context.Context, path func(string) string) error {
	if err := os.RemoveAll(path(unreadyShares)); err != nil { // of a start that was cut off
		return err
	}
	from, err := bolt.Open(path(oldShares), bolt.Options{})
	if err != nil {
		return err
	}
	err = wal.Import(ctx, from, path(unreadyShares), wal.Options{})
	if err = errors.Join(err, from.Close()); err != nil {
		return err
	}
	err = os.Rename(path(oldShares), path(importedShares))
	return errors.Join(err, syncDir(filepath.Dir(path(oldShares))))
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
