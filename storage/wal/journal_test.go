package wal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/storagetest"
	"github.com/hashlease/hashlease/storage/wal"
)

// small makes segments fill up quickly.
var small = wal.Options{SegmentSize: 256 << 10}

// Ensure the journal does what the port says.
func TestJournal_Conforms(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storagetest.Place {
		t.Helper()
		path := filepath.Join(t.TempDir(), "journal.wal")
		return func() (storage.Journal, error) { return wal.Open(path, small) }
	})
}

func open(t *testing.T, path string, o wal.Options) *wal.Journal {
	t.Helper()
	j, err := wal.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// write appends n records that say which they are.
func write(t *testing.T, j storage.Journal, stream string, n int) {
	t.Helper()
	last, err := j.Last(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	w := storage.Write{Stream: stream, Expect: last}
	for range n {
		last++
		w.Records = append(w.Records, []byte("record "+strconv.Itoa(int(last))))
	}
	if _, err := j.Append(t.Context(), w); err != nil {
		t.Fatal(err)
	}
}

// wantRecords checks that a stream has exactly the records that write wrote, up to last.
func wantRecords(t *testing.T, j storage.Journal, stream string, after, last storage.Seq) {
	t.Helper()
	if got, err := j.Last(t.Context(), stream); got != last || err != nil {
		t.Fatalf("last of %s is %d (%v), want %d", stream, got, err, last)
	}
	err := j.Replay(t.Context(), stream, after, func(seq storage.Seq, b []byte) error {
		if after++; seq != after || string(b) != "record "+strconv.Itoa(int(seq)) {
			return fmt.Errorf("record %d is %q, want number %d", seq, b, after)
		}
		return nil
	})
	if err != nil || after != last {
		t.Fatalf("replay of %s reached %d of %d: %v", stream, after, last, err)
	}
}

// files lists the directory's files with an extension.
func files(t *testing.T, dir, ext string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"+ext))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// Ensure a journal that is open elsewhere is refused with a clear error, and free after Close.
func TestOpen_RefusesAJournalInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.wal")
	j := open(t, path, small)
	if _, err := wal.Open(path, wal.Options{LockWait: 1}); !errors.Is(err, storage.ErrLocked) {
		t.Errorf("second open: %v, want ErrLocked", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path, small)
}

// Ensure nobody else can read the directory, also one that was copied with wider rights.
func TestOpen_KeepsTheDirectoryPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.wal")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	open(t, path, small)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode is %v (%v), want 0700", info.Mode(), err)
	}
}

// Ensure what cannot be a journal is refused with an error that names it.
func TestOpen_RefusesPlacesThatAreNoDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "below"), "/proc/journal.wal"} {
		if j, err := wal.Open(path, small); j != nil || err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("open %s: %v", path, err)
		}
	}
}

// Ensure options that make no sense are refused.
func TestOpen_RefusesBadOptions(t *testing.T) {
	for _, o := range []wal.Options{
		{SegmentSize: 4096}, {SegmentSize: 1<<20 + 1}, {MaxSize: -1}, {LockWait: -1},
	} {
		if _, err := wal.Open(filepath.Join(t.TempDir(), "a"), o); err == nil {
			t.Errorf("open took %+v", o)
		}
	}
}

// Ensure segments are used again and their number is bounded by what is not trimmed.
func TestJournal_UsesSegmentsAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.wal")
	j := open(t, path, small)
	for range 1000 { // 4 kB each: 16 segments if they were all new
		write(t, j, "a", 1)
		last, err := j.Last(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if last%10 == 0 {
			if err := j.Trim(t.Context(), "a", last-5); err != nil {
				t.Fatal(err)
			}
		}
		j.WaitReady()
	}
	if n := len(files(t, path, ".seg")); n > 4 {
		t.Errorf("%d segments are there, want no more than 4", n)
	}
	wantRecords(t, j, "a", 995, 1000)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, path, small)
	wantRecords(t, j, "a", 995, 1000)
}

// Ensure a reader keeps the segment that it reads, though it is trimmed and wanted again meanwhile.
func TestJournal_KeepsWhatIsBeingRead(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "journal.wal"), small)
	write(t, j, "a", 100)
	seen := storage.Seq(0)
	err := j.Replay(t.Context(), "a", 0, func(seq storage.Seq, b []byte) error {
		if seq == 1 {
			done := make(chan error, 1) // fn itself must not call the journal
			go func() { done <- j.Trim(t.Context(), "a", 100) }()
			if err := <-done; err != nil {
				return err
			}
			go func() {
				for range 200 {
					write(t, j, "b", 1)
					j.WaitReady()
				}
				done <- j.Trim(t.Context(), "b", 200)
			}()
			if err := <-done; err != nil {
				return err
			}
		}
		if seen++; string(b) != "record "+strconv.Itoa(int(seq)) {
			return fmt.Errorf("record %d is %q", seq, b)
		}
		return nil
	})
	if err != nil || seen != 100 {
		t.Fatalf("replay saw %d records: %v", seen, err)
	}
}

