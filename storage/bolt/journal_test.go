package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/bolt"
	"github.com/hashlease/hashlease/storage/storagetest"
)

// Ensure the journal in a file does what the port says.
func TestJournal_Conforms(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storagetest.Place {
		t.Helper()
		path := filepath.Join(t.TempDir(), "journal.db")
		return func() (storage.Journal, error) { return bolt.Open(path, bolt.Options{}) }
	})
}

// create makes a journal file with three records in stream "a" and leaves it closed.
func create(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "journal.db")
	j := reopen(t, path, bolt.Options{})
	write(t, j, "a", 3)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func reopen(t *testing.T, path string, o bolt.Options) *bolt.Journal {
	t.Helper()
	j, err := bolt.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func write(t *testing.T, j storage.Journal, stream string, n int) {
	t.Helper()
	w := storage.Write{Stream: stream, Expect: storage.Any}
	for i := range n {
		w.Records = append(w.Records, []byte("record "+strconv.Itoa(i)))
	}
	if _, err := j.Append(t.Context(), w); err != nil {
		t.Fatal(err)
	}
}

// edit changes the closed file behind the journal's back.
func edit(t *testing.T, path string, fn func(tx *bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(fn), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// Ensure a file that is open elsewhere is refused with a clear error, and free after Close.
func TestOpen_RefusesAFileInUse(t *testing.T) {
	path := create(t)
	j := reopen(t, path, bolt.Options{})
	if _, err := bolt.Open(path, bolt.Options{LockWait: 1}); !errors.Is(err, storage.ErrLocked) {
		t.Errorf("second open: %v, want ErrLocked", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	reopen(t, path, bolt.Options{})
}

// Ensure nobody else can read the file, also one that was copied with wider rights.
func TestOpen_KeepsTheFilePrivate(t *testing.T) {
	path := create(t)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	reopen(t, path, bolt.Options{})
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v, want 0600", info.Mode())
	}
}

// Ensure files that are not a journal, or no longer a whole one, give errors and never a panic.
func TestOpen_RefusesBrokenFiles(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, path string)
	}{
		{"text", func(t *testing.T, path string) {
			t.Helper()
			if err := os.WriteFile(path, bytes.Repeat([]byte("not a journal\n"), 10_000), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"truncated", func(t *testing.T, path string) {
			t.Helper()
			if err := os.Truncate(path, 2*4096); err != nil { // the two meta pages are left
				t.Fatal(err)
			}
		}},
		{"foreign database", func(t *testing.T, path string) {
			t.Helper()
			edit(t, path, func(tx *bbolt.Tx) error {
				_, err := tx.CreateBucket([]byte("other"))
				return errors.Join(err, tx.DeleteBucket([]byte("streams")))
			})
		}},
		{"lost record", func(t *testing.T, path string) {
			t.Helper()
			edit(t, path, func(tx *bbolt.Tx) error {
				return tx.Bucket([]byte("streams")).Bucket([]byte("a")).Delete([]byte{0, 0, 0, 0, 0, 0, 0, 3})
			})
		}},
		{"bad snapshot", func(t *testing.T, path string) {
			t.Helper()
			edit(t, path, func(tx *bbolt.Tx) error {
				return tx.Bucket([]byte("snapshots")).Put([]byte("a"), []byte("0123456789abcdef"))
			})
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := create(t)
			tt.spoil(t, path)
			j, err := bolt.Open(path, bolt.Options{})
			if !errors.Is(err, storage.ErrCorrupt) {
				t.Fatalf("open: %v, want ErrCorrupt", err)
			}
			if j != nil {
				t.Fatal("open gave a journal with its error")
			}
		})
	}
}

// Ensure a newer format is refused by name.
func TestOpen_RefusesAnUnknownFormat(t *testing.T) {
	path := create(t)
	edit(t, path, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("format"), []byte("hashlease journal 2"))
	})
	if _, err := bolt.Open(path, bolt.Options{}); err == nil {
		t.Fatal("open took an unknown format")
	}
}

// Ensure options that make no sense are refused.
func TestOpen_RefusesNegativeOptions(t *testing.T) {
	if _, err := bolt.Open(filepath.Join(t.TempDir(), "a.db"), bolt.Options{MmapSize: -1}); err == nil {
		t.Fatal("open took a negative size")
	}
}

// Ensure a record whose bytes changed, or that is another's, is noticed.
func TestJournal_NoticesCorruptRecords(t *testing.T) {
	first, second := []byte{0, 0, 0, 0, 0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 0, 0, 2}
	spoils := map[string]func(b *bbolt.Bucket) error{
		"flipped bit": func(b *bbolt.Bucket) error {
			v := bytes.Clone(b.Get(second))
			v[len(v)-1] ^= 1
			return b.Put(second, v)
		},
		"record of another seq": func(b *bbolt.Bucket) error {
			return b.Put(second, bytes.Clone(b.Get(first)))
		},
		"missing record": func(b *bbolt.Bucket) error { return b.Delete(second) },
		"short record":   func(b *bbolt.Bucket) error { return b.Put(second, []byte{1}) },
	}
	for name, spoil := range spoils {
		t.Run(name, func(t *testing.T) {
			path := create(t)
			edit(t, path, func(tx *bbolt.Tx) error {
				return spoil(tx.Bucket([]byte("streams")).Bucket([]byte("a")))
			})
			j := reopen(t, path, bolt.Options{})
			var good int
			err := j.Replay(t.Context(), "a", 0, func(storage.Seq, []byte) error { good++; return nil })
			if !errors.Is(err, storage.ErrCorrupt) || good > 1 {
				t.Fatalf("replay gave %d records and %v, want at most 1 and ErrCorrupt", good, err)
			}
		})
	}
}

// Ensure a full disk refuses what does not fit and nothing else: memory stays what the disk
// is, and room that was trimmed free is used again.
func TestJournal_OutlivesAFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	o := bolt.Options{MmapSize: 1 << 20, MaxSize: 8 << 20}
	j := reopen(t, path, o)
	big := storage.Write{Stream: "big", Expect: storage.Any, Records: [][]byte{make([]byte, 1<<20)}}
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
	if err := j.Trim(t.Context(), "big", written); err != nil {
		t.Fatalf("trimming on a full disk: %v", err)
	}
	if _, err := j.Append(t.Context(), big); err != nil {
		t.Fatalf("append after trimming: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = reopen(t, path, o)
	if last, err := j.Last(t.Context(), "big"); last != written+1 || err != nil {
		t.Fatalf("last is %d (%v), want %d", last, err, written+1)
	}
}

// Ensure a file that breaks under a running journal gives errors, stops all writing and still closes.
func TestJournal_StopsWhenTheFileBreaks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := reopen(t, path, bolt.Options{})
	for range 10 {
		write(t, j, "a", 100)
	}
	if err := os.Truncate(path, 2*4096); err != nil {
		t.Fatal(err)
	}
	err := j.Replay(t.Context(), "a", 0, func(storage.Seq, []byte) error { return nil })
	if !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("replay: %v, want ErrCorrupt", err)
	}
	for range 2 {
		_, err := j.Append(t.Context(), storage.Write{Stream: "a", Expect: 1000, Records: [][]byte{{1}}})
		if !errors.Is(err, storage.ErrFailed) {
			t.Errorf("append: %v, want ErrFailed", err)
		}
	}
	if last, err := j.Last(t.Context(), "a"); last != 1000 || err != nil {
		t.Errorf("last is %d (%v), want 1000", last, err)
	}
	if err := j.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// Ensure every leader gets a term that no earlier one had, also over restarts.
func TestJournal_LeadsWithGrowingTerms(t *testing.T) {
	path := create(t)
	for want := storage.Term(1); want < 4; want++ {
		j := reopen(t, path, bolt.Options{})
		if got, err := j.Lead(t.Context()); got != want || err != nil {
			t.Fatalf("term is %d (%v), want %d", got, err, want)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := j.Lead(t.Context()); !errors.Is(err, storage.ErrClosed) {
			t.Fatalf("lead after close: %v", err)
		}
	}
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
	j, err := bolt.Open(filepath.Join(dir, "book.db"), bolt.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = j.Close() }()
	_, err = j.Append(ctx,
		storage.Write{Stream: "leases", Records: [][]byte{[]byte("created")}},
		storage.Write{Stream: "ledger", Records: [][]byte{[]byte("deposit"), []byte("fee")}})
	fmt.Println(err)
	err = j.Replay(ctx, "ledger", 0, func(seq storage.Seq, record []byte) error {
		fmt.Printf("%d %s\n", seq, record)
		return nil
	})
	fmt.Println(err)
	// Output:
	// <nil>
	// 1 deposit
	// 2 fee
	// <nil>
}

// BenchmarkBolt_Append measures durable records a second: 100 bytes each, one record a call.
func BenchmarkBolt_Append(b *testing.B) {
	for _, callers := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			j, err := bolt.Open(filepath.Join(b.TempDir(), "journal.db"), bolt.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = j.Close() }()
			record := [][]byte{make([]byte, 100)}
			var left atomic.Int64
			left.Store(int64(b.N))
			done := make(chan error, callers)
			b.ReportAllocs()
			b.ResetTimer()
			for range callers {
				go func() {
					var err error
					for err == nil && left.Add(-1) >= 0 {
						_, err = j.Append(b.Context(), storage.Write{
							Stream: "bench", Expect: storage.Any, Records: record,
						})
					}
					done <- err
				}()
			}
			for range callers {
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
