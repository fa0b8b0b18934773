package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk is a disk of its own, of so many bytes.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("a disk that can be filled needs the right to mount one: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillUp writes to a file until the disk is full.
func fillUp(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for chunk := make([]byte, 4096); len(chunk) > 0; {
		if _, err := f.Write(chunk); err != nil {
			chunk = chunk[:len(chunk)/2]
		}
	}
}

// Ensure that a full disk, in the middle of a file or where the next is begun, loses nothing that has room to
// wait; that what has not is counted, kind by kind and to the last record, in the chain; and that a kill
// while it is full leaves a log that opens, says so and verifies.
func TestLog_OutlivesAFullDisk(t *testing.T) {
	const queued = 50
	for _, kill := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed %v", kill), func(t *testing.T) {
			dir := smallDisk(t, 1<<20)
			logs := filepath.Join(dir, "audit")
			small := func(c *Config) { c.Queue, c.Segment = queued, 8<<10 }
			l := open(t, logs, small)
			flush(t, l)
			i := 0
			note := func(n int) {
				for range n {
					l.Note(reading(i))
					i++
				}
			}
			for range 20 {
				note(10)
				flush(t, l)
			}
			fillUp(t, filepath.Join(dir, "ballast"))
			waits := 0
			var full error
			for waits = 0; full == nil; waits++ { // the last page may have room
				note(10)
				full = l.Flush()
			}
			if !errors.Is(full, syscall.ENOSPC) {
				t.Fatalf("on a full disk: %v", full)
			}
			durable := l.Head()
			note(queued + 7)
			l.Note(Record{At: noon, Kind: Order})
			if err := l.Flush(); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("on a full disk: %v", err)
			}
			if kill {
				l = open(t, logs, small) // what was noted since is lost with the process
				note(3)
			}
			if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
				t.Fatal(err)
			}
			flush(t, l)
			rs := all(t, logs)
			checkFull(t, rs, i, kill)
			if rs[durable.Seq-1].Seq != durable.Seq {
				t.Errorf("record %d was durable and is not there", durable.Seq)
			}
			var file bytes.Buffer
			q := Query{Site: "north", From: noon.Add(-time.Hour), Until: noon.Add(time.Hour)}
			if _, err := l.Report(t.Context(), q, false, &file); err != nil {
				t.Fatal(err)
			}
			if res, err := Verify(&file, Trust{}); err != nil || !res.Sealed || res.Records < 200 {
				t.Errorf("its file: %+v %v", res, err)
			}
		})
	}
}

// checkFull accounts for every one of n readings that were noted.
func checkFull(t *testing.T, rs []Record, n int, killed bool) {
	t.Helper()
	kept, missing, order, starts := 0, uint64(0), 0, 0
	for _, r := range rs {
		switch r.Kind {
		case Reading:
			kept++
		case Gap:
			missing += r.Missing
			if !strings.Contains(r.Text, "disk") || !strings.Contains(r.Text, "order 1, reading 7") {
				t.Errorf("the gap says %q", r.Text)
			}
		case Order:
			order++
		case Started:
			starts++
			if starts == 2 && r.Missing == 0 && !strings.Contains(r.Text, "was not closed") {
				t.Errorf("the start after the kill says %q", r.Text)
			}
		default:
		}
	}
	switch {
	case killed && (starts != 2 || kept >= n):
		t.Errorf("%d starts, %d of %d readings", starts, kept, n)
	case !killed && (kept+int(missing) != n+1 || order != 0 || missing != 8):
		t.Errorf("%d of %d readings are there and %d records are said to be missing", kept, n, missing)
	}
}
