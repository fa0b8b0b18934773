package pool_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool"
)

// Ensure that shares of the newest jobs before the present one count, and those of older ones are stale.
func TestSV2_106_PastJobsAreBounded(t *testing.T) {
	a := newAssembler(t)
	r := advance(t, a, nil, newTemplate(t, 500, 2))
	c := open(t, easy(pool.Extended), r)
	const jobs = pool.MaxPastJobs + 10
	all := map[uint32]*pool.Job{}
	for id := uint32(3); id < 3+jobs; id++ {
		all[id] = a.Fresh(r.Full)
		c.Assign(all[id], id, start)
	}
	for id, j := range all {
		s := share(c, j, id, 0)
		if id < 3+jobs-pool.MaxPastJobs-1 {
			if v := c.Submit(s, start); v.Reject != pool.RejectStale {
				t.Errorf("job %d of %d: %v, want stale", id, jobs, v.Reject)
			}
			continue
		}
		mine(t, c, s, accepted)
	}
}

// Ensure that a channel which may not roll the version accepts its job's version alone.
func TestSV2_110_FixedVersionIsKept(t *testing.T) {
	cfg := easy(pool.Extended)
	cfg.VersionMask = 0
	r := advance(t, newAssembler(t), nil, newTemplate(t, 500, 2))
	c := open(t, cfg, r)
	s := share(c, r.Full, 2, 0)
	for bit := range 32 {
		rolled := s
		rolled.Version ^= 1 << bit
		if v := c.Submit(rolled, start); v.Reject != pool.RejectVersionRolling {
			t.Errorf("bit %d: %v", bit, v.Reject)
		}
	}
	mine(t, c, s, accepted)
}

// Ensure that a job's coinbase is without BIP141 bytes, so that its hash is the transaction id, and that
// the block that is found has its witness again.
func TestSV2_111_BlockHasTheWitnessBack(t *testing.T) {
	tmpl := newTemplate(t, 500, 5)
	tmpl.Bits = easyBits
	r := advance(t, newAssembler(t), nil, tmpl)
	c := open(t, easy(pool.Extended), r)
	s, v := mine(t, c, share(c, r.Full, 2, 0), func(v pool.Verdict) bool { return v.Block != nil })
	msg := checkBlock(t, v.Block, chaincfg.RegressionNetParams.PowLimit)
	var stripped wire.MsgTx
	raw := bytes.NewReader(r.Full.AppendCoinbase(nil, c.Prefix(), s.Extranonce))
	if err := stripped.DeserializeNoWitness(raw); err != nil || raw.Len() != 0 {
		t.Fatalf("parsing the job's coinbase: %v, %d bytes left", err, raw.Len())
	}
	if stripped.TxHash() != msg.Transactions[0].TxHash() {
		t.Error("the job's coinbase has another id than the block's")
	}
	if d := cmp.Diff(wire.TxWitness{make([]byte, 32)}, msg.Transactions[0].TxIn[0].Witness); d != "" {
		t.Errorf("coinbase witness (-want +got):\n%s", d)
	}
}

// Ensure that another search space is made by the salt alone: transactions keep their order.
func TestSV2_115_FreshKeepsTransactions(t *testing.T) {
	a := newAssembler(t)
	rapid.Check(t, func(rt *rapid.T) {
		tmpl := newTemplate(t, rapid.Int32Range(1, 1<<30).Draw(rt, "height"), rapid.IntRange(0, 40).Draw(rt,
			"txs"))
		j := advance(t, a, nil, tmpl).Full
		for range rapid.IntRange(1, 5).Draw(rt, "times") {
			f := a.Fresh(j)
			if d := cmp.Diff(j.Path, f.Path); d != "" || f.Template != j.Template {
				rt.Fatalf("merkle path (-want +got):\n%s", d)
			}
			if bytes.Equal(f.Prefix, j.Prefix) || !bytes.Equal(f.Suffix, j.Suffix) {
				rt.Fatalf("prefix %x and %x, suffix %x and %x", j.Prefix, f.Prefix, j.Suffix, f.Suffix)
			}
		}
	})
}

