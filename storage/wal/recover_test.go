package wal_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/wal"
)

// create makes a journal with 30 batches of one record each in stream "a": the first of them trimmed,
// snapshots, and, if closed, the mark of an orderly end.
func create(t *testing.T, closed bool) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "journal.wal")
	j := open(t, path, small)
	for range 30 {
		write(t, j, "a", 1)
	}
	err := errors.Join(j.PutSnapshot(t.Context(), "a", 3, []byte("three")), j.Trim(t.Context(), "a", 2))
	if err != nil {
		t.Fatal(err)
	}
	write(t, j, "a", 1)
	end := j.Close
	if !closed {
		j.WaitReady()
		end = j.Drop
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	return path
}

// lastBatch is where the last one of create is, but for the mark: behind 30 records, snapshot and trim.
const lastBatch = 33 * wal.PageSize

// spoil changes the first segment.
func spoil(t *testing.T, dir string, change func(b []byte) []byte) {
	t.Helper()
	path := files(t, dir, ".seg")[0]
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Ensure a batch that a crash tore at the end is cut off, wherever it was torn, and that the log goes
// on there.
func TestOpen_CutsATornEnd(t *testing.T) {
	whole := create(t, false)
	for _, tt := range []struct {
		name string
		tear func(b []byte) []byte
	}{
		{"nothing written", func(b []byte) []byte { clear(b[lastBatch : lastBatch+wal.PageSize]); return b }},
		{"magic only", func(b []byte) []byte { clear(b[lastBatch+4 : lastBatch+wal.PageSize]); return b }},
		{"head only", func(b []byte) []byte { clear(b[lastBatch+32 : lastBatch+wal.PageSize]); return b }},
		{"one byte missing", func(b []byte) []byte { b[lastBatch+60] ^= 1; return b }},
		{"file cut", func(b []byte) []byte { return b[:lastBatch+50] }},
		{"file cut before", func(b []byte) []byte { return b[:lastBatch] }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal.wal")
			if err := os.CopyFS(path, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			spoil(t, path, tt.tear)
			j := open(t, path, small)
			wantRecords(t, j, "a", 2, 30)
			write(t, j, "a", 2)
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			j = open(t, path, small)
			wantRecords(t, j, "a", 2, 32)
		})
	}
}

// Ensure what a disk lost of the acknowledged is an error that names file and offset, never a shorter log.
func TestOpen_RefusesALossInTheMiddle(t *testing.T) {
	for _, tt := range []struct {
		name   string
		offset int // that the error names
		change func(b []byte) []byte
	}{
		{"flipped bit", 5 * wal.PageSize, func(b []byte) []byte { b[5*wal.PageSize+60] ^= 1; return b }},
		{"lost page", 5 * wal.PageSize, func(b []byte) []byte {
			clear(b[5*wal.PageSize : 6*wal.PageSize])
			return b
		}},
		{"first batch", wal.PageSize, func(b []byte) []byte { b[wal.PageSize] ^= 1; return b }},
		{"swapped pages", 5 * wal.PageSize, func(b []byte) []byte {
			five := slices.Clone(b[5*wal.PageSize : 6*wal.PageSize])
			copy(b[5*wal.PageSize:], b[6*wal.PageSize:7*wal.PageSize])
			copy(b[6*wal.PageSize:], five)
			return b
		}},
		{"last batch of a closed one", lastBatch, func(b []byte) []byte { b[lastBatch+60] ^= 1; return b }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := create(t, true)
			spoil(t, path, tt.change)
			j, err := wal.Open(path, small)
			if j != nil || !errors.Is(err, storage.ErrCorrupt) {
				t.Fatalf("open: %v, want ErrCorrupt", err)
			}
			want := fmt.Sprintf("%s at offset %d", files(t, path, ".seg")[0], tt.offset)
			if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "backup") {
				t.Errorf("error does not name %s: %v", want, err)
			}
			if verr := wal.Verify(path); !errors.Is(verr, storage.ErrCorrupt) {
				t.Errorf("verify: %v", verr)
			}
		})
	}
}

