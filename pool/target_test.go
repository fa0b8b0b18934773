package pool_test

import (
	"math"
	"math/big"
	"testing"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chainhash/v2"
	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/unit"
)

// drawTarget gives targets of every size.
func drawTarget(t *rapid.T, name string) (pool.Target, *big.Int) {
	raw := rapid.SliceOfN(rapid.Byte(), 0, 32).Draw(t, name)
	var wire [32]byte
	copy(wire[:], raw)
	return pool.TargetFromBytes(&wire), bigOf(&wire)
}

// bigOf reads 32 bytes little-endian.
func bigOf(wire *[32]byte) *big.Int {
	h := chainhash.Hash(*wire)
	return blockchain.HashToBig(&h)
}

// Ensure that targets compare, print and read back as numbers do.
func TestTarget_IsANumber(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, na := drawTarget(t, "a")
		b, nb := drawTarget(t, "b")
		wire := a.Bytes()
		if pool.TargetFromBytes(&wire) != a || bigOf(&wire).Cmp(na) != 0 {
			t.Fatal("bytes do not read back")
		}
		if a.Cmp(b) != na.Cmp(nb) {
			t.Fatalf("Cmp(%v, %v) = %d", a, b, a.Cmp(b))
		}
		if m := a.Min(b); m.Cmp(a) > 0 || m.Cmp(b) > 0 || m != a && m != b {
			t.Fatalf("Min(%v, %v) = %v", a, b, m)
		}
		if n, ok := new(big.Int).SetString(a.String(), 16); !ok || n.Cmp(na) != 0 || len(a.String()) != 64 {
			t.Fatalf("prints as %s", a)
		}
		hash := b.Bytes()
		if a.Meets(&hash) != (nb.Cmp(na) <= 0) {
			t.Fatalf("%v meets %v: %v", b, a, a.Meets(&hash))
		}
		if !a.Meets(&wire) {
			t.Fatal("a hash equal to the target does not meet it")
		}
	})
}

// Ensure that work and difficulty are those of the definition.
func TestTarget_WorkIsExact(t *testing.T) {
	two256 := new(big.Int).Lsh(big.NewInt(1), 256)
	diff1 := new(big.Int).Lsh(big.NewInt(0xffff), 208)
	rapid.Check(t, func(t *rapid.T) {
		a, na := drawTarget(t, "a")
		want := uint64(math.MaxUint64)
		if q := new(big.Int).Div(two256, new(big.Int).Add(na, big.NewInt(1))); q.IsUint64() {
			want = q.Uint64()
		}
		if a.Work() != want {
			t.Fatalf("%v: work %d, want %d", a, a.Work(), want)
		}
		if na.Sign() == 0 {
			return
		}
		q, _ := new(big.Float).Quo(new(big.Float).SetInt(diff1), new(big.Float).SetInt(na)).Float64()
		if d := a.Difficulty(); math.Abs(d-q) > 1e-12*q {
			t.Fatalf("%v: difficulty %g, want %g", a, d, q)
		}
	})
	for _, c := range []struct {
		target pool.Target
		want   uint64
	}{
		{pool.MaxTarget, 1},
		{pool.Target{math.MaxUint64, math.MaxUint64, math.MaxUint64, 1<<63 - 1}, 2},
		{pool.Target{0, 0, 0, 1}, math.MaxUint64},
		{pool.Target{math.MaxUint64, math.MaxUint64, math.MaxUint64}, math.MaxUint64},
		{pool.Target{}, math.MaxUint64},
	} {
		if got := c.target.Work(); got != c.want {
			t.Errorf("%v: work %d, want %d", c.target, got, c.want)
		}
	}
	if !math.IsInf(pool.Target{}.Difficulty(), 1) {
		t.Error("the zero target has a finite difficulty")
	}
}

// Ensure that a target made for a number of hashes takes about that many.
func TestTargetForHashes_TakesThatMany(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hashes := rapid.Float64Range(1, 0x1p63).Draw(t, "hashes")
		got := float64(pool.TargetForHashes(hashes).Work())
		if got < math.Floor(hashes)*(1-1e-15) || got > (hashes+1)*(1+1e-15) {
			t.Fatalf("%g hashes wanted, %g needed", hashes, got)
		}
		harder := pool.TargetForHashes(hashes * 2)
		if harder.Cmp(pool.TargetForHashes(hashes)) > 0 {
			t.Fatal("more hashes give an easier target")
		}
	})
	for _, h := range []float64{0, -1, 0.5, nan(), -inf()} {
		if got := pool.TargetForHashes(h); got != pool.MaxTarget {
			t.Errorf("%g hashes: %v", h, got)
		}
	}
	if got := pool.TargetForHashes(inf()); got.Work() != math.MaxUint64 || got == (pool.Target{}) {
		t.Errorf("infinitely many hashes: %v", got)
	}
	if got := pool.TargetForHashrate(unit.Hashrate(1e6), 0); got.Work() != math.MaxUint64 {
		t.Errorf("no shares at all: %v", got)
	}
}

