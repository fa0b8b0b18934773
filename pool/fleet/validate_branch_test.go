package fleet_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

// branchedSite has an import, a transformer with one of two feeders, and a PDU of two machines.
func branchedSite() (fleet.Site, []fleet.Worker) {
	m, _ := fleet.ModelNamed("Antminer S21")
	over := fleet.Overload{Watts: 8000, For: time.Minute}
	s := fleet.Site{
		ID: "s1",
		Feeders: []fleet.Feeder{
			{ID: "f1", Site: "s1", Branch: "t1", Limit: 100_000, Overload: over},
			{ID: "f2", Site: "s1", Limit: 100_000, Overload: over},
		},
		Branches: []fleet.Branch{
			{ID: "p1", Kind: fleet.PDU, Limit: 8000, Overload: fleet.Overload{Watts: 4000, For: time.Minute}},
			{ID: "t1", Kind: fleet.Transformer, Parent: "all", Limit: 90_000, Overload: over},
			{ID: "all", Kind: fleet.Import, Limit: 150_000, Overload: over},
		},
	}
	ws := []fleet.Worker{
		{ID: "a.w1", Feeder: "f1", Branch: "p1", Curve: m.Curve(8), Sleep: 30},
		{ID: "a.w2", Feeder: "f1", Branch: "p1", Curve: m.Curve(8), Sleep: 30},
		{ID: "a.w3", Feeder: "f2", Curve: m.Curve(8), Sleep: 30},
	}
	return s, ws
}

// Ensure that a sound tree passes, and that every way to hang things wrongly is named.
func TestValidate_NamesFaultsOfBranches(t *testing.T) {
	s, ws := branchedSite()
	if err := fleet.Validate([]fleet.Site{s}, ws); err != nil {
		t.Fatalf("a sound site is refused: %v", err)
	}
	for want, spoil := range faultsOfBranches {
		s, ws := branchedSite()
		spoil(&s, ws)
		if err := fleet.Validate([]fleet.Site{s}, ws); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no fault says %q in: %v", want, err)
		}
	}
}

// ofBranch spoils one branch of the site.
func ofBranch(n int, spoil func(*fleet.Branch)) func(*fleet.Site, []fleet.Worker) {
	return func(s *fleet.Site, _ []fleet.Worker) { spoil(&s.Branches[n]) }
}

var faultsOfBranches = map[string]func(*fleet.Site, []fleet.Worker){
	`branch "t1": parent "nil" is not`: ofBranch(1, func(b *fleet.Branch) { b.Parent = "nil" }),
	`branch "t1" hangs on itself`:      ofBranch(1, func(b *fleet.Branch) { b.Parent = "t1" }),
	`an import has no parent`:          ofBranch(2, func(b *fleet.Branch) { b.Parent = "t1" }),
	`has 2 branches of kind import`: ofBranch(1, func(b *fleet.Branch) {
		*b = fleet.Branch{ID: "b", Kind: fleet.Import, Limit: 1}
	}),
	`branch "all" is there twice`:             ofBranch(1, func(b *fleet.Branch) { b.ID = "all" }),
	`branch "f2": a feeder has this identity`: ofBranch(1, func(b *fleet.Branch) { b.ID = "f2" }),
	`branch "T": identity byte 1`:             ofBranch(1, func(b *fleet.Branch) { b.ID = "T" }),
	`a PDU hangs on a PDU`:                    ofBranch(0, func(b *fleet.Branch) { b.Parent = "t1" }),
	`branch "t1": parent "p1" is a PDU`:       ofBranch(1, func(b *fleet.Branch) { b.Parent = "p1" }),
	`branch "p1": limit is 0 W`:               ofBranch(0, func(b *fleet.Branch) { b.Limit = 0 }),
	`kind is 9`:                               ofBranch(0, func(b *fleet.Branch) { b.Kind = 9 }),
	`is allowed for 0 s`:                      ofBranch(0, func(b *fleet.Branch) { b.Overload.For = 0 }),
	`branch "p1": reserve 0 W and overload 1`: ofBranch(0, func(b *fleet.Branch) { b.Overload.Watts = 1 }),
	`branch "all": reserve 0 W and overload 6 kW together are below 7 kW, the full power of PDU`: ofBranch(
		2, func(b *fleet.Branch) { b.Overload.Watts = 6000 }),
	`feeder "f1": branch "p1" is not`: func(s *fleet.Site, _ []fleet.Worker) {
		s.Feeders[0].Branch = "p1"
	},
	`worker "a.w1": branch "t1" is not a PDU`: func(_ *fleet.Site, ws []fleet.Worker) {
		ws[0].Branch = "t1"
	},
	`"p1" has workers of feeder "f1"`: func(_ *fleet.Site, ws []fleet.Worker) {
		ws[2].Branch = "p1"
	},
	`feeder "f1": reserve 0 W and overload 6 kW`: func(s *fleet.Site, _ []fleet.Worker) {
		s.Feeders[0].Overload.Watts = 6000
	},
}

// Ensure that a faulty curve among branches is named and nothing worse.
func TestValidate_BearsFaultyWorkersOnBranches(t *testing.T) {
	s, ws := branchedSite()
	ws[0].Curve = nil
	ws[1].Curve = fleet.Curve{{}}
	ws[2].Feeder = "nowhere"
	if err := fleet.Validate([]fleet.Site{s}, ws); err == nil {
		t.Error("faulty workers pass")
	}
}

// Ensure that paths are climbed in order, and that an import is above every feeder of its site.
func TestSite_ListsWhatIsAboveAndBelowFeeders(t *testing.T) {
	s, ws := branchedSite()
	name := func(bs []*fleet.Branch) (names string) {
		for _, b := range bs {
			names += string(b.ID) + " "
		}
		return names
	}
	for got, want := range map[string]string{
		name(s.Above(&s.Feeders[0])): "t1 all ", name(s.Above(&s.Feeders[1])): "all ",
		name(s.Below(&ws[0])): "p1 ",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	var k fleet.BranchKind
	if err := k.UnmarshalText([]byte("pdu")); err != nil || k != fleet.PDU {
		t.Errorf("kind %v, %v", k, err)
	}
	err := k.UnmarshalText([]byte("socket"))
	if err == nil || !strings.Contains(err.Error(), "pdu, transformer") {
		t.Errorf("error %v", err)
	}
}
