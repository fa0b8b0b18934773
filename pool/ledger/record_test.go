package ledger

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/unit"
)

var stamp = time.Date(2026, 11, 22, 12, 0, 0, 1e6, time.UTC)

// cut checks that every shortened form of a record, and a lengthened one, is refused.
func cut(t *testing.T, record []byte, decode func([]byte) error) {
	t.Helper()
	if err := decode(record); err != nil {
		t.Fatalf("whole record: %v", err)
	}
	for i := range record {
		if err := decode(record[:i]); !errors.Is(err, ErrRecord) {
			t.Errorf("record cut to %d bytes: %v, want ErrRecord", i, err)
		}
	}
	if err := decode(append(bytes.Clone(record), 0)); !errors.Is(err, ErrRecord) {
		t.Errorf("record with a byte too many: %v, want ErrRecord", err)
	}
}

func decodesCredits(b []byte) error {
	_, _, err := decodeCredits(b)
	return err
}

func decodesSlice(b []byte) error { return foldSlice(b, cursors{}, tallies{}) }

func decodesEntry(b []byte) error {
	_, err := decodeEntry(b)
	return err
}

func newBlocks() *Blocks { return &Blocks{byHash: map[chainhash.Hash]*FoundBlock{}} }

func newEntries() *Entries {
	return &Entries{balances: map[string]unit.Msat{}, posted: map[digest]digest{}}
}

var (
	someCredits = []pool.Credit{{Worker: "a.b", Shares: 3, Work: 1 << 40}, {Worker: "c.d", Shares: 1}}
	someTallies = tallies{
		"a.b": {shares: 300, work: unit.WorkOf(1 << 63).Add(unit.WorkOf(1 << 63)), last: stamp},
	}
	someFound = FoundBlock{
		Hash: chainhash.Hash{1}, Prev: chainhash.Hash{2}, Height: -7, Worker: "a.b", Value: 312, At: stamp,
		Outcome: OutcomeAccepted, Decided: stamp,
	}
	someEntry = Entry{ID: "lease/1", At: stamp, Memo: "m", Lines: []Line{{"a/1", -5}, {"b/2", 5}}}
)

// Ensure records come back as they were and damaged ones are refused.
func TestRecords_RoundTripOrFail(t *testing.T) {
	at, cs, err := decodeCredits(appendCredits(nil, stamp, someCredits))
	if diff := cmp.Diff(someCredits, cs); diff != "" || !at.Equal(stamp) || err != nil {
		t.Errorf("credits of %v (-want +got), %v:\n%s", at, err, diff)
	}
	cut(t, appendCredits(nil, stamp, someCredits), decodesCredits)

	gotCursors, gotTallies := cursors{}, tallies{}
	if err := foldSlice(encodeSlice(cursors{3: 9}, someTallies), gotCursors, gotTallies); err != nil {
		t.Error(err)
	}
	if gotCursors[3] != 9 || *gotTallies["a.b"] != *someTallies["a.b"] {
		t.Errorf("slice is %v %v", gotCursors, gotTallies)
	}
	cut(t, encodeSlice(cursors{3: 9}, someTallies), decodesSlice)

	e, err := decodeEntry(encodeEntry(&someEntry))
	if diff := cmp.Diff(someEntry, e); diff != "" || err != nil {
		t.Errorf("entry (-want +got), %v:\n%s", err, diff)
	}
	cut(t, encodeEntry(&someEntry), decodesEntry)

	b := newBlocks()
	if err := b.fold(appendFound([]byte{foundV1}, &someFound)); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]FoundBlock{someFound}, b.List()); diff != "" {
		t.Errorf("block (-want +got):\n%s", diff)
	}
	cut(t, appendFound([]byte{foundV1}, &someFound), func(r []byte) error { return newBlocks().fold(r) })
	cut(t, b.state(), func(r []byte) error { return newBlocks().restore(r) })

	entries := newEntries()
	entries.balances["a/1"], entries.balances["b/2"] = -5, 5
	entries.posted[digest{1}] = digest{2}
	cut(t, entries.state(), func(r []byte) error { return newEntries().restore(r) })
}

// Ensure hostile values inside well-formed records are refused.
func TestRecords_RefuseHostileValues(t *testing.T) {
	lopsided := Entry{ID: "x", At: stamp, Lines: []Line{{"a/1", 1}, {"a/2", 1}}}
	tooHigh := append([]byte{foundV1}, make([]byte, 64)...)
	tooHigh = append(tooHigh, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f)
	tests := map[string]error{
		"slice whose cursor goes back": func() error {
			return foldSlice(encodeSlice(cursors{1: 4}, nil), cursors{1: 5}, tallies{})
		}(),
		"slice with a shard too high":   decodesSlice(encodeSlice(cursors{maxShards: 1}, nil)),
		"credit to nobody":              decodesCredits(appendCredits(nil, stamp, []pool.Credit{{}})),
		"more credits than bytes":       decodesCredits([]byte{creditV1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f}),
		"entry that does not balance":   decodesEntry(encodeEntry(&lopsided)),
		"snapshot that does not":        newEntries().restore([]byte{balancesV1, 1, 3, 'a', '/', '1', 2, 0}),
		"block of an impossible height": newBlocks().fold(tooHigh),
	}
	for name, err := range tests {
		if !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v, want ErrRecord", name, err)
		}
	}
}

// FuzzRecords feeds any bytes to every decoder: they fail or give what encodes to the same meaning.
func FuzzRecords(f *testing.F) {
	f.Add(appendCredits(nil, stamp, someCredits))
	f.Add(encodeSlice(cursors{3: 9}, someTallies))
	f.Add(encodeEntry(&someEntry))
	f.Add(appendFound([]byte{foundV1}, &someFound))
	f.Add(append(append([]byte{outcomeV1}, make([]byte, 32)...), 0, 1, 'x'))
	f.Add([]byte{blocksV1, 0, 0})
	f.Add([]byte{balancesV1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if at, cs, err := decodeCredits(b); err == nil {
			at2, cs2, err := decodeCredits(appendCredits(nil, at, cs))
			if err != nil || !at2.Equal(at) || !cmp.Equal(cs, cs2) {
				t.Errorf("credits %v became %v (%v)", cs, cs2, err)
			}
		}
		if e, err := decodeEntry(b); err == nil {
			e2, err := decodeEntry(encodeEntry(&e))
			if err != nil || !cmp.Equal(e, e2) {
				t.Errorf("entry %v became %v (%v)", e, e2, err)
			}
		}
		cs, ts := cursors{}, tallies{}
		if foldSlice(b, cs, ts) == nil {
			cs2, ts2 := cursors{}, tallies{}
			if err := foldSlice(encodeSlice(cs, ts), cs2, ts2); err != nil || len(ts) != len(ts2) {
				t.Errorf("slice %v %v became %v %v (%v)", cs, ts, cs2, ts2, err)
			}
		}
		fuzzStates(t, b)
	})
}

func fuzzStates(t *testing.T, b []byte) {
	t.Helper()
	_ = newBlocks().fold(b)
	if blocks := newBlocks(); blocks.restore(b) == nil {
		if err := newBlocks().restore(blocks.state()); err != nil {
			t.Errorf("state of blocks does not come back: %v", err)
		}
	}
	if entries := newEntries(); entries.restore(b) == nil {
		if err := newEntries().restore(entries.state()); err != nil && len(entries.balances) < 2 {
			t.Errorf("state of entries does not come back: %v", err)
		}
	}
}
