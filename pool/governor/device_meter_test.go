package governor_test

import (
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
