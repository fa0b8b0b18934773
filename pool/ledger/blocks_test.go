package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/ledger"
	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/mem"
	"github.com/hashlease/hashlease/storage/storagetest"
)

func openBlocks(t *testing.T, book storage.Journal) *ledger.Blocks {
	t.Helper()
	b, err := ledger.NewBlocks(t.Context(), book)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// block is a block that differs from others by its height.
func block(height int32) *pool.Block {
	return &pool.Block{
		Hash:   chainhash.Hash{byte(height), byte(height >> 8), 1},
		Prev:   chainhash.Hash{byte(height - 1), byte((height - 1) >> 8), 1},
		Height: height, Worker: "alice.s21", Value: 312_500_000, Raw: []byte("never stored"),
	}
}

// outcomes are the list as "height outcome".
func outcomes(b *ledger.Blocks) (got []string) {
	for _, f := range b.List() {
		got = append(got, fmt.Sprintf("%d %s", f.Height, f.Outcome))
	}
	return got
}

// Ensure blocks and the newest word on each are kept, newest first, over a restart.
func TestBlocks_KeepsOutcomes(t *testing.T) {
	book := mem.New()
	b := openBlocks(t, book)
	for h := range int32(4) {
		for range 2 { // the second time changes nothing
			if err := b.Found(t.Context(), block(h)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, o := range []struct {
		height  int32
		outcome string
	}{
		{0, "accepted"},
		{1, "refused: high-hash"},
		{1, "refused: high-hash"},
		{2, "refused: stale"},
		{2, "accepted"},
	} {
		if err := b.Outcome(t.Context(), block(o.height).Hash, o.outcome); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"3 sending", "2 accepted", "1 refused: high-hash", "0 accepted"}
	before := b.List()
	for range 2 {
		if diff := cmp.Diff(want, outcomes(b)); diff != "" {
			t.Fatalf("blocks (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(before, b.List()); diff != "" {
			t.Fatalf("blocks changed over a restart:\n%s", diff)
		}
		if st := b.Stats(); st.Found != 4 || st.Accepted != 2 || st.Kept != 4 {
			t.Errorf("stats are %+v", st)
		}
		book = book.Reopen()
		b = openBlocks(t, book)
	}
	if before[0].At.IsZero() || !before[0].Decided.IsZero() || before[1].Decided.IsZero() {
		t.Errorf("times are wrong: %+v", before[:2])
	}
	if last, err := book.Last(t.Context(), "blocks"); last != 8 || err != nil {
		t.Errorf("%d records (%v), want 8: repeats write nothing", last, err)
	}
}

// Ensure outcomes that nobody could read are refused, and what a node wrote is bounded.
func TestBlocks_RefusesBadOutcomes(t *testing.T) {
	b := openBlocks(t, mem.New())
	if err := b.Outcome(t.Context(), block(1).Hash, "accepted"); !errors.Is(err, ledger.ErrUnknownBlock) {
		t.Errorf("outcome of an unknown block: %v", err)
	}
	if err := b.Found(t.Context(), &pool.Block{}); !errors.Is(err, ledger.ErrInvalid) {
		t.Errorf("block without a worker: %v", err)
	}
	if err := b.Found(t.Context(), block(1)); err != nil {
		t.Fatal(err)
	}
	for _, outcome := range []string{"", "sending", "refused", "refused: ", "Accepted"} {
		if err := b.Outcome(t.Context(), block(1).Hash, outcome); !errors.Is(err, ledger.ErrInvalid) {
			t.Errorf("outcome %q: %v, want ErrInvalid", outcome, err)
		}
	}
	if err := b.Outcome(t.Context(), block(1).Hash, "refused: "+strings.Repeat("\u00e4", 5000)); err != nil {
		t.Fatal(err)
	}
	if got := b.List()[0].Outcome; len(got) > 512 || !strings.HasPrefix(got, "refused: \u00e4\u00e4") {
		t.Errorf("outcome has %d bytes: %.20s", len(got), got)
	}
}

// Ensure neither the replay nor the list grows for ever.
func TestBlocks_BoundsWhatItKeeps(t *testing.T) {
	const n = 10_100
	book := mem.New()
	b := openBlocks(t, book)
	for h := range int32(n) {
		if err := b.Found(t.Context(), block(h)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Outcome(t.Context(), block(0).Hash, "accepted"); !errors.Is(err, ledger.ErrUnknownBlock) {
		t.Errorf("outcome of a block that is no longer kept: %v", err)
	}
	before := b.List()
	book = book.Reopen()
	b = openBlocks(t, book)
	if st := b.Stats(); st.Found != n || st.Kept != 10_000 || before[0].Height != n-1 {
		t.Errorf("stats are %+v, newest is %d", st, before[0].Height)
	}
	if !slices.Equal(before, b.List()) {
		t.Error("blocks changed over a restart")
	}
	at, _, err := book.Snapshot(t.Context(), "blocks")
	if err != nil || n-at > 2000 {
		t.Errorf("snapshot is at %d (%v): a replay reads more than 2000 records", at, err)
	}
}

// Ensure a crash in every write keeps what was acknowledged and invents nothing.
func TestBlocks_SurvivesACrashInEveryWrite(t *testing.T) {
	for kill, finished := 1, false; !finished; kill++ {
		for _, after := range []bool{false, true} {
			book := mem.New()
			faulty := storagetest.NewFaulty(book)
			faulty.KillAt(kill, after)
			b := openBlocks(t, faulty)
			acked := int32(0)
			var err error
			for err == nil && acked < 3 {
				if err = b.Found(t.Context(), block(acked)); err != nil {
					break
				}
				acked++
				err = b.Outcome(t.Context(), block(acked-1).Hash, "accepted")
			}
			finished = err == nil
			b = openBlocks(t, book.Reopen())
			got := int32(len(b.List()))
			if got < acked || got > acked+1 {
				t.Errorf("killed in write %d: %d blocks, %d acknowledged", kill, got, acked)
			}
			if err := b.Found(t.Context(), block(acked)); err != nil {
				t.Errorf("killed in write %d: finding again: %v", kill, err)
			}
		}
	}
}

// ExampleNewBlocks notes a block and what became of it.
func ExampleNewBlocks() {
	ctx := context.Background()
	b, err := ledger.NewBlocks(ctx, mem.New())
	if err != nil {
		fmt.Println(err)
		return
	}
	found := &pool.Block{Hash: chainhash.Hash{1}, Height: 840_000, Worker: "alice.s21"}
	fmt.Println(b.Found(ctx, found))
	fmt.Println(b.Outcome(ctx, found.Hash, ledger.OutcomeRefused+"duplicate"))
	fmt.Println(b.List()[0].Height, b.List()[0].Outcome)
	// Output:
	// <nil>
	// <nil>
	// 840000 refused: duplicate
}

// Ensure that what a reorganisation may still change is told over a restart: accepted and orphaned blocks.
func TestBlocks_TellWhatMayStillChange(t *testing.T) {
	book := mem.New()
	b := openBlocks(t, book)
	for h := range int32(4) {
		if err := b.Found(t.Context(), block(h)); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range []struct {
		height  int32
		outcome string
	}{
		{0, "accepted"}, {1, "refused: stale"}, {2, "accepted"}, {2, "orphaned: block ff has height 2"},
	} {
		if err := b.Outcome(t.Context(), block(o.height).Hash, o.outcome); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"3 sending", "2 orphaned: block ff has height 2", "1 refused: stale", "0 accepted"}
	for range 2 {
		if diff := cmp.Diff(want, outcomes(b)); diff != "" {
			t.Fatalf("blocks (-want +got):\n%s", diff)
		}
		var heights []int32
		for _, a := range b.Accepted() {
			heights = append(heights, a.Height)
		}
		if diff := cmp.Diff([]int32{2, 0}, heights); diff != "" {
			t.Errorf("heights (-want +got):\n%s", diff)
		}
		b = openBlocks(t, book.Reopen())
	}
	if err := b.Outcome(t.Context(), block(0).Hash, "orphaned: "); err == nil {
		t.Error("an orphan without a reason is accepted")
	}
}
