package pool_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool"
)

// Ensure that live prefixes never overlap and that a released one does not come back early (SV2-067,
// SV2-068).
func TestSV2_067_PrefixesNeverOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := pool.NewPrefixes(3)
		var live [][4]byte
		seen := map[[4]byte]bool{}
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				x, ok := p.Take()
				if !ok || seen[x] || x[0] != 3 {
					t.Fatalf("took %x, %v, seen before: %v", x, ok, seen[x])
				}
				seen[x] = true
				live = append(live, x)
			},
			"release": func(t *rapid.T) {
				if len(live) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(live)-1).Draw(t, "i")
				p.Release(live[i])
				p.Release(live[i])
				live = append(live[:i], live[i+1:]...)
			},
			"": func(t *rapid.T) {
				if p.Live() != len(live) {
					t.Fatalf("%d live, want %d", p.Live(), len(live))
				}
			},
		})
	})
}

// Ensure that the prefixes of channels of both kinds are apart as whole extranonces.
func TestKind_PrefixKeepsSearchSpacesApart(t *testing.T) {
	p := pool.NewPrefixes(9)
	var all [][]byte
	for i := range 20 {
		x, _ := p.Take()
		kind := pool.Kind(i % 2)
		fixed := kind.Prefix(x)
		if want := map[pool.Kind]int{pool.Standard: 20, pool.Extended: 4}[kind]; len(fixed) != want {
			t.Errorf("%v prefix has %d bytes", kind, len(fixed))
		}
		for _, other := range all {
			n := min(len(fixed), len(other))
			if string(fixed[:n]) == string(other[:n]) {
				t.Errorf("%x and %x overlap", fixed, other)
			}
		}
		all = append(all, fixed)
	}
}

// Prefixes are counted up under the server's byte.
func ExamplePrefixes() {
	p := pool.NewPrefixes(7)
	x, ok := p.Take()
	fmt.Printf("%x %v\n", pool.Extended.Prefix(x), ok)
	x, _ = p.Take()
	fmt.Printf("%x\n", pool.Standard.Prefix(x))
	// Output:
	// 07000000 true
	// 0700000100000000000000000000000000000000
}
