package vardifftest_test

import (
	"testing"

	"github.com/hashlease/hashlease/pool/vardifftest"
)

// gate is what ours must reach in a scenario, over the seeded runs of the test.
type gate struct {
	perMinute     float64
	scenario      string
	p50, p90, p99 float64 // seconds until right; 0: not asked
	changes       float64 // 0: not asked
}

var gates = []gate{
	{perMinute: 20, scenario: "cold start, any guess", p50: 30, p90: 60, p99: 60},
	{perMinute: 12, scenario: "cold start, any guess", p50: 30, p90: 60, p99: 60},
	{perMinute: 6, scenario: "cold start, any guess", p50: 30, p90: 60},
	{perMinute: 20, scenario: "cold start, no guess", p50: 30, p90: 60, p99: 60},
	{perMinute: 20, scenario: "cold start, 1 PH/s called 100 GH/s", p99: 60},
	{perMinute: 20, scenario: "cold start, 100 GH/s called 1 PH/s", p99: 60},
	{perMinute: 20, scenario: "constant", changes: 1},
	{perMinute: 12, scenario: "constant", changes: 1},
	{perMinute: 6, scenario: "constant", changes: 1},
	{perMinute: 20, scenario: "constant, 10 % refused", changes: 1},
	{perMinute: 20, scenario: "silent -50 %", p50: 60, p90: 150},
	{perMinute: 20, scenario: "silent -90 %", p50: 60, p90: 120},
	{perMinute: 20, scenario: "silent +100 %", p50: 90, p90: 180},
	{perMinute: 20, scenario: "pause of 1 h, a tenth comes back", p90: 60},
	{perMinute: 20, scenario: "commanded -50 %", p99: 0.001},
	{perMinute: 20, scenario: "commanded pause and restore", p99: 0.001},
}

// Ensure that a target is right soon after a start with any guess, a fall of 50 or 90 %, a rise, a pause
// and an order, and that it is left alone at constant hashrate.
func TestSV2_138_VardiffConvergesAndStaysSteady(t *testing.T) {
	const runs = 600
	for _, g := range gates {
		s := scenario(t, g.scenario)
		n := runs
		if s.Steady {
			n /= 4 // each has six windows
		}
		r := vardifftest.Measure(s, vardifftest.Rules()[0], g.perMinute, n, 1)
		t.Logf("%2g/min %-36s right %3.0f %3.0f %3.0f s, %3.0f %% in 60 s, first %3.0f %3.0f s; %.2f changes",
			g.perMinute, g.scenario, r.P50, r.P90, r.P99, 100*r.Within, r.First, r.First90, r.Changes)
		for _, c := range []struct {
			name      string
			got, want float64
		}{
			{"p50", r.P50, g.p50},
			{"p90", r.P90, g.p90},
			{"p99", r.P99, g.p99},
			{"changes", r.Changes, g.changes},
		} {
			if c.want > 0 && c.got > c.want {
				t.Errorf("%g/min %s: %s is %.2f, want at most %g",
					g.perMinute, g.scenario, c.name, c.got, c.want)
			}
		}
	}
}

// Ensure that the rules of others do here what is known of them: the ladder needs half an hour to see
// a fall of 50 %, and both find a hashrate in the end.
func TestRules_OfOthersDoWhatIsKnownOfThem(t *testing.T) {
	rules := vardifftest.Rules()
	half := scenario(t, "silent -50 %")
	if r := vardifftest.Measure(half, rules[2], 20, 100, 1); r.P50 < 10*60 || r.P50 > 40*60 || r.Missed > 0 {
		t.Errorf("the ladder takes %.0f s, %.0f %% never", r.P50, 100*r.Missed)
	}
	if r := vardifftest.Measure(half, rules[3], 20, 100, 1); r.P50 < 4*60 || r.P50 > 40*60 {
		t.Errorf("the average takes %.0f s", r.P50)
	}
	for _, rule := range rules[2:] {
		if r := vardifftest.Measure(scenario(t, "constant"), rule, 20, 50, 1); r.Changes > 0.5 {
			t.Errorf("%s changes %.2f times in ten minutes", rule.Name, r.Changes)
		}
	}
}

func scenario(t *testing.T, name string) vardifftest.Scenario {
	t.Helper()
	for _, s := range vardifftest.Scenarios() {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("there is no scenario %q", name)
	return vardifftest.Scenario{}
}
