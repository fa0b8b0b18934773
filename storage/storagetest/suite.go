// Package storagetest is the one conformance suite of storage.Journal: every
// implementation passes Run. It also has Faulty, a journal that fails on command, for the tests of rooms that
// keep state in a journal.
//
// What is special to one implementation (crashes of the process, corrupt files, a full disk) is
// tested beside it.
package storagetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hashlease/hashlease/storage"
)

// Place is where one journal lives. Each call of the function opens what is there, after the one opened
// before was closed.
type Place func() (storage.Journal, error)

// Run checks that a journal does what package storage says. fresh gives an empty place.
func Run(t *testing.T, fresh func(t *testing.T) Place) {
	t.Helper()
	tests := []struct {
		name string
		test func(*testing.T, Place)
	}{
		{"AppendsAndReplaysInOrder", testAppend},
		{"AppendsToSeveralStreamsAsOneUnit", testAtomic},
		{"RefusesWrongExpect", testExpect},
		{"ChecksExpectOfAWriteWithoutRecords", testGuard},
		{"LetsOneOfManyWinACompareAndSwap", testCompareAndSwap},
		{"KeepsCallersApartWhenTheyShareACommit", testIsolation},
		{"CopiesRecords", testCopies},
		{"TrimsTheOldestRecords", testTrim},
		{"KeepsTheNewestSnapshot", testSnapshot},
		{"StopsReplayAtTheFirstError", testReplayStops},
		{"ReplaysWhatWasThereWhenItBegan", testReplayBound},
		{"RefusesNamesOutsideTheBounds", testNames},
		{"RefusesRecordsOutsideTheBounds", testRecords},
		{"RefusesAfterClose", testClose},
		{"HonoursContextBeforeTheCommit", testContext},
		{"KeepsEveryAcknowledgedRecordUnderLoad", testLoad},
		{"ClosesUnderLoad", testCloseUnderLoad},
		{"BehavesAsTheModel", testModel},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, fresh(t)) })
	}
}

// open opens the place and closes it with the test.
func open(t *testing.T, p Place) storage.Journal {
	t.Helper()
	j, err := p()
	if err != nil {
		t.Fatalf("opening journal: %v", err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Errorf("closing journal: %v", err)
		}
	})
	return j
}

// reopen closes j and opens its place again.
func reopen(t *testing.T, p Place, j storage.Journal) storage.Journal {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatalf("closing journal: %v", err)
	}
	return open(t, p)
}

// to is a write of text records.
func to(stream string, expect storage.Seq, records ...string) storage.Write {
	w := storage.Write{Stream: stream, Expect: expect}
	for _, r := range records {
		w.Records = append(w.Records, []byte(r))
	}
	return w
}

func mustAppend(t *testing.T, j storage.Journal, ws ...storage.Write) storage.Seq {
	t.Helper()
	seq, err := j.Append(t.Context(), ws...)
	if err != nil {
		t.Fatalf("appending: %v", err)
	}
	return seq
}

// records replays a stream as "seq:record".
func records(t *testing.T, j storage.Journal, stream string, after storage.Seq) (got []string) {
	t.Helper()
	err := j.Replay(t.Context(), stream, after, func(s storage.Seq, b []byte) error {
		got = append(got, fmt.Sprintf("%d:%s", s, b))
		return nil
	})
	if err != nil {
		t.Fatalf("replaying %s after %d: %v", stream, after, err)
	}
	return got
}

func wantRecords(t *testing.T, j storage.Journal, stream string, after storage.Seq, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, records(t, j, stream, after)); diff != "" {
		t.Fatalf("records of %s after %d (-want +got):\n%s", stream, after, diff)
	}
}

func wantLast(t *testing.T, j storage.Journal, stream string, want storage.Seq) {
	t.Helper()
	if got, err := j.Last(t.Context(), stream); err != nil || got != want {
		t.Fatalf("last of %s is %d (%v), want %d", stream, got, err, want)
	}
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("%s: error is %v, want %v", what, got, want)
	}
}