// Ensure files that are missing or foreign give errors and never a panic.
func TestOpen_RefusesMissingAndForeignFiles(t *testing.T) {
	for _, tt := range []struct {
		name  string
		want  string
		spoil func(path string) error
	}{
		{"text", "not a segment", func(p string) error {
			return os.WriteFile(p+"/0000000000000001.seg", []byte(strings.Repeat("text\n", 4000)), 0o600)
		}},
		{"empty", "not a segment", func(p string) error {
			return os.WriteFile(p+"/0000000000000001.seg", nil, 0o600)
		}},
		{"newer format", "hashlease wal 2", func(p string) error {
			return os.WriteFile(p+"/0000000000000001.seg",
				append([]byte("hashlease wal 2\n"), make([]byte, 8192)...), 0o600)
		}},
		{"bad header", "checksum", func(p string) error {
			return os.WriteFile(p+"/0000000000000001.seg",
				append([]byte("hashlease wal 1\n"), make([]byte, 8192)...), 0o600)
		}},
		{"under another name", "by its header", func(p string) error {
			return os.Rename(p+"/0000000000000001.seg", p+"/0000000000000002.seg")
		}},
		{"gap", "0000000000000002.seg is missing", func(p string) error {
			return os.Rename(p+"/0000000000000002.seg", p+"/0000000000000003.seg")
		}},
		{"no beginning", "no beginning", func(p string) error {
			return os.Remove(p + "/0000000000000001.seg")
		}},
		{"snapshot", "the log names it", func(p string) error {
			return os.Remove(p + "/0000000000000001.snap")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := create(t, false)
			if err := tt.spoil(path); err != nil {
				t.Fatal(err)
			}
			j, err := wal.Open(path, small)
			if j != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("open: %v, want %q", err, tt.want)
			}
		})
	}
}

// Ensure records and snapshots that break under a running journal are noticed when they are read.
func TestJournal_NoticesWhatBreaksLater(t *testing.T) {
	path := create(t, true)
	j := open(t, path, small)
	spoil(t, path, func(b []byte) []byte { b[lastBatch+60] ^= 1; return b })
	good := storage.Seq(2)
	err := j.Replay(t.Context(), "a", good, func(storage.Seq, []byte) error { good++; return nil })
	if !errors.Is(err, storage.ErrCorrupt) || good != 30 {
		t.Errorf("replay reached %d: %v", good, err)
	}
	if err := os.WriteFile(files(t, path, ".snap")[0], []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := j.Snapshot(t.Context(), "a"); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("snapshot: %v", err)
	}
}

// Ensure a check finds nothing wrong with a whole journal, changes nothing, and respects its lock.
func TestVerify_ChangesNothing(t *testing.T) {
	path := create(t, false)
	read := func() (all string) {
		for _, f := range append(files(t, path, ".seg"), files(t, path, ".snap")...) {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			all += f + string(b)
		}
		return all
	}
	before := read()
	if err := wal.Verify(path); err != nil || read() != before {
		t.Errorf("verify: %v, and files changed: %v", err, read() != before)
	}
	open(t, path, small)
	if err := wal.Verify(path); !errors.Is(err, storage.ErrLocked) {
		t.Errorf("verify of a journal in use: %v", err)
	}
}

// FuzzSegment holds the decoder of segments: it never panics, and bytes that it accepts are what an encoder
// wrote, in whole.
func FuzzSegment(f *testing.F) {
	const salt = 0x1122334455667788
	one := wal.EncodeBatch(salt, 1, "shares/0", [][]byte{[]byte("alice"), nil, []byte("bob")})
	two := append(slices.Clone(one), wal.EncodeBatch(salt, 2, "b", nil)...)
	whole, _ := wal.DecodeSegment(two, salt)
	f.Add(one)
	f.Add(two)
	f.Add(two[:len(two)-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		_, used := wal.DecodeSegment(b, salt)
		if used > len(b)+wal.PageSize {
			t.Fatalf("%d bytes of %d were read", used, len(b))
		}
		torn := slices.Clone(two) // what a crash or a bad disk makes of a segment
		for i, x := range b {
			torn[(i*31)%len(torn)] ^= x
		}
		said, _ := wal.DecodeSegment(torn, salt)
		if len(said) > len(whole) || !slices.Equal(said, whole[:len(said)]) {
			t.Fatalf("a broken segment says %q, it said %q", said, whole)
		}
	})
}

// FuzzBatch holds that what is encoded is decoded.
func FuzzBatch(f *testing.F) {
	f.Add("a", []byte("record"), []byte{}, uint64(7))
	f.Fuzz(func(t *testing.T, stream string, r1, r2 []byte, salt uint64) {
		if storage.CheckStream(stream) != nil {
			return
		}
		b := wal.EncodeBatch(salt, 9, stream, [][]byte{r1, r2})
		said, used := wal.DecodeSegment(b, salt)
		if used != len(b) || len(said) != 6 || said[2] != string(r1) || said[3] != string(r2) {
			t.Fatalf("%d of %d bytes say %q", used, len(b), said)
		}
		if said, _ := wal.DecodeSegment(b, salt+1); len(said) > 0 {
			t.Fatalf("another segment's batch says %q", said)
		}
	})
}
