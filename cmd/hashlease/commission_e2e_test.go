package main

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/sim"
)

// feederHeadroom is what the tests read of `hashlease site headroom --json`.
type feederHeadroom struct {
	Feeder   string `json:"feeder"`
	State    string `json:"state"`
	Reason   string `json:"reason"`
	Command  string `json:"command"`
	Firm     int64  `json:"firm_watts,string"`
	Counted  int    `json:"workers_counted"`
	Findings []struct {
		Kind    string `json:"kind"`
		Worker  string `json:"worker"`
		Message string `json:"message"`
	} `json:"findings"`
}

func (s *site) headroom(feeder string) (h feederHeadroom) {
	s.t.Helper()
	var all []feederHeadroom
	s.decode(&all, "site", "headroom", "--json")
	for _, h := range all {
		if strings.HasSuffix(h.Feeder, "/"+feeder) {
			return h
		}
	}
	s.t.Fatalf("no headroom of feeder %s", feeder)
	return h
}

// heard is what a command writes while it runs.
type heard struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *heard) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *heard) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// run is a command of the operator that goes on for a while.
type run struct {
	out, err heard
	code     chan int // capacity 1
}

func (s *site) begin(ctx context.Context, args ...string) *run {
	r := &run{code: make(chan int, 1)}
	args = append(args, "--server", s.listen[1], "--ca", s.caFile(), "--key", s.keys.admin)
	go func() { r.code <- Main(ctx, args, strings.NewReader(""), &r.out, &r.err) }()
	return r
}

// commission runs one to its end, once the server lets it begin.
func (s *site) commission(feeder string) (code int, out, said string) {
	s.t.Helper()
	s.eventually("the commissioning of "+feeder+" begins", time.Minute, func() bool {
		r := s.begin(s.t.Context(), "site", "commission", feeder, "--limit", "4kW")
		code = <-r.code
		out, said = r.out.String(), r.err.String()
		return code != exitRefused
	})
	return code, out, said
}

// unmeasured makes the site one that nobody has commissioned, of machines that answer faster than any
// on sale, with room for all to return at any time.
func (s *site) unmeasured() {
	s.t.Helper()
	fast := func(model string) sim.Firmware {
		f := sim.InBand(model)
		f.ReturnDelay, f.ReturnRamp = time.Second/5, time.Second
		return f
	}
	meters := s.sim.Addr()
	err := s.sim.Close()
	if err == nil {
		s.sim, err = sim.New(sim.Config{Plan: s.plan, Seed: 1, Meters: meters, Firmware: fast, Log: s.log})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.configure(`(?m)^trust_declared = true\n`, "")
	s.configure(`min_off = .*`, `min_off = "1s"`)
	s.configure(`min_run = .*`, `min_run = "1s"`)
	s.configure(`(?m)^limit = .*`, `limit = "200kW"`)
	s.configure(`(?m)^restore = .*`, `restore = "10kW"`)
}

// Ensure that over the real program nothing is sold of a feeder before it was commissioned, with the reason
// and the command to run; that a commissioning shows its progress, proves machines at the meter, and names
// the one that hangs on another feeder; and that a kill forgets nothing of it.
func TestProgram_CommissionsAFeeder(t *testing.T) {
	skipShort(t)
	t.Parallel()
	const miners = 8 // two a feeder
	s := newTestSite(t, miners)
	s.unmeasured()
	s.configure(`(id = "north.asic-002"\nfeeder = )"f2"`, `${1}"f1"`)
	s.startServer()
	s.runMiners()
	s.awaitMiners(miners)
	s.eventually("headroom says what to run", time.Minute, func() bool {
		h := s.headroom("f1")
		return h.Firm == 0 && h.Command == "hashlease site commission f1" && h.Reason != ""
	})
	var offered []struct {
		Feeders []struct {
			Leasable int64  `json:"leasable_watts,string"`
			Basis    string `json:"basis"`
		} `json:"feeders"`
	}
	s.eventually("tenants are offered nothing of it, with the reason", time.Minute, func() bool {
		s.asTenant(&offered, "capacity")
		return len(offered) == 1 && len(offered[0].Feeders) == 4 && offered[0].Feeders[0].Leasable == 0 &&
			strings.Contains(offered[0].Feeders[0].Basis, "before it was commissioned")
	})
	code, out, said := s.commission("f1")
	for _, want := range []string{
		"3 workers in 3 groups", ": proven (north.asic-001; ", ": proven (north.asic-005; ", "back in ",
		"FOUND  north.asic-002 hangs on feeder f2: its step of ", "Correct the feeder in its [[worker]]",
		"2 workers proven, 1 not, 1 finding", "north/f1 can deliver ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	h := s.headroom("f1")
	if code != exitOK || !strings.Contains(said, "Ctrl-C stops it") || h.Firm <= 0 || h.Counted != 2 ||
		len(h.Findings) != 1 || h.Findings[0].Worker != "north.asic-002" {
		t.Errorf("exit status %d, headroom %+v\n%s%s", code, h, out, said)
	}
	s.eventually("tenants are offered it", time.Minute, func() bool {
		s.asTenant(&offered, "capacity")
		return offered[0].Feeders[0].Leasable > 0
	})
	s.kill()
	s.startServer()
	s.eventually("proofs are remembered", time.Minute, func() bool {
		return s.answers() && s.headroom("f1").Counted == 2
	})
	s.stop()
}

// Ensure that over the real program a commissioning names a meter that is mounted backwards and none of the
// machines, and that one that ends with the server leaves none asleep and is known of after the restart.
func TestProgram_CommissioningStopsForMeterAndServer(t *testing.T) {
	skipShort(t)
	t.Parallel()
	const miners = 8
	s := newTestSite(t, miners)
	s.unmeasured()
	w := s.tapMeters()
	w.set(func(w *wiring) { w.backwards = "f3" })
	s.startServer()
	s.runMiners()
	s.awaitMiners(miners)
	code, out, said := s.commission("f3")
	if h := s.headroom("f3"); code != exitFailed || strings.Count(out, "FOUND") != 1 ||
		!strings.Contains(out, "FOUND  feeder f3's meter: it is inverted") ||
		!strings.Contains(said, "it is inverted") || h.Firm != 0 ||
		!strings.Contains(h.Reason, "stopped: the meter is wrong") {
		t.Errorf("exit status %d, headroom %+v\n%s%s", code, h, out, said)
	}
	s.allAwake(miners)
	r := s.begin(t.Context(), "site", "commission", "f4", "--limit", "4kW")
	s.eventually("a machine sleeps for it", time.Minute, func() bool {
		return s.sim.Stats().States["sleep"] > 0
	})
	s.stop()
	if code := <-r.code; code == exitOK || !strings.Contains(r.err.String(), "commission") {
		t.Errorf("the command whose server ended: exit status %d\n%s", code, &r.err)
	}
	s.startServer()
	s.eventually("it is said that it was broken off", time.Minute, func() bool {
		return s.answers() && strings.HasPrefix(s.headroom("f4").Reason, "its commissioning was broken off")
	})
	s.allAwake(miners)
	s.stop()
}

// allAwake waits until every machine draws full power.
func (s *site) allAwake(n int) {
	s.t.Helper()
	s.eventually("all have returned", time.Minute, func() bool {
		st := s.sim.Stats()
		return st.Mining == n && st.States["mining"] == n
	})
}

// wait waits for the command's end.
func (r *run) wait() int { return <-r.code }
