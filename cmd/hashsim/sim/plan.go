package sim

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// Plan is what stands in the simulation. A server's configuration can be written from the same
// definition. The base load of a feeder is what it declares.
type Plan struct {
	Sites   []fleet.Site
	Workers []fleet.Worker // with the hashrates of real machines
	Tenants []string       // each has a metered branch on every feeder
}

// Meter is one metered branch with its path on the simulation's HTTP server and its unit on its Modbus TCP
// gateway.
type Meter struct {
	Feeder fleet.FeederID
	Role   fleet.Role
	Tenant string // of a Tenant role
	Path   string
	Unit   uint8 // 0: the gateway has no room for it
}

// Meters are all metered branches of the plan.
func (p Plan) Meters() (list []Meter) {
	add := func(f fleet.FeederID, r fleet.Role, tenant string) {
		m := Meter{Feeder: f, Role: r, Tenant: tenant, Path: MeterPath(f, r, tenant)}
		if n := len(list) + 1; n < 248 { // units of Modbus are 1 to 247
			m.Unit = uint8(n)
		}
		list = append(list, m)
	}
	for _, f := range p.feeders() {
		for _, r := range []fleet.Role{fleet.Total, fleet.Mining, fleet.Base} {
			add(f.ID, r, "")
		}
		for _, t := range p.Tenants {
			add(f.ID, fleet.Tenant, t)
		}
	}
	return list
}

// MeterPath is where a metered branch is read.
func MeterPath(id fleet.FeederID, r fleet.Role, tenant string) string {
	path := "/v1/meters/" + string(id) + "/" + r.String()
	if r == fleet.Tenant {
		path += "/" + tenant
	}
	return path
}

func (p Plan) feeders() (list []fleet.Feeder) {
	for _, s := range p.Sites {
		list = append(list, s.Feeders...)
	}
	return list
}

// Validate lists every fault of the plan at once.
func (p Plan) Validate() error {
	errs := []error{fleet.Validate(p.Sites, p.Workers)}
	if len(p.feeders()) == 0 {
		errs = append(errs, errors.New("the plan has no feeder: one or more are accepted"))
	}
	for i, t := range p.Tenants {
		if t == "" || strings.ContainsAny(t, "/ ?#%") || slices.Contains(p.Tenants[:i], t) {
			errs = append(errs,
				fmt.Errorf("tenant %q: a new name without / ? # %% and spaces is accepted", t))
		}
	}
	return errors.Join(errs...)
}

// Shape of the demonstration site.
const (
	demoFeeders = 4
	demoBase    = 0.065 // base load for each watt of mining
	demoFill    = 0.985 // full mining and base load, as a share of the limit
	demoReserve = 0.008 // of the limit
	demoRestore = 0.05  // of the limit a second: nobody else's grid is shaken here
	demoLittle  = 25    // machines for each little one beside them, of which every feeder has as many
)

// DemoSite is a place of n machines of nine models over four feeders, with limits
// that full mining and base load fill to between 98 and 99 %. From 100 machines on there are a few little
// ones beside them, which draw too little to count. Each tenant has a meter on every feeder.
func DemoSite(n int, tenants ...string) Plan {
	row := max(1, min(demoFeeders, n))
	others := min(n/demoLittle, fleet.MaxWorkers-n)
	return siteOf(n, max(0, others/row*row), demoModels[:], tenants)
}

// SiteOf is a place like DemoSite of other models, by fleet's names, and of nothing else.
func SiteOf(n int, models []string, tenants ...string) Plan { return siteOf(n, 0, models, tenants) }

// siteOf is a place of n machines of some models, and others that are little.
func siteOf(n, others int, models, tenants []string) Plan {
	site := fleet.Site{ID: "north", Name: "North yard"}
	p := Plan{Tenants: tenants}
	feeders := max(1, min(demoFeeders, n))
	full := make([]float64, feeders)
	for i := range n + others {
		name, model := fmt.Sprintf("asic-%03d", i+1), models[(i/feeders)%len(models)]
		if i >= n {
			name, model = fmt.Sprintf("axe-%03d", i-n+1), little
		}
		w := demoWorker(string(site.ID)+"."+name, model)
		at := i % feeders
		if i >= n {
			at = (i - n) % feeders
		}
		w.Feeder = fleet.FeederID(fmt.Sprintf("f%d", at+1))
		full[at] += newDevice(w).full()
		p.Workers = append(p.Workers, w)
	}
	for i, watts := range full {
		base := math.Round(watts * demoBase)
		limit := roundUp((watts+base)/demoFill, 10)
		site.Feeders = append(site.Feeders, fleet.Feeder{
			ID: fleet.FeederID(fmt.Sprintf("f%d", i+1)), Site: site.ID,
			Limit: limit, Reserve: roundUp(demoReserve*float64(limit), 10), Base: unit.Watts(base),
			// More than the largest machine: any one of them may wake by itself.
			Overload: fleet.Overload{Watts: min(4*unit.Kilowatt, limit), For: time.Minute},
			Notice:   10 * time.Second, Restore: roundUp(demoRestore*float64(limit), 10), Arm: fleet.Act,
			Trusted: true, // its curves are what it does
		})
	}
	p.Sites = []fleet.Site{site}
	return p
}

// demoWorker is a machine of a model. What a cycle costs goes with what the machine costs, and so with its
// power.
func demoWorker(id, model string) fleet.Worker {
	m, _ := fleet.ModelNamed(model)
	wear := unit.Sat / 2
	if model == little {
		wear = wear * unit.Msat(m.Plate.Watts) / 3500
	}
	return fleet.Worker{
		ID: pool.WorkerID(id), Model: m.Name, Curve: m.Curve(curvePoints), Sleep: m.Sleep,
		MinRun: 20 * time.Second, MinOff: 10 * time.Second, Wear: wear,
	}
}

func roundUp(v, to float64) unit.Watts { return unit.Watts(math.Ceil(v/to) * to) }
