package governor

import (
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage/mem"
)

// Ensure that a process starts after what was proven has been written anew, and the old records are gone.
func TestGovernor_StartsAfterProofsWereWrittenAnew(t *testing.T) {
	journal := mem.New()
	cfg := DefaultConfig()
	cfg.Registry, cfg.Journal = fleet.NewRegistry(), journal
	f := fleet.Feeder{ID: "f1", Site: "s1", Limit: unit.Megawatt}
	cfg.Sites = []fleet.Site{{ID: "s1", Feeders: []fleet.Feeder{f}}}
	g, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_800_000_000, 0)
	for i := range 2*provenRecords + 3 {
		at := at.Add(time.Duration(i) * time.Second)
		g.feeders[0].commissioned.At = at
		err := g.appendProven(t.Context(), &provenRecord{
			Feeders: map[fleet.FeederID]commissioned{"f1": {At: at}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	cfg.Journal = journal.Reopen()
	again, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := again.feeders[0].commissioned.At, g.feeders[0].commissioned.At; !got.Equal(want) {
		t.Errorf("commissioned at %v, was kept as %v", got, want)
	}
}

// Ensure that what is written anew may also be the first that is written.
func TestGovernor_WritesProofsAnewIntoAnEmptyStream(t *testing.T) {
	journal := mem.New()
	cfg := DefaultConfig()
	cfg.Registry, cfg.Journal = fleet.NewRegistry(), journal
	f := fleet.Feeder{ID: "f1", Site: "s1", Limit: unit.Megawatt}
	cfg.Sites = []fleet.Site{{ID: "s1", Feeders: []fleet.Feeder{f}}}
	g, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.writeProvenAnew(t.Context()); err != nil {
		t.Error(err)
	}
	cfg.Journal = journal.Reopen()
	if _, err := New(t.Context(), cfg); err != nil {
		t.Error(err)
	}
}
