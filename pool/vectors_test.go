package pool_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/unit"
)

// hexBytes is hexadecimal text in JSON.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

// vectors are the groups of the Stratum V2 vectors that concern this package.
type vectors struct {
	ShareValidation struct{ Vectors []shareVector } `json:"share_validation"`
	Targets         struct {
		Vectors []struct {
			HashRate        float64 `json:"hash_rate"`
			SharesPerMinute float64 `json:"shares_per_minute"`
			TargetBE        string  `json:"target_be"`
			TargetWire      string  `json:"target_wire"`
			Difficulty      float64
		}
	} `json:"target_from_hashrate"`
	Jobs []struct {
		Template struct {
			Outputs hexBytes `json:"coinbase_tx_outputs"`
			Value   int64    `json:"coinbase_tx_value_remaining"`
		}
		FullExtranonceSize int      `json:"full_extranonce_size"`
		Prefix             hexBytes `json:"coinbase_tx_prefix"`
		Suffix             hexBytes `json:"coinbase_tx_suffix"`
	} `json:"extended_job_from_template"`
	Strips []struct {
		PrefixIn  hexBytes `json:"prefix_in"`
		SuffixIn  hexBytes `json:"suffix_in"`
		PrefixOut hexBytes `json:"prefix_out"`
		SuffixOut hexBytes `json:"suffix_out"`
		Expect    string
	} `json:"bip141_strip"`
}

type shareVector struct {
	ID       string
	Prefix   hexBytes   `json:"extranonce_prefix"`
	Prev     hexBytes   `json:"prev_hash_wire"`
	Bits     string     `json:"nbits"`
	MinTime  uint32     `json:"min_ntime"`
	Version  string     `json:"job_version"`
	Nominal  float64    `json:"nominal_hash_rate"`
	PerMin   float64    `json:"shares_per_minute"`
	Target   string     `json:"channel_target_be"`
	Network  string     `json:"network_target_be"`
	Coinbase hexBytes   `json:"coinbase_tx_prefix"`
	Suffix   hexBytes   `json:"coinbase_tx_suffix"`
	Path     []hexBytes `json:"merkle_path"`
	Root     hexBytes   `json:"merkle_root"`
	Share    struct {
		Nonce, Ntime, Version uint32
		Extranonce            hexBytes
	}
	Header         hexBytes
	Hash           string `json:"share_hash_be"`
	MeetsTarget    bool   `json:"meets_channel_target"`
	MeetsNetwork   bool   `json:"meets_network_target"`
	Expected       string
	Rule           string `json:"target_rule"`
	VersionRolling bool   `json:"version_rolling_allowed"`
}

