package console

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// Ensure metrics need the admin key or a session, and say nothing that a miner or a tenant chose.
func TestMetrics_AreBoundAndClosed(t *testing.T) {
	s := newSite(t, nil)
	long := strings.Repeat("k", 300)
	for _, auth := range []string{"", "Bearer", "Bearer wrong", "Basic " + adminKey, "Bearer " + long} {
		answer, _ := s.do(http.MethodGet, "/metrics", nil, "Authorization", auth)
		if answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%.20q: %s", auth, answer.Status)
		}
	}
	answer, body := s.do(http.MethodGet, "/metrics", nil, "Authorization", "bearer "+adminKey)
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("the admin key: %s\n%s", answer.Status, body)
	}
	name := regexp.MustCompile(
		`^(hashlease_(stratum|node|ledger|lease|governor|console)_[a-z0-9_]+|go_\w+|process_\w+)([{ ])`)
	series := 0
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		series++
		if !name.MatchString(line) {
			t.Errorf("%q", line)
		}
		for _, never := range []string{"asic", "acme", "onerror", "Braiins"} {
			if strings.Contains(line, never) {
				t.Errorf("a label has %q: %s", never, line)
			}
		}
	}
	if series > 400 {
		t.Errorf("%d series for four feeders", series)
	}
	for _, want := range []string{
		`hashlease_governor_mining_watts{feeder="f2",site="north"} 17`,
		`hashlease_governor_branch_total_watts{branch="north-grid",kind="import",site="north"} 2.8e+06`,
		`hashlease_governor_branch_meter_ok{branch="north-grid",kind="import",meter="north-grid total"`,
		`hashlease_governor_branch_ok{branch="north-p1",kind="pdu",site="north"} 0`,
		`hashlease_node_ready 1`,
		`hashlease_stratum_shares_rejected_total{reason="stale-share"} `,
		`hashlease_lease_leases{state="ACTIVE"} 1`,
		`hashlease_stratum_tip_to_last_job_seconds{quantile="0.99"} 0.0073`,
		`hashlease_console_sessions 0`,
		`hashlease_stratum_port_connections{dialect="v1",port=":3333"} 7`,
		`hashlease_stratum_port_connections{dialect="v2",port=":3333"} 200`,
		`hashlease_stratum_port_connections{dialect="v1",port=":0"} 3`,
		`hashlease_stratum_port_connections_total{dialect="v1",port=":0"} 30`,
		`hashlease_stratum_port_connections_failed_total{port=":0"} 5`,
		"# TYPE hashlease_stratum_shares_accepted_total counter",
		"# TYPE hashlease_governor_limit_watts gauge",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q", want)
		}
	}
	s.console.attempts = newAttempts()
	s.enter()
	s.get("/metrics", http.StatusOK)
}
