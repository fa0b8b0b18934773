package sv1_test

import (
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/stratum/sv1"
)

// job is one of 3,000 transactions, with a coinbase of 250 bytes.
var job = sv1.Notify{
	Job: []byte("1f0001"), Prefix: make([]byte, 70), Suffix: make([]byte, 168),
	Path: make([]chainhash.Hash, 12), Version: 0x20000000, Bits: 0x17023a04, Time: 0x6a000000,
}

// BenchmarkSubmit is what the codec has to do with a share: its line is read, and answered.
func BenchmarkSubmit(b *testing.B) {
	line := sv1.AppendSubmit(nil, 4, share)
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		r, err := sv1.ParseRequest(line)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := sv1.ParseSubmit(r.Params); err != nil {
			b.Fatal(err)
		}
		n, _ := r.ID.Number()
		out = sv1.AppendTrueNumber(out[:0], n)
	}
}

// BenchmarkNotify is the writing of a job, which is done once for all who mine it.
func BenchmarkNotify(b *testing.B) {
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = sv1.AppendClean(sv1.AppendNotify(out[:0], &job), true)
	}
}