func readVectors(t *testing.T) (v vectors) {
	t.Helper()
	raw, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func targetOf(t *testing.T, text string) pool.Target {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 32 {
		t.Fatalf("target %q: %v", text, err)
	}
	var wire [32]byte
	for i, b := range raw {
		wire[31-i] = b
	}
	return pool.TargetFromBytes(&wire)
}

func hex32(t *testing.T, text string) uint32 {
	t.Helper()
	n, err := strconv.ParseUint(text, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

// channel is the channel of a share vector with its job active under id 1.
func (v *shareVector) channel(t *testing.T) *pool.Channel {
	t.Helper()
	cfg := pool.ChannelConfig{
		Prefix: v.Prefix, RollSize: len(v.Share.Extranonce), MaxTarget: pool.MaxTarget,
		Difficulty: &pool.DifficultyConfig{SharesPerMinute: 6, Floor: pool.MaxTarget},
	}
	if v.VersionRolling {
		cfg.VersionMask = pool.VersionMask
	}
	if len(v.Share.Extranonce) > 0 {
		cfg.Kind = pool.Extended
	}
	if strings.HasPrefix(v.Rule, "explicit") {
		cfg.MaxTarget = targetOf(t, v.Target)
	} else {
		cfg.Nominal, cfg.Difficulty.SharesPerMinute = unit.Hashrate(v.Nominal), v.PerMin
	}
	c := pool.NewChannel(cfg, start)
	if got := c.Target().String(); got != v.Target {
		t.Errorf("channel target\n got %s\nwant %s", got, v.Target)
	}
	j := &pool.Job{Seq: 1, Height: 1, Version: hex32(t, v.Version), Prefix: v.Coinbase, Suffix: v.Suffix}
	for _, h := range v.Path {
		j.Path = append(j.Path, chainhash.Hash(h))
	}
	if root := j.Root(v.Prefix, v.Share.Extranonce); !bytes.Equal(root[:], v.Root) {
		t.Errorf("root %x, want %x", root[:], v.Root)
	}
	c.Assign(j, 1, start)
	tip := pool.Tip{Height: 1, Prev: chainhash.Hash(v.Prev), Bits: hex32(t, v.Bits), MinTime: v.MinTime}
	if got := tip.Target().String(); got != v.Network {
		t.Errorf("network target\n got %s\nwant %s", got, v.Network)
	}
	if err := c.Activate(1, &tip, start); err != nil {
		t.Fatal(err)
	}
	return c
}

// Ensure that shares are judged as the reference implementation judges them, but for credit: a
// block above the job's target is a block without credit here (SV2-161).
func TestVectors_ShareValidation(t *testing.T) {
	vs := readVectors(t).ShareValidation.Vectors
	if len(vs) != 12 {
		t.Fatalf("%d vectors, want 12", len(vs))
	}
	for _, v := range vs {
		t.Run(v.ID, func(t *testing.T) {
			if v.Coinbase == nil { // a root without its coinbase: only the comparison can be checked
				hash := [32]byte(chainhash.DoubleHashH(v.Header))
				network := targetOf(t, v.Network)
				if !targetOf(t, v.Target).Meets(&hash) || !network.Meets(&hash) {
					t.Errorf("hash %v meets no target", chainhash.Hash(hash))
				}
				return
			}
			if v.Share.Ntime > v.MinTime+pool.MaxTimeRoll { // the reference had no upper bound then
				late := pool.Share{JobID: 1, Time: v.Share.Ntime, Version: v.Share.Version}
				if got := v.channel(t).Submit(late, start); got.Reject != pool.RejectTime {
					t.Errorf("late share: %v", got.Reject)
				}
				v.MinTime = v.Share.Ntime
			}
			c := v.channel(t)
			s := pool.Share{
				JobID: 1, Nonce: v.Share.Nonce, Time: v.Share.Ntime, Version: v.Share.Version,
				Extranonce: v.Share.Extranonce,
			}
			got := c.Submit(s, start)
			code, _, _ := strings.Cut(v.Expected, " ")
			switch code {
			case "accepted", "block-found":
				want := pool.RejectNone
				if !v.MeetsTarget {
					want = pool.RejectLowDifficulty
				}
				block, credit := got.Block != nil, got.Work > 0
				if got.Reject != want || block != v.MeetsNetwork || credit != v.MeetsTarget {
					t.Errorf("got %v, work %d, block %v", got.Reject, got.Work, got.Block != nil)
				}
				if again := c.Submit(s, start); again.Reject != pool.RejectDuplicate || again.Block != nil {
					t.Errorf("again: %v", again.Reject)
				}
			default:
				if got.Reject.Code() != code {
					t.Errorf("got %q, want %q", got.Reject.Code(), code)
				}
			}
			if got.Hash != (chainhash.Hash{}) && got.Hash.String() != v.Hash {
				t.Errorf("hash %v, want %s", got.Hash, v.Hash)
			}
			if got.Block != nil && !bytes.Equal(got.Block.Raw[:80], v.Header) {
				t.Errorf("header %x, want %x", got.Block.Raw[:80], v.Header)
			}
		})
	}
}

// Ensure that targets follow from hashrates as in the reference implementation.
func TestVectors_TargetFromHashrate(t *testing.T) {
	for _, v := range readVectors(t).Targets.Vectors {
		got := pool.TargetForHashrate(unit.Hashrate(v.HashRate), v.SharesPerMinute)
		wire := got.Bytes()
		if got.String() != v.TargetBE || hex.EncodeToString(wire[:]) != v.TargetWire {
			t.Errorf("%g H/s: %v, want %s", v.HashRate, got, v.TargetBE)
		}
		if d := got.Difficulty(); math.Abs(d/v.Difficulty-1) > 1e-12 {
			t.Errorf("difficulty %g, want %g", d, v.Difficulty)
		}
	}
}

// Ensure that a job's two halves and an extranonce make a whole coinbase that pays all.
func TestVectors_ExtendedJob(t *testing.T) {
	for _, v := range readVectors(t).Jobs {
		j := pool.Job{Prefix: v.Prefix, Suffix: v.Suffix}
		var tx wire.MsgTx
		raw := j.AppendCoinbase(nil, make([]byte, 4), make([]byte, v.FullExtranonceSize-4))
		if err := tx.DeserializeNoWitness(bytes.NewReader(raw)); err != nil {
			t.Fatal(err)
		}
		if tx.TxOut[0].Value != v.Template.Value || !bytes.Contains(raw, v.Template.Outputs) {
			t.Errorf("outputs %+v", tx.TxOut)
		}
	}
}

// Ensure that the coinbase of a block has the BIP141 bytes back that jobs go without.
func TestVectors_BIP141(t *testing.T) {
	for _, v := range readVectors(t).Strips {
		if v.Expect == "unchanged" {
			continue
		}
		roll := []byte("0123456789abcdef0123456789abcdef")
		j := pool.Job{
			Prefix: v.PrefixOut, Suffix: v.SuffixOut,
			Template: &pool.Template{Commitment: new(chainhash.Hash)},
		}
		got := j.AppendBlock(nil, new([80]byte), nil, roll)[81:]
		want := append(append(bytes.Clone(v.PrefixIn), roll...), v.SuffixIn...)
		if !bytes.Equal(got, want) {
			t.Errorf("got  %x\nwant %x", got, want)
		}
	}
}
