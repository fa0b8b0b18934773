package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/sim"
	"github.com/hashlease/hashlease/pool/unit"
)

// soakFor, when set in the environment, runs the soak that long: HASHLEASE_SOAK=5m.
const soakFor = "HASHLEASE_SOAK"

// Ensure that hours of overlapping leases, a third of them cancelled, cost neither the limit nor memory.
func TestSoak_OverlappingLeasesAndCancels(t *testing.T) {
	span, err := time.ParseDuration(os.Getenv(soakFor))
	if err != nil {
		t.Skipf("set %s to how long, as 5m: %v", soakFor, err)
	}
	s := newTestSite(t, 100)
	s.startServer()
	s.runSite(soakDemands()...)
	s.awaitMiners(len(s.plan.Workers))
	s.sim.MarkTruth()
	began := time.Now()
	for next := 30 * time.Second; time.Since(began) < span; {
		time.Sleep(rand.N(8 * time.Second)) //nolint:gosec // cancels are to come by chance
		s.cancelOne()
		if time.Since(began) > next {
			next += 30 * time.Second
			t.Logf("%v: %s", time.Since(began).Truncate(time.Second), s.processLine())
		}
	}
	states := map[string]int{}
	for _, l := range s.tenant.Reports() {
		states[l.State]++
		if l.State == "FAILED" {
			t.Errorf("%s failed: %s", l.Name, l.Reason)
		}
	}
	truth := s.sim.Truth()
	t.Logf("leases %v, %.2f s over the limit", states, truth.SecondsOverLimit)
	if truth.SecondsOverLimit != 0 {
		t.Errorf("the limit was passed for %.2f s: %+v", truth.SecondsOverLimit, truth.Feeders)
	}
	s.checkShares()
	s.stop()
	for line := range strings.Lines(s.logged()) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			t.Log(strings.TrimSpace(line))
		}
	}
	t.Logf("%d lines of log", strings.Count(s.logged(), "\n"))
}

// soakDemands are three series of leases on each feeder, of lengths that do not divide each other.
func soakDemands() (list []sim.Demand) {
	for i := range 12 {
		list = append(list, sim.Demand{
			Site: "north", Feeder: fmt.Sprintf("f%d", i%4+1), Watts: unit.Watts(5+2*i) * unit.Kilowatt,
			After: time.Duration(6+3*i) * time.Second, Notice: 12 * time.Second,
			For: time.Duration(15+2*i) * time.Second, Every: time.Duration(37+5*i) * time.Second,
		})
	}
	return list
}

// cancelOne cancels a lease that is not over, most of the time.
func (s *site) cancelOne() {
	s.t.Helper()
	for _, l := range s.tenant.Reports() {
		running := l.Name != "" && !finalState(l.State) && l.State != "ENDING"
		if running && rand.N(6) == 0 { //nolint:gosec // by chance
			var out any
			s.asTenant(&out, "lease", "cancel", l.Name)
			return
		}
	}
}

// processLine is the server's memory and threads as the system sees them.
func (s *site) processLine() string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.server.Process.Pid))
	if err != nil {
		return err.Error()
	}
	var words []string
	for line := range strings.Lines(string(text)) {
		for _, name := range []string{"VmRSS", "RssAnon", "Threads"} {
			if strings.HasPrefix(line, name) {
				words = append(words, strings.Join(strings.Fields(line), " "))
			}
		}
	}
	return strings.Join(words, ", ")
}
