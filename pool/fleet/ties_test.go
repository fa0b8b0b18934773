package fleet_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
)

// Ensure that links come and go in any order, the oldest stay first, and a list that was given out does
// not change.
func TestRegistry_AgreesWithAList(t *testing.T) {
	r := fleet.NewRegistry()
	rng := rand.New(rand.NewPCG(1, 2))
	const w = pool.WorkerID("a.b")
	var want []*fleet.Link
	for i := range 5000 {
		if len(want) == 0 || rng.IntN(100) < 50 {
			want = append(want, r.Open(w, func() {}))
		} else {
			n := rng.IntN(len(want))
			gone := want[n]
			before := r.Links(w)
			copied := slices.Clone(before)
			want = slices.Delete(slices.Clone(want), n, n+1)
			r.Close(w, gone)
			r.Close(w, gone)
			if !slices.Equal(before, copied) {
				t.Fatal("a list that was given out has changed")
			}
		}
		if got := r.Links(w); !slices.Equal(got, want) {
			t.Fatalf("step %d: %d links, want %d", i, len(got), len(want))
		}
	}
	for _, l := range want {
		r.Close(w, l)
	}
	if len(r.Workers()) != 0 || r.Links(w) != nil {
		t.Error("a worker without a link is left")
	}
}

// Ensure that ending a link of a worker with very many does not copy the others.
func TestRegistry_EndsALinkAmongManyWithoutACopy(t *testing.T) {
	r := fleet.NewRegistry()
	var links []*fleet.Link
	for range 50_000 {
		links = append(links, r.Open("a.b", func() {}))
	}
	n := 0
	if got := testing.AllocsPerRun(1000, func() { r.Close("a.b", links[n]); n++ }); got != 0 {
		t.Errorf("%v allocations to end one of 50,000 links", got)
	}
}