// Ensure that a found block commits to the witnesses of its transactions, as consensus wants it.
func TestSV2_116_BlockCommitsToWitnesses(t *testing.T) {
	for _, txs := range []int{1, 2, 3, 7, 40} {
		tmpl := newTemplate(t, 500, txs)
		tmpl.Bits = easyBits
		r := advance(t, newAssembler(t), nil, tmpl)
		c := open(t, easy(pool.Standard), r)
		_, v := mine(t, c, share(c, r.Full, 2, 0), func(v pool.Verdict) bool { return v.Block != nil })
		msg := checkBlock(t, v.Block, chaincfg.RegressionNetParams.PowLimit)
		out := msg.Transactions[0].TxOut
		if last := out[len(out)-1]; last.Value != 0 || !bytes.HasPrefix(last.PkScript,
			[]byte("\x6a\x24\xaa\x21\xa9\xed")) {
			t.Errorf("%d transactions: last output %+v", txs, last)
		}
	}
}

// Ensure that the coinbase of every job claims what its template lets it, to the satoshi: the fees go
// with the transactions that pay them.
func TestSV2_118_OutputsSumUp(t *testing.T) {
	a := newAssembler(t)
	rapid.Check(t, func(rt *rapid.T) {
		tmpl := newTemplate(t, rapid.Int32Range(1, 1<<30).Draw(rt, "height"), rapid.IntRange(0, 40).Draw(rt,
			"txs"))
		tmpl.Value = tmpl.Fees() + rapid.Int64Range(0, 50e8).Draw(rt, "subsidy")
		payout := pool.Payout{}
		if rapid.Bool().Draw(rt, "solo") {
			payout = pool.Payout{Script: "\x51", Percent: uint8(rapid.IntRange(0, 99).Draw(rt, "percent"))}
		}
		r := a.For(advance(t, a, nil, tmpl), payout)
		for _, j := range []*pool.Job{r.First, r.Full, r.Next} {
			sum := int64(0)
			for _, out := range coinbaseOf(rt, j).TxOut {
				sum += out.Value
			}
			if sum != j.Template.Value {
				rt.Fatalf("job %d pays %d, may claim %d", j.Seq, sum, j.Template.Value)
			}
		}
		if r.First.Template.Value != tmpl.Value-tmpl.Fees() || r.Full.Template.Value != tmpl.Value {
			rt.Fatalf("first job claims %d, full one %d", r.First.Template.Value, r.Full.Template.Value)
		}
	})
}

// Ensure that no configuration that is accepted gives a scriptSig above the 100 bytes of consensus.
func TestSV2_119_ScriptSigFitsWithTheLongestTag(t *testing.T) {
	tag := strings.Repeat("x", pool.MaxTag)
	a, err := pool.NewAssembler(pool.CoinbaseConfig{Script: p2wpkh, Tag: tag}, 0xffff)
	if err != nil {
		t.Fatal(err)
	}
	r := advance(t, a, nil, newTemplate(t, 1<<31-2, 3))
	for range 1 << 17 { // past the wrap of the salt's counter
		if n := len(coinbaseOf(t, a.Fresh(r.Full)).TxIn[0].SignatureScript); n > 100 {
			t.Fatalf("scriptSig of %d bytes", n)
		}
	}
	if _, err := pool.NewAssembler(pool.CoinbaseConfig{Script: p2wpkh, Tag: tag + "x"}, 1); err == nil {
		t.Error("a tag that does not fit was accepted")
	}
}

// Ensure that a share whose hash is the target counts, and one above by a single unit does not.
func TestSV2_136_HashEqualToTargetCounts(t *testing.T) {
	a := newAssembler(t)
	r := advance(t, a, nil, newTemplate(t, 500, 0))
	probe := open(t, easy(pool.Standard), r)
	s, v := mine(t, probe, share(probe, r.First, 1, 0), accepted)
	equal := pool.TargetFromBytes((*[32]byte)(&v.Hash))
	less := v.Hash
	for i := range less { // borrow
		if less[i]--; less[i] != 0xff {
			break
		}
	}
	for _, limit := range []struct {
		name   string
		target pool.Target
		want   pool.Reject
	}{
		{"equal", equal, pool.RejectNone},
		{"one below", pool.TargetFromBytes((*[32]byte)(&less)), pool.RejectLowDifficulty},
	} {
		cfg := easy(pool.Standard)
		cfg.MaxTarget = limit.target
		c := open(t, cfg, r)
		if c.Target() != limit.target {
			t.Fatalf("target %v, want %v", c.Target(), limit.target)
		}
		if got := c.Submit(s, start); got.Reject != limit.want || got.Hash != v.Hash {
			t.Errorf("hash %v, target %s: %v, want %v", got.Hash, limit.name, got.Reject, limit.want)
		}
	}
}