func testAppend(t *testing.T, p Place) {
	t.Helper()
	j := open(t, p)
	wantRecords(t, j, "a", 0)
	wantLast(t, j, "a", 0)
	if got := mustAppend(t, j, to("a", 0, "one", "two")); got != 2 {
		t.Fatalf("append returned seq %d, want 2", got)
	}
	if got := mustAppend(t, j, to("a", storage.Any, "", "four")); got != 4 {
		t.Fatalf("append returned seq %d, want 4", got)
	}
	for range 2 {
		wantRecords(t, j, "a", 0, "1:one", "2:two", "3:", "4:four")
		wantRecords(t, j, "a", 2, "3:", "4:four")
		wantRecords(t, j, "a", 4)
		wantRecords(t, j, "a", 99)
		wantRecords(t, j, "other", 0)
		wantLast(t, j, "a", 4)
		j = reopen(t, p, j)
	}
}

func testAtomic(t *testing.T, p Place) {
	t.Helper()
	j := open(t, p)
	seq := mustAppend(t, j, to("b", 0, "b1"), to("a", 0, "a1", "a2"), to("b", 1, "b2"))
	if seq != 2 {
		t.Fatalf("append returned seq %d, want 2: the last of the first write's stream", seq)
	}
	_, err := j.Append(t.Context(),
		to("a", storage.Any, "lost"), to("c", storage.Any, "lost"), to("b", 1, "lost"))
	wantErr(t, "append with one wrong expect", err, storage.ErrExpect)
	j = reopen(t, p, j)
	wantRecords(t, j, "a", 0, "1:a1", "2:a2")
	wantRecords(t, j, "b", 0, "1:b1", "2:b2")
	wantRecords(t, j, "c", 0)
	got, err := j.Streams(t.Context())
	if diff := cmp.Diff([]string{"a", "b"}, got); diff != "" || err != nil {
		t.Fatalf("streams (-want +got), %v:\n%s", err, diff)
	}
}

func testExpect(t *testing.T, p Place) {
	t.Helper()
	j := open(t, p)
	mustAppend(t, j, to("a", 0, "one"))
	for _, expect := range []storage.Seq{0, 2, storage.Any - 1} {
		_, err := j.Append(t.Context(), to("a", expect, "wrong"))
		wantErr(t, fmt.Sprintf("append with expect %d", expect), err, storage.ErrExpect)
	}
	mustAppend(t, j, to("a", 1, "two"))
	wantRecords(t, j, "a", 0, "1:one", "2:two")
}

func testGuard(t *testing.T, p Place) {
	t.Helper()
	j := open(t, p)
	mustAppend(t, j, to("lead", 0, "term 1"))
	mustAppend(t, j, to("a", storage.Any, "one"), to("lead", 1))
	_, err := j.Append(t.Context(), to("a", storage.Any, "two"), to("lead", 0))
	wantErr(t, "append with a failing guard", err, storage.ErrExpect)
	if got := mustAppend(t, j, to("none", 0)); got != 0 {
		t.Fatalf("append of nothing returned seq %d, want 0", got)
	}
	wantRecords(t, j, "a", 0, "1:one")
	got, err := j.Streams(t.Context())
	if diff := cmp.Diff([]string{"a", "lead"}, got); diff != "" || err != nil {
		t.Fatalf("streams (-want +got), %v:\n%s", err, diff)
	}
}

