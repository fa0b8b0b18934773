package governor_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
)

// Ensure that the sum of what machines say of themselves counts the silent ones and old words in full, and
// adds its derating to the rest.
func TestSumOfDevices_CountsTheSilentInFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := fleet.NewRegistry()
		m, _ := fleet.ModelNamed("Antminer S21")
		s := governor.SumOfDevices{Registry: registry, Permille: governor.DeratePermilleOfDevices}
		for _, id := range []string{"a.1", "a.2", "a.3"} {
			s.Workers = append(s.Workers, fleet.Worker{ID: pool.WorkerID(id), Curve: m.Curve(4)})
		}
		registry.Open("a.1", func() {}).Report(fleet.Reading{Watts: 1000, At: time.Now()})
		old := registry.Open("a.2", func() {})
		old.Report(fleet.Reading{Watts: 1000, At: time.Now()})
		r, err := s.Read(t.Context())
		if err != nil || r.Watts != 1100+1100+3500 || !r.At.Equal(time.Now()) {
			t.Errorf("%+v, %v", r, err)
		}
		time.Sleep(time.Minute)
		registry.Open("a.1", func() {}).Report(fleet.Reading{Watts: 2000, At: time.Now()})
		if r, _ := s.Read(t.Context()); r.Watts != 2200+3500+3500 {
			t.Errorf("a minute later: %+v", r)
		}
	})
}

// Ensure that a feeder of which only its machines' own words tell what it draws sells nothing, with the
// reason, unless the operator says that they suffice or a meter of the whole is there, and that status says
// what it is.
func TestGovernor_SellsNothingByWordsAlone(t *testing.T) {
	for name, c := range map[string]struct {
		total, suffice, sells bool
	}{
		"words alone": {false, false, false}, "they suffice": {false, true, true},
		"and a total": {true, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSim(t, 20)
				cfg := s.config()
				sum := &governor.SumOfDevices{
					Registry: s.registry, Permille: governor.DeratePermilleOfDevices, Workers: cfg.Workers,
				}
				meters := []governor.Meter{{
					Name: "words", Feeder: "f1", Role: fleet.Mining, Meter: sum,
					Words: true, Suffices: c.suffice,
				}}
				if c.total {
					meters = append(meters, cfg.Meters[0])
				}
				cfg.Meters = meters
				g, stop := s.start(cfg)
				defer stop()
				setCaps(t, g, 1)
				s.run(40 * time.Second)
				hs, err := g.Headroom("")
				if err != nil {
					t.Fatal(err)
				}
				h := hs[0]
				if (h.Firm > 0) != c.sells || !c.sells && !strings.Contains(h.Reason, "own words") {
					t.Errorf("sells %v: %q", h.Firm, h.Reason)
				}
				if m := stateOf(g, "words"); !strings.Contains(m.Detail, "no meter") {
					t.Errorf("the status says %+v", m)
				}
			})
		})
	}
}