// Ensure calls that wait together share one batch.
func TestJournal_SharesACommit(t *testing.T) {
	const callers = 50
	j := open(t, filepath.Join(t.TempDir(), "journal.wal"), small)
	release := j.Hold()
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			w := storage.Write{Stream: "s" + strconv.Itoa(c), Records: [][]byte{{1}}}
			if _, err := j.Append(t.Context(), w); err != nil {
				t.Error(err)
			}
		})
	}
	release(callers)
	wg.Wait()
	if got := j.Batches(); got != 1 {
		t.Errorf("%d batches were written, want 1", got)
	}
}

// Ensure a call that waits is withdrawn by its context, and nobody else with it.
func TestJournal_WithdrawsACallThatWaits(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "journal.wal"), small)
	release := j.Hold()
	kept := make(chan error, 1)
	go func() {
		_, err := j.Append(t.Context(), storage.Write{Stream: "kept", Records: [][]byte{{1}}})
		kept <- err
	}()
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := j.Append(ctx, storage.Write{Stream: "gone", Records: [][]byte{{1}}})
		gone <- err
	}()
	j.WaitCalls(2)
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("withdrawn call: %v", err)
	}
	release(1)
	if err := <-kept; err != nil {
		t.Errorf("the other call: %v", err)
	}
	if last, err := j.Last(t.Context(), "gone"); last != 0 || err != nil {
		t.Errorf("the withdrawn call was written: %d, %v", last, err)
	}
}

// Ensure a full disk refuses what does not fit and nothing else: memory stays what the disk is,
// trimming goes on, and room that was trimmed free is used again.
func TestJournal_OutlivesAFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.wal")
	o := wal.Options{SegmentSize: 256 << 10, MaxSize: 1 << 20}
	j := open(t, path, o)
	big := storage.Write{Stream: "big", Expect: storage.Any, Records: [][]byte{make([]byte, 100<<10)}}
	var written storage.Seq
	var err error
	for err == nil {
		var last storage.Seq
		if last, err = j.Append(t.Context(), big, storage.Write{
			Stream: "small", Expect: written, Records: [][]byte{{1}},
		}); err == nil {
			written = last
		}
	}
	if written < 2 || errors.Is(err, storage.ErrFailed) {
		t.Fatalf("%d appends fit, then %v", written, err)
	}
	for _, stream := range []string{"big", "small"} {
		if last, err := j.Last(t.Context(), stream); last != written || err != nil {
			t.Fatalf("last of %s is %d (%v), want %d", stream, last, err, written)
		}
	}
	for _, stream := range []string{"big", "small"} {
		if err := j.Trim(t.Context(), stream, written); err != nil {
			t.Fatalf("trimming on a full disk: %v", err)
		}
	}
	for range 20 {
		if _, err := j.Append(t.Context(), big); err != nil {
			t.Fatalf("append after trimming: %v", err)
		}
		written++
		if err := j.Trim(t.Context(), "big", written); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, path, o)
	if last, err := j.Last(t.Context(), "big"); last != written || err != nil {
		t.Fatalf("last is %d (%v), want %d", last, err, written)
	}
}

// Ensure a full disk is not filled again by every call that waits for room, and is looked at again soon.
func TestJournal_TriesAFullDiskNowAndThen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal.wal")
	j := open(t, path, small)
	j.WaitReady()
	// A directory where the next file is made: none can be, as on a full disk.
	if err := os.MkdirAll(filepath.Join(path, "next", "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	big := storage.Write{Stream: "a", Expect: storage.Any, Records: [][]byte{make([]byte, 100<<10)}}
	fill := func() (n int) {
		for ; n < 100; n++ {
			if _, err := j.Append(t.Context(), big); err != nil {
				return n
			}
		}
		return n
	}
	if n := fill(); n < 1 || n > 4 {
		t.Fatalf("%d appends fit into what was ready", n)
	}
	if err := os.RemoveAll(filepath.Join(path, "next")); err != nil {
		t.Fatal(err)
	}
	for fill() < 100 { // no longer than the pause
		runtime.Gosched()
	}
}

// Ensure a disk that fails in a write stops all writing, still reads, still closes, and that the next
// opening says what is durable.
func TestJournal_StopsWhenTheDiskFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.wal")
	j := open(t, path, small)
	write(t, j, "a", 10)
	if err := j.CutFile(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := j.Append(t.Context(), storage.Write{Stream: "a", Expect: 10, Records: [][]byte{{1}}})
		if !errors.Is(err, storage.ErrFailed) {
			t.Errorf("append: %v, want ErrFailed", err)
		}
	}
	wantRecords(t, j, "a", 0, 10)
	if err := j.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	j = open(t, path, small)
	wantRecords(t, j, "a", 0, 10)
	write(t, j, "a", 1)
}

// ExampleOpen appends to two streams as one unit and reads one back.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	j, err := wal.Open(filepath.Join(dir, "shares.wal"), wal.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = j.Close() }()
	_, err = j.Append(ctx,
		storage.Write{Stream: "shares/0", Records: [][]byte{[]byte("alice 16")}},
		storage.Write{Stream: "shares/1", Records: [][]byte{[]byte("bob 3"), []byte("carol 1")}})
	fmt.Println(err)
	err = j.Replay(ctx, "shares/1", 0, func(seq storage.Seq, record []byte) error {
		fmt.Printf("%d %s\n", seq, record)
		return nil
	})
	fmt.Println(err)
	// Output:
	// <nil>
	// 1 bob 3
	// 2 carol 1
	// <nil>
}
