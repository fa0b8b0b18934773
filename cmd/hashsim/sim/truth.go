package sim

import (
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// Step is how finely the truth is integrated.
const Step = 50 * time.Millisecond

// Truth is what really happened on the feeders since the start or the last mark: without noise of
// meters, integrated in steps of Step.
type Truth struct {
	Since            time.Time     `json:"since"`
	Seconds          float64       `json:"seconds"`            // integrated so far
	SecondsOverLimit float64       `json:"seconds_over_limit"` // sum over feeders
	Feeders          []FeederTruth `json:"feeders"`
	StepSeconds      float64       `json:"step_seconds"`
}

// FeederTruth is the truth of one feeder.
type FeederTruth struct {
	Feeder           fleet.FeederID `json:"feeder"`
	Limit            unit.Watts     `json:"limit_watts"`
	Watts            float64        `json:"watts"`     // at the last step
	MaxWatts         float64        `json:"max_watts"` // of all steps
	SecondsOverLimit float64        `json:"seconds_over_limit"`
	Energy           float64        `json:"energy_joules"`
	MiningEnergy     float64        `json:"mining_energy_joules"`
	TenantEnergy     float64        `json:"tenant_energy_joules"`
}

// integral is one feeder's running sums.
type integral struct {
	over                   int // steps above the limit
	last, most             float64
	total, mining, tenants float64 // joules
}

// add takes one step of constant power.
func (g *integral) add(p branch, limit unit.Watts) {
	total := p.total()
	g.last, g.most = total, max(g.most, total)
	if total > float64(limit) {
		g.over++
	}
	g.total += total * Step.Seconds()
	g.mining += p.mining * Step.Seconds()
	g.tenants += p.tenants * Step.Seconds()
}

func (g *integral) truth(f fleet.Feeder) FeederTruth {
	return FeederTruth{
		Feeder: f.ID, Limit: f.Limit, Watts: g.last, MaxWatts: g.most,
		SecondsOverLimit: float64(g.over) * Step.Seconds(),
		Energy:           g.total, MiningEnergy: g.mining, TenantEnergy: g.tenants,
	}
}
