package pool_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool"
)

// Ensure that a payout's rounds share jobs as the pool's own do: the future job of one round is the first
// job of the next, and equal payouts have equal jobs (SV2-103).
func TestAssembler_KeepsTheJobsOfAPayout(t *testing.T) {
	a := newAssembler(t)
	miner := pool.Payout{Script: "\x51miner"}
	one := advance(t, a, nil, newTemplate(t, 100, 3))
	two := advance(t, a, one, newTemplate(t, 101, 2))
	if a.For(one, pool.Payout{}) != one {
		t.Error("the pool's own payout has other jobs")
	}
	r1 := a.For(one, miner)
	if a.For(one, miner) != r1 {
		t.Error("equal payouts have different rounds")
	}
	r2 := a.For(two, miner)
	if r2.First != r1.Next || r1.First == one.First {
		t.Error("the future job did not become the first one")
	}
	if a.For(one, miner) != r2 {
		t.Error("an older round came back")
	}
	if bytes.Equal(r1.First.Prefix, one.First.Prefix) {
		t.Error("two payouts share a search space")
	}
}

// Ensure that a coinbase's outputs sum to its value exactly, whatever is given to the pool (SV2-118).
func TestAssembler_SplitsTheCoinbaseExactly(t *testing.T) {
	a := newAssembler(t)
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.Int64Range(1, 21e14).Draw(t, "value")
		percent := rapid.IntRange(0, 99).Draw(t, "percent")
		r, err := a.Advance(nil, &pool.Template{
			Tip: pool.Tip{Height: 100, Prev: hashOf(1), Bits: hardBits}, Value: value, Partial: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		out := coinbaseOf(t, a.For(r, pool.Payout{Script: "\x51", Percent: uint8(percent)}).First).TxOut
		fee := value/100*int64(percent) + value%100*int64(percent)/100
		last := out[len(out)-1]
		if last.Value != value-fee || string(last.PkScript) != "\x51" {
			t.Fatalf("the miner gets %d of %d, want %d", last.Value, value, value-fee)
		}
		if fee > 0 && (len(out) != 2 || out[0].Value != fee) || fee == 0 && len(out) != 1 {
			t.Fatalf("%d outputs for a fee of %d", len(out), fee)
		}
	})
}

// Ensure that rounds say whether they share jobs: the future job outlives reorganisations of one height, and
// becomes the first one of its tip.
func TestRound_SharesJobsUntilAllAreNew(t *testing.T) {
	a := newAssembler(t)
	one := advance(t, a, nil, newTemplate(t, 100, 3))
	reorg := newTemplate(t, 100, 3)
	reorg.Prev = hashOf(9)
	two := advance(t, a, one, reorg)
	three := advance(t, a, two, newTemplate(t, 101, 2))
	four := advance(t, a, three, newTemplate(t, 102, 2))
	for n, r := range []*pool.Round{one, two, three} {
		if !r.Shares(one) {
			t.Errorf("round %d shares no job with the first", n)
		}
	}
	if four.Shares(one) || !four.Shares(three) {
		t.Error("the fourth round shares a job with the first, or none with the third")
	}
}
