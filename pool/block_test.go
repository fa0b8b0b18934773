package pool_test

import (
	"bytes"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool"
)

// clockAt is a node's clock that stands still.
type clockAt struct{ blockchain.MedianTimeSource }

func (clockAt) AdjustedTime() time.Time { return start }

// checkBlock parses a block as a node does and applies every check that needs no chain.
func checkBlock(tb testing.TB, b *pool.Block, powLimit *big.Int) *wire.MsgBlock {
	tb.Helper()
	block, err := btcutil.NewBlockFromBytes(b.Raw)
	if err != nil {
		tb.Fatalf("parsing block: %v", err)
	}
	if err := blockchain.CheckBlockSanity(block, powLimit, clockAt{}); err != nil {
		tb.Fatalf("block is not sane: %v", err)
	}
	if err := blockchain.ValidateWitnessCommitment(block); err != nil {
		tb.Fatalf("witness commitment: %v", err)
	}
	height, err := blockchain.ExtractCoinbaseHeight(block.Transactions()[0])
	if err != nil || height != b.Height {
		tb.Fatalf("coinbase height %d, %v; want %d", height, err, b.Height)
	}
	msg := block.MsgBlock()
	if msg.Header.BlockHash() != b.Hash || msg.Header.PrevBlock != b.Prev {
		tb.Fatal("header does not match the block's hashes")
	}
	coinbase := msg.Transactions[0]
	sum := int64(0)
	for _, out := range coinbase.TxOut {
		sum += out.Value
	}
	if sum != b.Value {
		tb.Fatalf("coinbase pays %d, claims %d", sum, b.Value)
	}
	in := coinbase.TxIn[0]
	if coinbase.Version != 2 || coinbase.LockTime != uint32(b.Height-1) || in.Sequence != 0xfffffffe {
		tb.Fatalf("version %d, lock time %d, sequence %x", coinbase.Version, coinbase.LockTime, in.Sequence)
	}
	if n := len(in.SignatureScript); n < 2 || n > 100 {
		tb.Fatalf("scriptSig has %d bytes", n)
	}
	return msg
}

// Ensure that what a channel finds is a block that a node would take, for both kinds of
// channel, with and without transactions and witnesses, at heights of every push size.
func TestBlock_PassesTheChecksOfANode(t *testing.T) {
	for _, kind := range []pool.Kind{pool.Standard, pool.Extended} {
		for _, height := range []int32{1, 2, 16, 17, 127, 128, 255, 256, 32767, 32768, 840000, 8388608} {
			for _, txs := range []int{0, 1, 2, 5, 300} {
				t.Run(fmt.Sprintf("%v/%d/%d", kind, height, txs), func(t *testing.T) {
					tmpl := newTemplate(t, height, txs)
					tmpl.Bits = easyBits
					r := advance(t, newAssembler(t), nil, tmpl)
					c := open(t, easy(kind), r)
					s := share(c, r.Full, 2, 0)
					s.Version ^= 0x00fff0e0 // rolled
					_, v := mine(t, c, s, func(v pool.Verdict) bool { return v.Block != nil })
					msg := checkBlock(t, v.Block, chaincfg.RegressionNetParams.PowLimit)
					if len(msg.Transactions) != 1+txs {
						t.Errorf("%d transactions, want %d", len(msg.Transactions), 1+txs)
					}
					witness := msg.Transactions[0].TxIn[0].Witness
					want := wire.TxWitness(nil)
					if tmpl.Commitment != nil {
						want = wire.TxWitness{make([]byte, 32)}
					}
					if d := cmp.Diff(want, witness); d != "" {
						t.Errorf("coinbase witness (-want +got):\n%s", d)
					}
					if b := v.Block; b.Worker != "alice.rig1" || b.Height != height || b.Value != tmpl.Value {
						t.Errorf("block of %s at %d worth %d", b.Worker, b.Height, b.Value)
					}
				})
			}
		}
	}
}

// Ensure that the coinbase-only job of a tip gives a block that claims the subsidy alone.
func TestBlock_OfTheFirstJobClaimsTheSubsidyAlone(t *testing.T) {
	tmpl := newTemplate(t, 500, 9)
	tmpl.Bits = easyBits
	r := advance(t, newAssembler(t), nil, tmpl)
	c := open(t, easy(pool.Standard), r)
	_, v := mine(t, c, share(c, r.First, 1, 0), func(v pool.Verdict) bool { return v.Block != nil })
	checkBlock(t, v.Block, chaincfg.RegressionNetParams.PowLimit)
	if want := tmpl.Value - tmpl.Fees(); v.Block.Value != want {
		t.Errorf("claims %d, want %d", v.Block.Value, want)
	}
}

