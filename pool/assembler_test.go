package pool_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool"
)

// coinbaseOf parses a job's coinbase with an extranonce of zeros.
func coinbaseOf(t rapid.TB, j *pool.Job) *wire.MsgTx {
	t.Helper()
	var tx wire.MsgTx
	r := bytes.NewReader(j.AppendCoinbase(nil, make([]byte, 4), make([]byte, 16)))
	if err := tx.DeserializeNoWitness(r); err != nil || r.Len() != 0 {
		t.Fatalf("parsing coinbase: %v, %d bytes left", err, r.Len())
	}
	return &tx
}

// Ensure that the script is height, tag, salt and extranonce, each a plain push, for every height.
func TestAssembler_CoinbaseIsWellFormed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		height := rapid.OneOf(rapid.Int32Range(1, 300), rapid.Int32Range(1, 1<<31-2)).Draw(t, "height")
		tag := rapid.StringMatching(`[ -~]{0,64}`).Draw(t, "tag")
		payout := rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(t, "script")
		epoch := rapid.Uint16().Draw(t, "epoch")
		a, err := pool.NewAssembler(pool.CoinbaseConfig{Script: payout, Tag: tag}, epoch)
		if err != nil {
			t.Fatal(err)
		}
		r, err := a.Advance(nil, &pool.Template{
			Tip: pool.Tip{Height: height, Prev: hashOf(1), Bits: hardBits}, Value: 5, Partial: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		tx := coinbaseOf(t, r.First)
		if h, err := blockchain.ExtractCoinbaseHeight(btcutil.NewTx(tx)); err != nil || h != height {
			t.Fatalf("height %d, %v; want %d", h, err, height)
		}
		script := tx.TxIn[0].SignatureScript
		if len(script) > 100 || !txscript.IsPushOnlyScript(script) {
			t.Fatalf("script %x", script)
		}
		pushes, err := txscript.PushedData(script)
		if err != nil {
			t.Fatal(err)
		}
		if height <= 16 {
			pushes = append([][]byte{nil}, pushes...) // OP_1 to OP_16 push no data
		}
		pushes = pushes[1:]
		if tag != "" {
			if string(pushes[0]) != tag {
				t.Fatalf("tag %q, want %q", pushes[0], tag)
			}
			pushes = pushes[1:]
		}
		want := append([]byte{byte(epoch), byte(epoch >> 8), byte(r.First.Seq), 0}, make([]byte, 20)...)
		if len(pushes) != 1 || !bytes.Equal(pushes[0], want) {
			t.Fatalf("pushes %x, want %x", pushes, want)
		}
		if len(tx.TxOut) != 1 || tx.TxOut[0].Value != 5 || !bytes.Equal(tx.TxOut[0].PkScript, payout) {
			t.Fatalf("outputs %+v", tx.TxOut)
		}
	})
}

// Ensure that no two jobs share a search space, even when the salt's counter wraps around.
func TestAssembler_SaltNeverRepeats(t *testing.T) {
	a := newAssembler(t)
	j := advance(t, a, nil, newTemplate(t, 840000, 0)).First
	seen := map[string]bool{string(j.Prefix): true}
	for range 1<<17 + 10 {
		j = a.Fresh(j)
		if seen[string(j.Prefix)] {
			t.Fatalf("job %d has the coinbase of another one", j.Seq)
		}
		seen[string(j.Prefix)] = true
	}
	tx := coinbaseOf(t, j)
	if n := len(tx.TxIn[0].SignatureScript); n > 100 {
		t.Errorf("scriptSig has %d bytes", n)
	}
	other, err := pool.NewAssembler(pool.CoinbaseConfig{Script: p2wpkh, Tag: "/hashlease/"}, 8)
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if j = other.Fresh(j); seen[string(j.Prefix)] {
			t.Fatal("two processes share a search space")
		}
	}
}

// Ensure that a fresh job differs in nothing but its salt.
func TestAssembler_FreshChangesTheSaltAlone(t *testing.T) {
	a := newAssembler(t)
	j := advance(t, a, nil, newTemplate(t, 100, 3)).Full
	before := *j
	f := a.Fresh(j)
	if d := cmp.Diff(before, *j); d != "" {
		t.Errorf("the job itself changed:\n%s", d)
	}
	g := *f
	g.Seq, g.Prefix = j.Seq, j.Prefix
	if d := cmp.Diff(*j, g); d != "" || f.Seq <= j.Seq || bytes.Equal(f.Prefix, j.Prefix) {
		t.Errorf("seq %d after %d; other differences:\n%s", f.Seq, j.Seq, d)
	}
	if n := len(j.Prefix); !bytes.Equal(f.Prefix[:n-4], j.Prefix[:n-4]) {
		t.Error("more than the salt changed in the coinbase")
	}
}

// Ensure that Advance changes neither the round nor the template that it is given.
func TestAssembler_AdvanceIsPure(t *testing.T) {
	a := newAssembler(t)
	tmpl := newTemplate(t, 100, 7)
	r := advance(t, a, nil, tmpl)
	round, template := *r, *newTemplate(t, 100, 7)
	next := advance(t, a, r, newTemplate(t, 101, 2))
	if d := cmp.Diff(round, *r) + cmp.Diff(template, *tmpl); d != "" {
		t.Error(d)
	}
	if next.First != r.Next || next.Best() != next.Full || next.Seq != r.Seq+1 {
		t.Errorf("round %+v", next)
	}
	partial := *newTemplate(t, 102, 0)
	partial.Partial = true
	if last := advance(t, a, next, &partial); last.Full != nil || last.Best() != last.First {
		t.Errorf("round %+v", last)
	}
}

// Ensure that a configuration that cannot give a valid coinbase is refused with every fault named.
func TestNewAssembler_NamesEveryFault(t *testing.T) {
	for want, cfg := range map[string]pool.CoinbaseConfig{
		"payout script has 0 bytes":     {},
		"payout script has 101 bytes":   {Script: make([]byte, 101)},
		"coinbase tag has 65 bytes":     {Script: p2wpkh, Tag: strings.Repeat("x", 65)},
		`coinbase tag byte 1 is '\x00'`: {Script: p2wpkh, Tag: "a\x00b"},
		"\n":                            {Tag: strings.Repeat("\n", 65)},
	} {
		if _, err := pool.NewAssembler(cfg, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