// Ensure that compact bits expand as a node expands them, and that what a node refuses gives the
// target that nothing meets.
func TestTargetFromBits_AgreesWithANode(t *testing.T) {
	two256 := new(big.Int).Lsh(big.NewInt(1), 256)
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.Uint32().Draw(t, "bits")
		if rapid.Bool().Draw(t, "plausible") {
			bits = bits&0x00ffffff | rapid.Uint32Range(0, 36).Draw(t, "exponent")<<24
		}
		want := new(big.Int)
		if bits>>24 <= 40 { // larger ones overflow in any case, or are zero
			if n := blockchain.CompactToBig(bits); n.Sign() > 0 && n.Cmp(two256) < 0 {
				want = n
			}
		}
		wire := pool.TargetFromBits(bits).Bytes()
		if got := bigOf(&wire); got.Cmp(want) != 0 {
			t.Fatalf("bits %08x give %x, want %x", bits, got, want)
		}
	})
	for bits, want := range map[uint32]string{
		0x1d00ffff: "00000000ffff0000000000000000000000000000000000000000000000000000",
		0x207fffff: "7fffff0000000000000000000000000000000000000000000000000000000000",
		0x1e0377ae: "00000377ae000000000000000000000000000000000000000000000000000000",
	} {
		if got := pool.TargetFromBits(bits).String(); got != want {
			t.Errorf("bits %08x: %s", bits, got)
		}
	}
}

// Ensure that comparisons are of numbers, not of bytes in wire order: the first byte is the least.
func TestTarget_ComparesAsNumber(t *testing.T) {
	var low, high [32]byte
	low[0], high[31] = 0xff, 1
	l, h := pool.TargetFromBytes(&low), pool.TargetFromBytes(&high)
	if l.Cmp(h) != -1 || !h.Meets(&low) || l.Meets(&high) {
		t.Error("targets are compared in wire order")
	}
}

// Ensure that identities split at the first dot and that what cannot be shown safely is refused.
func TestParseIdentity(t *testing.T) {
	long := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = 'a'
		}
		return string(b)
	}
	for in, want := range map[string][2]string{
		"alice":       {"alice", "alice.default"},
		"alice.rig1":  {"alice", "alice.rig1"},
		"alice.a.b:c": {"alice", "alice.a.b:c"},
		long(247):     {long(247), long(247) + ".default"},
	} {
		account, worker, err := pool.ParseIdentity(in)
		got := [2]string{string(account), string(worker)}
		if err != nil || got != want || worker.Account() != account {
			t.Errorf("%q gives %q, %q, %v", in, account, worker, err)
		}
	}
	for _, in := range []string{
		"", ".", "a.", ".a", "a b", "a\n", "a/b", "ü", long(248), long(256), "a.\x00",
	} {
		if _, w, err := pool.ParseIdentity(in); err == nil {
			t.Errorf("%q gives %q", in, w)
		}
	}
	if pool.WorkerID("alone").Account() != "alone" {
		t.Error("a worker without a dot is not its own account")
	}
}

// FuzzParseIdentity ensures that no identity confuses account and worker.
func FuzzParseIdentity(f *testing.F) {
	for _, s := range []string{"alice", "alice.rig1", "", ".", "a..b", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		account, worker, err := pool.ParseIdentity(s)
		if err == nil && (worker.Account() != account || account == "" || len(worker) > pool.MaxIdentity) {
			t.Errorf("%q gives %q, %q", s, account, worker)
		}
	})
}

// Ensure that every reason has a code of its own kind in both dialects.
func TestReject_HasCodes(t *testing.T) {
	seen := map[string]bool{}
	for r := range pool.Reject(pool.Rejects) {
		none := r == pool.RejectNone
		if (r.Code() == "") != none || (r.SV1() == 0) != none || r.String() == "" {
			t.Errorf("reject %d: %q, %d, %q", r, r.Code(), r.SV1(), r)
		}
		if seen[r.Code()] {
			t.Errorf("code %q is used twice", r.Code())
		}
		seen[r.Code()] = true
	}
	if r := pool.Reject(200); r.Code() == "" || r.SV1() == 0 {
		t.Error("an unknown reason looks like acceptance")
	}
}
