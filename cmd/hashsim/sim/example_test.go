package sim_test

import (
	"fmt"

	"github.com/hashlease/hashlease/cmd/hashsim/sim"
)

// The demonstration site, as a server's configuration needs to know it.
func ExampleDemoSite() {
	plan := sim.DemoSite(200, "acme")
	f := plan.Sites[0].Feeders[0]
	fmt.Println(len(plan.Workers), "machines,", len(plan.Meters()), "meters")
	fmt.Println(f.ID, "bears", f.Limit, "of which", f.Base, "base load")
	fmt.Println(plan.Meters()[3].Path)
	// Output:
	// 208 machines, 16 meters
	// f1 bears 175 kW of which 10.5 kW base load
	// /v1/meters/f1/tenant/acme
}
