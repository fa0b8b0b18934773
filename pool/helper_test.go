package pool_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/unit"
)

// start is when tests begin.
var start = time.Unix(1_800_000_000, 0)

// easyBits is the network target of regtest: every second hash is a block. hardBits is mainnet's.
const (
	easyBits = 0x207fffff
	hardBits = 0x17032e95
)

// p2wpkh is an output script.
var p2wpkh = append([]byte{0, 20}, make([]byte, 20)...)

func newAssembler(tb testing.TB) *pool.Assembler {
	tb.Helper()
	a, err := pool.NewAssembler(pool.CoinbaseConfig{Script: p2wpkh, Tag: "/hashlease/"}, 7)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// hashOf is a hash that stands for a number.
func hashOf(n uint64) (h chainhash.Hash) {
	binary.LittleEndian.PutUint64(h[:], n+1)
	return h
}

// newTemplate is a template with n transactions, every second one with a witness if
// there are any, and the commitment that goes with them.
func newTemplate(tb testing.TB, height int32, n int) *pool.Template {
	tb.Helper()
	const subsidy = 3_1250_0000
	t := &pool.Template{
		Tip:     pool.Tip{Height: height, Prev: hashOf(uint64(height)), Bits: hardBits, MinTime: 1.8e9},
		Version: 0x20000000,
		Time:    1_800_000_000,
		Value:   subsidy,
		Next:    pool.NextBlock{Version: 0x20000000, Value: subsidy},
	}
	rng := rand.New(rand.NewPCG(uint64(height), uint64(n)))
	leaves := []chainhash.Hash{{}} // of the witness tree; the coinbase's is zero
	for i := range n {
		tx := wire.NewMsgTx(2)
		in := wire.NewTxIn(&wire.OutPoint{Hash: hashOf(rng.Uint64()), Index: uint32(i)}, nil, nil)
		if i%2 == 0 {
			in.Witness = wire.TxWitness{[]byte{byte(i), 1, 2}}
		}
		tx.AddTxIn(in)
		tx.AddTxOut(wire.NewTxOut(1000, p2wpkh))
		raw := writeTx(tb, tx)
		t.Txs = append(t.Txs, pool.Tx{Raw: raw, ID: tx.TxHash(), Fee: int64(100 + i)})
		leaves = append(leaves, tx.WitnessHash())
	}
	t.Value += t.Fees()
	if n > 0 {
		t.Commitment = commitment(leaves)
	}
	return t
}

// commitment is the witness commitment over the leaves with a reserved value of zeros (BIP141).
func commitment(leaves []chainhash.Hash) *chainhash.Hash {
	for len(leaves) > 1 {
		if len(leaves)%2 == 1 {
			leaves = append(leaves, leaves[len(leaves)-1])
		}
		var up []chainhash.Hash
		for i := 0; i < len(leaves); i += 2 {
			up = append(up, chainhash.DoubleHashH(append(leaves[i][:], leaves[i+1][:]...)))
		}
		leaves = up
	}
	h := chainhash.DoubleHashH(append(leaves[0][:], make([]byte, 32)...))
	return &h
}

func advance(tb testing.TB, a *pool.Assembler, prev *pool.Round, t *pool.Template) *pool.Round {
	tb.Helper()
	r, err := a.Advance(prev, t)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// easy accepts every second hash or so.
func easy(kind pool.Kind) pool.ChannelConfig {
	return pool.ChannelConfig{
		ID: 1, Kind: kind, Worker: "alice.rig1", Prefix: kind.Prefix([4]byte{1, 0, 0, 9}),
		MaxTarget: pool.MaxTarget, VersionMask: pool.VersionMask,
		Difficulty: &pool.DifficultyConfig{SharesPerMinute: 6, Floor: pool.TargetForHashes(2)},
	}
}

// open is a channel that mines a round: job 1 is First, job 2 is Full if there is one.
func open(tb testing.TB, cfg pool.ChannelConfig, r *pool.Round) *pool.Channel {
	tb.Helper()
	c := pool.NewChannel(cfg, start)
	c.Assign(r.First, 1, start)
	if err := c.Activate(1, &r.Tip, start); err != nil {
		tb.Fatal(err)
	}
	if r.Full != nil {
		c.Assign(r.Full, 2, start)
	}
	return c
}

// share is the share with a nonce that changes nothing else.
func share(c *pool.Channel, j *pool.Job, id, nonce uint32) pool.Share {
	s := pool.Share{JobID: id, Nonce: nonce, Time: 1_800_000_000, Version: j.Version}
	if c.RollSize() > 0 {
		s.Extranonce = make([]byte, c.RollSize())
	}
	return s
}

// mine submits until the verdict is as wanted and returns it with its share.
func mine(
	tb testing.TB, c *pool.Channel, s pool.Share, want func(pool.Verdict) bool,
) (pool.Share, pool.Verdict) {
	tb.Helper()
	for range 1 << 22 {
		if v := c.Submit(s, start); want(v) {
			return s, v
		}
		s.Nonce++
	}
	tb.Fatal("no nonce gives the wanted verdict")
	return s, pool.Verdict{}
}

func accepted(v pool.Verdict) bool { return v.Reject == pool.RejectNone }

func writeTx(tb testing.TB, tx *wire.MsgTx) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := tx.Serialize(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func unitHashrate(h float64) unit.Hashrate { return unit.Hashrate(h) }

func nan() float64 { return math.NaN() }

func inf() float64 { return math.Inf(1) }
