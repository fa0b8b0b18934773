//go:build !race

package wal_test

import (
	"path/filepath"
	"testing"

	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/wal"
)

// Ensure an append takes no memory but for its arguments.
func TestJournal_AppendsWithoutAllocating(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "journal.wal"), wal.Options{})
	j.WaitReady()
	writes := []storage.Write{{Stream: "a", Expect: storage.Any, Records: [][]byte{make([]byte, 100)}}}
	got := testing.AllocsPerRun(200, func() {
		if _, err := j.Append(t.Context(), writes...); err != nil {
			t.Error(err)
		}
	})
	if got >= 1 { // what is left is the growing list of runs
		t.Errorf("an append allocates %v times, want 0", got)
	}
}
