package pool

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

// Ensure that the set remembers exactly what was added, also when hashes share slots.
func TestRecord_NeverForgetsAndNeverInvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d record
		seen := map[uint64]bool{}
		for range rapid.IntRange(0, 300).Draw(t, "n") {
			// Few distinct low bits make long runs of taken slots.
			f := rapid.Uint64Range(0, 7).Draw(t, "low") | rapid.Uint64Range(0, 15).Draw(t, "high")<<60
			var hash [32]byte
			binary.LittleEndian.PutUint64(hash[:], f)
			f = max(1, f)
			if d.has(&hash) != seen[f] {
				t.Fatalf("%x is remembered: %v, was added: %v", f, d.has(&hash), seen[f])
			}
			if !seen[f] {
				d.add(&hash)
				seen[f] = true
			}
			if int(d.n) != len(seen) || len(d.table) < 2*int(d.n) {
				t.Fatalf("%d of %d entries in %d slots", d.n, len(seen), len(d.table))
			}
		}
	})
}
