package inventory

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/mem"
	"github.com/hashlease/hashlease/storage/storagetest"
)

var day = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func found(address, mac string, workers ...string) *device.Found {
	return &device.Found{
		Address: address, Identity: device.Identity{Kind: "axeos", MAC: mac, Workers: workers},
		Sighting: fleet.Sighting{Pool: "pool.example:3333"},
	}
}

func load(t *testing.T, j storage.Journal) *Inventory {
	t.Helper()
	v, err := Load(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// What was noted is there after a restart, with and without a snapshot; a machine keeps its first time
// and moves.
func TestInventory_Remembers(t *testing.T) {
	j := mem.New()
	v := load(t, j)
	note := func(f *device.Found, at time.Time) {
		t.Helper()
		if _, err := v.Note(t.Context(), f, at); err != nil {
			t.Fatal(err)
		}
	}
	note(found("10.0.0.9:80", "aa:00:00:00:00:01"), day)
	note(found("10.0.0.10:80", "aa:00:00:00:00:02"), day)
	note(found("10.0.0.10:80", "aa:00:00:00:00:01"), day.Add(time.Hour)) // DHCP gave it the other's
	for n := range pileUp {                                              // a snapshot lies in between
		note(found("10.0.1.1:80", "", "acct.x"), day.Add(time.Duration(n)*time.Second))
	}
	want := v.List()
	if len(want) != 3 || want[0].Address != "10.0.0.10:80" || want[0].Identity.MAC != "aa:00:00:00:00:01" ||
		!want[0].First.Equal(day) || !want[0].Last.Equal(day.Add(time.Hour)) || want[2].Address != "" {
		t.Fatalf("the inventory is %+v", want)
	}
	if got := load(t, j).List(); !reflect.DeepEqual(got, want) {
		t.Errorf("after a restart it is %+v, was %+v", got, want)
	}
	if err := v.Forget(t.Context(), want[2].Key); err != nil {
		t.Fatal(err)
	}
	if got := load(t, j).List(); len(got) != 2 {
		t.Errorf("after one was forgotten it is %+v", got)
	}
	if err := v.Forget(t.Context(), "mac none"); err == nil {
		t.Error("a machine that is not there was forgotten")
	}
}

// A machine that does not let us in any more is still who it was.
func TestInventory_KeepsWhoAMachineIs(t *testing.T) {
	v := load(t, mem.New())
	if _, err := v.Note(t.Context(), found("10.0.0.9:80", "aa:00:00:00:00:01"), day); err != nil {
		t.Fatal(err)
	}
	shy := &device.Found{Address: "10.0.0.9:80", Identity: device.Identity{Kind: "axeos"}, Problem: "login"}
	if _, err := v.Note(t.Context(), shy, day); err != nil {
		t.Fatal(err)
	}
	if all := v.List(); len(all) != 1 || all[0].Identity.MAC == "" || all[0].Problem != "login" {
		t.Errorf("the inventory is %+v", all)
	}
}

// What cannot be written is not there.
func TestInventory_LosesNothingHalf(t *testing.T) {
	j := storagetest.NewFaulty(mem.New())
	v := load(t, j)
	j.Fail(1)
	_, err := v.Note(t.Context(), found("10.0.0.9:80", "aa:00:00:00:00:01"), day)
	if err == nil || len(v.List()) > 0 {
		t.Errorf("%v, and it holds %+v", err, v.List())
	}
}

// Each clue tells a machine; what is claimed twice is listed and given to nobody.
func TestMatchAll_TellsWhoIsWho(t *testing.T) {
	workers := []Worker{
		{ID: "a.by-address", Address: "10.0.0.1"},
		{ID: "a.by-name"},
		{ID: "a.rig-AA0000000003"},
		{ID: "a.10x0x0x5"},
		{ID: "a.session", Remotes: []netip.Addr{netip.MustParseAddr("10.0.0.6")}},
		{ID: "a.twice"},
		{ID: "a.snYNAHYPD1"},
	}
	machine := func(n int, names ...string) Machine {
		f := found(fmt.Sprintf("10.0.0.%d:80", n), fmt.Sprintf("aa:00:00:00:00:%02x", n), names...)
		return Machine{Address: f.Address, Identity: f.Identity, Pool: f.Sighting.Pool}
	}
	machines := []Machine{
		machine(1, "a.by-name"), machine(2, "a.by-name"), machine(3), machine(5), machine(6),
		machine(7, "a.twice"), machine(8, "a.twice"), machine(9), machine(10),
	}
	machines[7].Identity.Serial = "YNAHYPD1"
	machines[8].Pool = "elsewhere.example:3333"
	got := MatchAll(machines, workers, func(p string) bool { return p == "pool.example:3333" })
	want := []struct {
		worker pool.WorkerID
		by     string
		may    int
	}{
		{"a.by-address", "address", 0},
		{"a.by-name", "worker name", 0},
		{"a.rig-AA0000000003", "MAC", 0},
		{"a.10x0x0x5", "address in its name", 0},
		{"a.session", "session", 0},
		{"", "", 1},
		{"", "", 1},
		{"a.snYNAHYPD1", "serial number", 0},
		{"", "", 0},
	}
	for i, w := range want {
		g := got[i]
		if g.Worker != w.worker || g.By != w.by || len(g.Candidates) != w.may || g.Elsewhere != (i == 8) {
			t.Errorf("%s is %q by %q of %v, elsewhere %v; want %+v",
				g.Address, g.Worker, g.By, g.Candidates, g.Elsewhere, w)
		}
	}
}

// However machines and workers are called, no worker is given to two machines, and order changes nothing.
func FuzzMatchAll(f *testing.F) {
	f.Add("a.rig", "a.rig", "aa:00:00:00:00:03", "10.0.0.1:80")
	f.Add("a.10x0x0x1", "x", "", "[::1]:80")
	f.Fuzz(func(t *testing.T, id, name, mac, address string) {
		workers := []Worker{{ID: pool.WorkerID(id)}, {ID: pool.WorkerID(name), Address: address}}
		machines := []Machine{
			{Address: address, Identity: device.Identity{MAC: mac, Workers: []string{name}}},
			{Address: name, Identity: device.Identity{Serial: mac, Workers: []string{id, name}}},
		}
		got := MatchAll(machines, workers, nil)
		if got[0].Worker != "" && got[0].Worker == got[1].Worker {
			t.Errorf("both are %q", got[0].Worker)
		}
		slices.Reverse(machines)
		if back := MatchAll(machines, workers, nil); back[0].Worker != got[1].Worker {
			t.Errorf("turned around %q is %q", got[1].Worker, back[0].Worker)
		}
	})
}