// Ensure that a commitment without transactions, as Bitcoin Core gives it, makes a valid block.
func TestBlock_WithCommitmentAlone(t *testing.T) {
	tmpl := newTemplate(t, 500, 0)
	tmpl.Bits, tmpl.Commitment = easyBits, commitment([]chainhash.Hash{{}})
	r := advance(t, newAssembler(t), nil, tmpl)
	c := open(t, easy(pool.Extended), r)
	_, v := mine(t, c, share(c, r.Full, 2, 0), func(v pool.Verdict) bool { return v.Block != nil })
	msg := checkBlock(t, v.Block, chaincfg.RegressionNetParams.PowLimit)
	if !msg.Transactions[0].HasWitness() || len(msg.Transactions[0].TxOut) != 2 {
		t.Errorf("coinbase %+v", msg.Transactions[0])
	}
}

// Ensure that blocks are found past the bound of a job's shares, and remembered, up to a bound.
func TestBlock_IsFoundThoughTheJobIsFull(t *testing.T) {
	tmpl := newTemplate(t, 500, 0)
	tmpl.Bits = easyBits
	cfg := easy(pool.Standard)
	cfg.Difficulty.Floor = pool.TargetForHashes(1e12) // blocks are easier than shares here
	r := advance(t, newAssembler(t), nil, tmpl)
	c := open(t, cfg, r)
	s := share(c, r.Full, 2, 0)
	blocks, full := 0, 0
	for range 4 * pool.MaxSharesPerJob {
		v := c.Submit(s, start)
		if v.Block != nil {
			blocks++
			if again := c.Submit(s, start); again.Reject != pool.RejectDuplicate || again.Block != nil {
				t.Fatalf("block %d again: %v", blocks, again.Reject)
			}
		}
		if v.JobFull {
			full++
		}
		s.Nonce++
	}
	if blocks != pool.MaxSharesPerJob*5/4 || full == 0 {
		t.Errorf("%d blocks, full %d times", blocks, full)
	}
}

// Ensure that a job without a template still tells which header was found.
func TestBlock_WithoutTemplateIsItsHeader(t *testing.T) {
	tmpl := newTemplate(t, 500, 0)
	tmpl.Bits = easyBits
	r := advance(t, newAssembler(t), nil, tmpl)
	j := *r.First
	j.Template, j.Seq = nil, 1000
	c := open(t, easy(pool.Standard), r)
	c.Assign(&j, 3, start)
	_, v := mine(t, c, share(c, &j, 3, 0), func(v pool.Verdict) bool { return v.Block != nil })
	var h wire.BlockHeader
	err := h.Deserialize(bytes.NewReader(v.Block.Raw))
	if err != nil || len(v.Block.Raw) != 80 || h.BlockHash() != v.Block.Hash {
		t.Errorf("raw block of %d bytes, %v", len(v.Block.Raw), err)
	}
}

// Ensure that a standard channel's root is the one that an extended job gives with the channel's
// prefix, and that both match the root of the whole block (SV2-113, SV2-114).
func TestSV2_114_RootIsTheSameForBothKinds(t *testing.T) {
	a := newAssembler(t)
	rapid.Check(t, func(rt *rapid.T) {
		height, txs := rapid.Int32Range(1, 1<<30).Draw(rt, "height"), rapid.IntRange(0, 40).Draw(rt, "txs")
		tmpl := newTemplate(t, height, txs)
		j := advance(t, a, nil, tmpl).Full
		full := rapid.SliceOfN(rapid.Byte(), pool.ExtranonceSize, pool.ExtranonceSize).Draw(rt, "extranonce")
		cut := rapid.IntRange(0, pool.ExtranonceSize).Draw(rt, "cut")
		cfg := easy(pool.Standard)
		cfg.Prefix = full
		got := pool.NewChannel(cfg, start).Assign(j, 1, start).Root()
		if want := j.Root(full[:cut], full[cut:]); got != want {
			rt.Fatalf("standard root %v, extended root %v", got, want)
		}
		raw := j.AppendBlock(nil, new([80]byte), full[:cut], full[cut:])
		block, err := btcutil.NewBlockFromBytes(raw)
		if err != nil {
			rt.Fatal(err)
		}
		if want := blockchain.CalcMerkleRoot(block.Transactions(), false); got != want {
			rt.Fatalf("root %v, of the block %v", got, want)
		}
	})
}
