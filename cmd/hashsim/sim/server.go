package sim

import (
	"github.com/hashlease/hashlease/cmd/hashlease/config"
	"github.com/hashlease/hashlease/pool/fleet"
)

// Describe writes the plan into a server's configuration: sites, feeders with their meters on this
// simulation's HTTP address, workers and the scale. Tenants' keys are the caller's to add.
func (p Plan) Describe(c *config.Config, meters string, scale float64) {
	branches := map[fleet.FeederID][]config.Meter{}
	for _, m := range p.Meters() {
		branches[m.Feeder] = append(branches[m.Feeder], config.Meter{
			Role: m.Role, Tenant: m.Tenant, URL: "http://" + meters + m.Path,
		})
	}
	c.Sites, c.Workers = nil, nil
	for _, s := range p.Sites {
		site := config.Site{ID: s.ID, Name: s.Name}
		for _, f := range s.Feeders {
			site.Feeder = append(site.Feeder, config.Feeder{
				ID: f.ID, Limit: f.Limit, Reserve: f.Reserve, Base: f.Base,
				Overload: config.Overload{Watts: f.Overload.Watts, For: config.Duration(f.Overload.For)},
				Notice:   config.Duration(f.Notice), Arm: f.Arm, Meters: branches[f.ID],
			})
		}
		c.Sites = append(c.Sites, site)
	}
	for _, w := range p.Workers {
		sleep := w.Sleep
		n := config.Worker{
			ID: string(w.ID), Feeder: w.Feeder, Model: w.Model, Sleep: &sleep, Wear: w.Wear, Pinned: w.Pinned,
			MinRun: config.Duration(w.MinRun), MinOff: config.Duration(w.MinOff),
		}
		for _, pt := range w.Curve {
			n.Curve = append(n.Curve, config.Point{Watts: pt.Watts, Hashrate: pt.Hashrate})
		}
		c.Workers = append(c.Workers, n)
	}
	c.Simulation.HashScale = 1 / scale
}