func testCopies(t *testing.T, p Place) {
	t.Helper()
	j := open(t, p)
	buf := []byte("one")
	if _, err := j.Append(t.Context(), storage.Write{Stream: "a", Records: [][]byte{buf}}); err != nil {
		t.Fatal(err)
	}
	state := []byte("state")
	if err := j.PutSnapshot(t.Context(), "a", 1, state); err != nil {
		t.Fatal(err)
	}
	copy(buf, "XXX")
	copy(state, "XXXXX")
	err := j.Replay(t.Context(), "a", 0, func(_ storage.Seq, b []byte) error {
		copy(b, "YYY") // a caller that scribbles hurts only itself
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantRecords(t, j, "a", 0, "1:one")
	if _, got, err := j.Snapshot(t.Context(), "a"); string(got) != "state" || err != nil {
		t.Fatalf("snapshot is %q (%v), want \"state\"", got, err)
	}
}

func testTrim(t *testing.T, p Place) {
	t.Helper()
	j := open(t, p)
	var all []string
	for i := range 10_000 { // more than one page and one step of any implementation
		all = append(all, fmt.Sprintf("%d:%d", i+1, i+1))
	}
	for part := range slices.Chunk(all, 1000) {
		w := storage.Write{Stream: "a", Expect: storage.Any}
		for _, r := range part {
			_, value, _ := strings.Cut(r, ":")
			w.Records = append(w.Records, []byte(value))
		}
		mustAppend(t, j, w)
	}
	trim := func(upTo storage.Seq) {
		t.Helper()
		if err := j.Trim(t.Context(), "a", upTo); err != nil {
			t.Fatalf("trimming to %d: %v", upTo, err)
		}
	}
	trim(9_000)
	trim(5_000) // goes nowhere
	for range 2 {
		wantRecords(t, j, "a", 9_000, all[9_000:]...)
		err := j.Replay(t.Context(), "a", 8_999, func(storage.Seq, []byte) error { return nil })
		wantErr(t, "replay from before the trim", err, storage.ErrTrimmed)
		wantLast(t, j, "a", 10_000)
		j = reopen(t, p, j)
	}
	trim(storage.Any)
	for range 2 {
		wantRecords(t, j, "a", 10_000)
		wantLast(t, j, "a", 10_000)
		j = reopen(t, p, j)
	}
	mustAppend(t, j, to("a", 10_000, "next"))
	wantRecords(t, j, "a", 10_000, "10001:next")
	if err := j.Trim(t.Context(), "unknown", 5); err != nil {
		t.Fatalf("trimming an unknown stream: %v", err)
	}
}

func testSnapshot(t *testing.T, p Place) {
	t.Helper()
	j := open(t, p)
	want := func(at storage.Seq, state string) {
		t.Helper()
		gotAt, got, err := j.Snapshot(t.Context(), "a")
		if gotAt != at || string(got) != state || err != nil {
			t.Fatalf("snapshot is %d %q (%v), want %d %q", gotAt, got, err, at, state)
		}
	}
	put := func(at storage.Seq, state string) error {
		return j.PutSnapshot(t.Context(), "a", at, []byte(state))
	}
	want(0, "")
	wantErr(t, "snapshot of nothing", put(1, "x"), storage.ErrInvalid)
	mustAppend(t, j, to("a", 0, "1", "2", "3"))
	wantErr(t, "snapshot at 0", put(0, "x"), storage.ErrInvalid)
	wantErr(t, "snapshot past the end", put(4, "x"), storage.ErrInvalid)
	wantErr(t, "snapshot at Any", put(storage.Any, "x"), storage.ErrInvalid)
	for _, s := range []struct {
		at    storage.Seq
		state string
	}{{2, "two"}, {2, "two again"}, {3, ""}} {
		if err := put(s.at, s.state); err != nil {
			t.Fatal(err)
		}
		want(s.at, s.state)
		wantErr(t, "older snapshot", put(s.at-1, "x"), storage.ErrInvalid)
		j = reopen(t, p, j)
		want(s.at, s.state)
	}
	if err := j.Trim(t.Context(), "a", 3); err != nil {
		t.Fatal(err)
	}
	want(3, "")
}

var errStop = errors.New("stop")

func testReplayStops(t *testing.T, p Place) {
	t.Helper()
	j := open(t, p)
	mustAppend(t, j, to("a", 0, "1", "2", "3"))
	calls := 0
	err := j.Replay(t.Context(), "a", 0, func(storage.Seq, []byte) error {
		calls++
		if calls == 2 {
			return errStop
		}
		return nil
	})
	wantErr(t, "replay", err, errStop)
	if calls != 2 {
		t.Fatalf("replay called %d times, want 2", calls)
	}
}

func testReplayBound(t *testing.T, p Place) {
	t.Helper()
	j := open(t, p)
	mustAppend(t, j, to("a", 0, "1", "2", "3"))
	done := make(chan error, 1) // the one append
	seen := 0
	err := j.Replay(t.Context(), "a", 0, func(s storage.Seq, _ []byte) error {
		if seen++; s == 1 {
			// Another goroutine writes while fn runs: a reader must not hold it up.
			go func() {
				_, err := j.Append(t.Context(), to("a", 3, strings.Repeat("x", 1<<20)))
				done <- err
			}()
			return <-done
		}
		return nil
	})
	if err != nil || seen != 3 {
		t.Fatalf("replay saw %d records (%v), want 3", seen, err)
	}
}

func testNames(t *testing.T, p Place) {
	t.Helper()
	j := open(t, p)
	long := strings.Repeat("a", storage.MaxStream+1)
	for _, name := range []string{"", "A", "a b", "a\x00", "a:b", "\u00e4", long} {
		_, err := j.Append(t.Context(), to("ok", storage.Any, "x"), to(name, storage.Any, "x"))
		wantErr(t, "append", err, storage.ErrInvalid)
		_, err = j.Last(t.Context(), name)
		wantErr(t, "last", err, storage.ErrInvalid)
		err = j.Replay(t.Context(), name, 0, func(storage.Seq, []byte) error { return nil })
		wantErr(t, "replay", err, storage.ErrInvalid)
		_, _, err = j.Snapshot(t.Context(), name)
		wantErr(t, "snapshot", err, storage.ErrInvalid)
		wantErr(t, "put snapshot", j.PutSnapshot(t.Context(), name, 1, nil), storage.ErrInvalid)
		wantErr(t, "trim", j.Trim(t.Context(), name, 1), storage.ErrInvalid)
	}
	_, err := j.Append(t.Context())
	wantErr(t, "append of no writes", err, storage.ErrInvalid)
	wantLast(t, j, "ok", 0)
	for _, name := range []string{"a", "0", "a-z_0.9/x", strings.Repeat("a", storage.MaxStream)} {
		mustAppend(t, j, to(name, 0, "x"))
	}
}

func testRecords(t *testing.T, p Place) {
	t.Helper()
	j := open(t, p)
	big := make([]byte, storage.MaxRecord+1)
	write := func(rs ...[]byte) error {
		_, err := j.Append(t.Context(), storage.Write{Stream: "a", Expect: storage.Any, Records: rs})
		return err
	}
	wantErr(t, "record that is too long", write([]byte("x"), big), storage.ErrInvalid)
	many := slices.Repeat([][]byte{big[:storage.MaxRecord]}, storage.MaxAppend/storage.MaxRecord+1)
	wantErr(t, "append that is too long", write(many...), storage.ErrInvalid)
	wantLast(t, j, "a", 0)
	if err := write(big[:storage.MaxRecord]); err != nil {
		t.Fatalf("longest record: %v", err)
	}
	if err := j.PutSnapshot(t.Context(), "a", 1, make([]byte, storage.MaxRecord*2)); err != nil {
		t.Fatalf("long snapshot: %v", err)
	}
}

func testClose(t *testing.T, p Place) {
	t.Helper()
	j := open(t, p)
	mustAppend(t, j, to("a", 0, "1"))
	for range 2 {
		if err := j.Close(); err != nil {
			t.Fatalf("closing: %v", err)
		}
	}
	_, err := j.Append(t.Context(), to("a", storage.Any, "x"))
	wantErr(t, "append", err, storage.ErrClosed)
	_, err = j.Last(t.Context(), "a")
	wantErr(t, "last", err, storage.ErrClosed)
	_, err = j.Streams(t.Context())
	wantErr(t, "streams", err, storage.ErrClosed)
	err = j.Replay(t.Context(), "a", 0, func(storage.Seq, []byte) error { return nil })
	wantErr(t, "replay", err, storage.ErrClosed)
	_, _, err = j.Snapshot(t.Context(), "a")
	wantErr(t, "snapshot", err, storage.ErrClosed)
	wantErr(t, "put snapshot", j.PutSnapshot(t.Context(), "a", 1, nil), storage.ErrClosed)
	wantErr(t, "trim", j.Trim(t.Context(), "a", 1), storage.ErrClosed)
	wantRecords(t, open(t, p), "a", 0, "1:1")
}
