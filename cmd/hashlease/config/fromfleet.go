package config

import (
	"slices"

	"github.com/hashlease/hashlease/pool/fleet"
)

// FromFleet describes sites and workers as a file does: the opposite of Fleet. Workers with the curve of
// their model are written by its name, others with their own.
func FromFleet(
	sites []fleet.Site, workers []fleet.Worker, meters map[fleet.FeederID][]Meter,
) ([]Site, []Worker) {
	outSites := make([]Site, 0, len(sites))
	for _, s := range sites {
		site := Site{ID: s.ID, Name: s.Name}
		if s.Zone != nil {
			site.Zone = s.Zone.String()
		}
		for _, f := range s.Feeders {
			var spare *bool // absent is as good as true
			if f.NoSpare {
				spare = new(bool)
			}
			site.Feeder = append(site.Feeder, Feeder{
				ID: f.ID, Branch: f.Branch, Limit: f.Limit, Reserve: f.Reserve, Base: f.Base,
				Overload: Overload{Watts: f.Overload.Watts, For: Duration(f.Overload.For)},
				Notice:   Duration(f.Notice), Restore: f.Restore, Arm: f.Arm, Meters: meters[f.ID],
				TrustDeclared: f.Trusted, SpareDomain: spare, Heat: f.Heat,
			})
		}
		for _, b := range s.Branches {
			site.Branch = append(site.Branch, Branch{
				ID: b.ID, Kind: b.Kind, Parent: b.Parent, Limit: b.Limit, Reserve: b.Reserve, Base: b.Base,
				Overload: Overload{Watts: b.Overload.Watts, For: Duration(b.Overload.For)},
			})
		}
		outSites = append(outSites, site)
	}
	outWorkers := make([]Worker, 0, len(workers))
	for _, w := range workers {
		sleep, cycles := w.Sleep, w.Cycles
		out := Worker{
			ID: string(w.ID), Feeder: w.Feeder, Branch: w.Branch, Model: w.Model, Sleep: &sleep,
			MinRun: Duration(w.MinRun), MinOff: Duration(w.MinOff), Wear: w.Wear, Pinned: w.Pinned,
			MustRun: w.MustRun, Cycles: &cycles,
		}
		if m, known := fleet.ModelNamed(w.Model); !known || !slices.Equal(w.Curve, m.Curve(len(w.Curve))) {
			for _, p := range w.Curve {
				out.Curve = append(out.Curve, Point{Watts: p.Watts, Hashrate: p.Hashrate})
			}
		}
		outWorkers = append(outWorkers, out)
	}
	return outSites, outWorkers
}
