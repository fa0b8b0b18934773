package pool_test

import (
	"bytes"
	"testing"

	"github.com/hashlease/hashlease/pool"
)

// benchmarkSubmit judges shares on a job with 12 merkle levels and a coinbase of 260 bytes.
func benchmarkSubmit(b *testing.B, kind pool.Kind) {
	b.Helper()
	tmpl := newTemplate(b, 840000, 3000)
	a, err := pool.NewAssembler(pool.CoinbaseConfig{
		Script: bytes.Repeat([]byte{0x51}, 70), Tag: "/hashlease/" + string(bytes.Repeat([]byte("x"), 29)),
	}, 7)
	if err != nil {
		b.Fatal(err)
	}
	r := advance(b, a, nil, tmpl)
	if n := len(r.Full.Path); n != 12 {
		b.Fatalf("%d levels", n)
	}
	cfg := easy(kind)
	cfg.Difficulty.Floor = pool.TargetForHashes(1 << 20) // nearly all are refused after hashing
	c := open(b, cfg, r)
	s := share(c, r.Full, 2, 0)
	b.ReportMetric(float64(len(r.Full.Prefix)+pool.ExtranonceSize+len(r.Full.Suffix)), "coinbase-B")
	b.ReportAllocs()
	for b.Loop() {
		s.Nonce++
		c.Submit(s, start)
	}
}

// BenchmarkSubmit_Standard hashes headers alone.
func BenchmarkSubmit_Standard(b *testing.B) { benchmarkSubmit(b, pool.Standard) }

// BenchmarkSubmit_Extended hashes coinbase, path and header.
func BenchmarkSubmit_Extended(b *testing.B) { benchmarkSubmit(b, pool.Extended) }

// BenchmarkAssembler_Job makes a round of a template with 3000 transactions.
func BenchmarkAssembler_Job(b *testing.B) {
	a, tmpl := newAssembler(b), newTemplate(b, 840000, 3000)
	prev := advance(b, a, nil, tmpl)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Advance(prev, tmpl); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkChannel_Assign gives a full job to a standard channel: the cost of a root.
func BenchmarkChannel_Assign(b *testing.B) {
	a, tmpl := newAssembler(b), newTemplate(b, 840000, 3000)
	r := advance(b, a, nil, tmpl)
	c := open(b, easy(pool.Standard), r)
	b.ReportAllocs()
	id := uint32(10)
	for b.Loop() {
		id++
		c.Assign(r.Full, id, start)
	}
}
