package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/sim"
	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// wiring stands between the server and the meters of the simulated site and spoils readings.
type wiring struct {
	proxy *httputil.ReverseProxy

	mu        sync.Mutex
	away      bool
	lie       bool              // half of the watts of everything but tenants' branches
	frozen    map[string][]byte // answers by path; nil: not frozen
	backwards string            // feeder whose total and mining are read the wrong way round
}

// tapMeters points the server's configuration at a wiring.
func (s *site) tapMeters() *wiring {
	s.t.Helper()
	far, err := url.Parse("http://" + s.sim.Addr())
	if err != nil {
		s.t.Fatal(err)
	}
	w := &wiring{proxy: httputil.NewSingleHostReverseProxy(far)}
	srv := httptest.NewServer(w)
	s.t.Cleanup(srv.Close)
	s.configure(regexp.QuoteMeta(far.String()), srv.URL)
	return w
}

func (w *wiring) set(change func(*wiring)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away, w.lie, w.frozen, w.backwards = false, false, nil, ""
	change(w)
}

// ServeHTTP answers as the meter does, or as the fault of the moment says.
func (w *wiring) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	away, lie, frozen, backwards := w.away, w.lie, w.frozen, w.backwards
	w.mu.Unlock()
	if away {
		http.Error(rw, "the gateway is away", http.StatusBadGateway)
		return
	}
	rec := httptest.NewRecorder()
	w.proxy.ServeHTTP(rec, r.WithContext(context.WithoutCancel(r.Context())))
	body := rec.Body.Bytes()
	if lie && !strings.Contains(r.URL.Path, "/tenant/") {
		body = changed(body, func(v unit.Watts) unit.Watts { return v / 2 })
	}
	branch, here := strings.CutPrefix(r.URL.Path, "/v1/meters/"+backwards+"/")
	if here && (branch == "total" || branch == "mining") {
		body = changed(body, func(v unit.Watts) unit.Watts { return 40*unit.Kilowatt - v })
	}
	if frozen != nil {
		w.mu.Lock()
		if old, ok := frozen[r.URL.Path]; ok {
			body = old
		}
		frozen[r.URL.Path] = body
		w.mu.Unlock()
	}
	rw.WriteHeader(rec.Code)
	_, _ = rw.Write(body) // the server may be gone
}

// changed is a meter's answer with other watts.
func changed(body []byte, to func(unit.Watts) unit.Watts) []byte {
	var r sim.MeterReading
	if json.Unmarshal(body, &r) != nil {
		return body
	}
	r.Watts = to(r.Watts)
	text, err := json.Marshal(r)
	if err != nil {
		return body
	}
	return text
}

// leaseView is what the tests read of a lease as JSON.
type leaseView struct {
	Name      string    `json:"name"`
	Feeder    string    `json:"feeder"`
	State     string    `json:"state"`
	Reason    string    `json:"state_reason"`
	Delivered int64     `json:"delivered_joules,string"`
	Watts     int64     `json:"watts,string"`
	End       time.Time `json:"end_time"`
}

// asTenant runs a command of the program with the tenant's key.
func (s *site) asTenant(into any, args ...string) {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	args = append(args, "--json", "--server", s.listen[1], "--ca", s.caFile(), "--key", s.keys.tenant)
	if code := Main(s.t.Context(), args, strings.NewReader(""), &stdout, &stderr); code != 0 {
		s.t.Fatalf("hashlease %s: exit status %d\n%s", strings.Join(args, " "), code, &stderr)
	}
	if err := json.Unmarshal(stdout.Bytes(), into); err != nil {
		s.t.Fatalf("reading the answer to %v: %v", args, err)
	}
}

// book books a slot that begins as early as the feeder's notice allows.
func (s *site) book(feeder string, w unit.Watts, span time.Duration) string {
	s.t.Helper()
	var l leaseView
	s.asTenant(&l, "lease", "create", "--site", "north", "--feeder", feeder, "--watts", w.String(),
		"--start", "+11s", "--for", span.String())
	return l.Name
}

func (s *site) leaseNamed(name string) (l leaseView) {
	s.t.Helper()
	s.asTenant(&l, "lease", "get", name)
	l.State = strings.TrimPrefix(l.State, "LEASE_STATE_")
	return l
}

// awaitLease waits until a lease is in a state.
func (s *site) awaitLease(name, state string, within time.Duration) {
	s.t.Helper()
	var last leaseView
	s.eventually("the lease is "+state, within, func() bool {
		if last = s.leaseNamed(name); last.State != state && finalState(last.State) {
			s.t.Fatalf("the lease ended as %s: %s", last.State, last.Reason)
		}
		return last.State == state
	})
}

// truthOf is what really happened on a feeder since the last mark.
func (s *site) truthOf(feeder fleet.FeederID) sim.FeederTruth {
	for _, f := range s.sim.Truth().Feeders {
		if f.Feeder == feeder {
			return f
		}
	}
	s.t.Fatalf("no feeder %s", feeder)
	return sim.FeederTruth{}
}

// mining is what the miners of a feeder really draw.
func (s *site) mining(feeder fleet.FeederID) (sum float64) {
	for _, d := range s.sim.Devices() {
		if d.Feeder == feeder {
			sum += d.Watts
		}
	}
	return sum
}

// feederState is a feeder's state in `hashlease status`.
func (s *site) feederState(feeder string) string {
	s.t.Helper()
	for _, f := range s.status().Feeders {
		if strings.HasSuffix(f.Feeder, "/"+feeder) {
			return f.State
		}
	}
	return "not there"
}

func (s *site) draw(feeder fleet.FeederID, w unit.Watts) {
	s.t.Helper()
	if err := s.sim.SetTenantLoad(feeder, demoTenant, w); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) fault(w pool.WorkerID, f sim.Fault) {
	s.t.Helper()
	if err := s.sim.SetFault(w, f); err != nil {
		s.t.Fatal(err)
	}
}

// Ensure that the limit and the lease's state stay true while meters are away, frozen or wrong, machines do
// not do as ordered, and a tenant stays after its end.
func TestFaults_LimitHoldsWhateverMetersMachinesAndTenantsDo(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newTestSite(t, 32)
	wires := s.tapMeters()
	// The two machines of f1 that go first take orders and do nothing; one of them lies about it, too.
	s.fault("north.asic-021", sim.Fault{Ignore: true})
	s.fault("north.asic-025", sim.Fault{Ignore: true, Report: 0.01})
	s.startServer()
	s.runMiners()
	s.eventually("every miner has work", time.Minute, func() bool { return s.sim.Stats().Mining == 32 })
	s.eventually("the feeders have capacity", time.Minute, func() bool {
		return s.capacity("f1") && s.capacity("f2")
	})
	s.sim.MarkTruth()
	const watts = 9 * unit.Kilowatt
	broken := s.book("f1", watts, 25*time.Second)
	metered := s.book("f2", watts, 45*time.Second)
	s.awaitLease(metered, "ACTIVE", 40*time.Second)
	s.draw("f2", watts)

	s.checkMeters(wires, metered)
	s.awaitLease(broken, "ACTIVE", 30*time.Second)
	s.draw("f1", watts)
	s.checkMachines()
	s.awaitLease(broken, "ENDING", 30*time.Second)
	s.draw("f1", 0)
	s.awaitLease(broken, "COMPLETED", 10*time.Second)

	s.awaitLease(metered, "ENDING", time.Minute)
	s.checkTenantThatStays(metered, watts)
	if truth := s.sim.Truth(); truth.SecondsOverLimit != 0 {
		t.Errorf("the limit was passed for %.2f s: %+v", truth.SecondsOverLimit, truth.Feeders)
	}
	s.checkSelfWake()
	s.stop()
}

// capacity says whether a feeder has watts for tenants.
func (s *site) capacity(feeder string) bool {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	code := Main(s.t.Context(), []string{
		"lease", "create", "--site", "north", "--feeder", feeder, "--watts", "9kW", "--start", "+11s",
		"--for", "40s", "--dry-run", "--server", s.listen[1], "--ca", s.caFile(), "--key", s.keys.tenant,
	}, strings.NewReader(""), &stdout, &stderr)
	return code == 0
}

// checkMeters breaks the meters while a lease is ACTIVE.
func (s *site) checkMeters(wires *wiring, name string) {
	s.t.Helper()
	for _, fault := range []struct {
		what   string
		set    func(*wiring)
		honest bool // the lease must not be ACTIVE meanwhile
	}{
		{"away", func(w *wiring) { w.away = true }, true},
		{"frozen", func(w *wiring) { w.frozen = map[string][]byte{} }, true},
		{"wrong", func(w *wiring) { w.lie = true }, false},
	} {
		wires.set(fault.set)
		asleep := map[pool.WorkerID]bool{} // who was told to come back before may still do so
		if fault.honest {
			s.awaitLease(name, "DEGRADED", 10*time.Second)
			if st := s.feederState("f2"); !strings.Contains(st, "meter") {
				s.t.Errorf("meters %s: the feeder's state is %q", fault.what, st)
			}
			asleep = s.asleep("f2")
		}
		time.Sleep(3 * time.Second) // nobody is to be told to come back in this time
		for w := range asleep {
			if !s.asleep("f2")[w] {
				s.t.Errorf("meters %s: %s came back", fault.what, w)
			}
		}
		f := s.plan.Sites[0].Feeders[1]
		if now := s.mining("f2"); now > float64(f.Limit-f.Reserve-9*unit.Kilowatt) {
			s.t.Errorf("meters %s: mining draws %.0f W beside a tenant with 9 kW of %v",
				fault.what, now, f.Limit)
		}
		wires.set(func(*wiring) {})
		s.awaitLease(name, "ACTIVE", 15*time.Second)
	}
}

// asleep are the machines of a feeder that truly sleep.
func (s *site) asleep(feeder fleet.FeederID) map[pool.WorkerID]bool {
	list := map[pool.WorkerID]bool{}
	for _, d := range s.sim.Devices() {
		if d.Feeder == feeder && d.State == "sleep" {
			list[d.Worker] = true
		}
	}
	return list
}

// checkMachines wants those who do not do as ordered to be named.
func (s *site) checkMachines() {
	s.t.Helper()
	if st := s.feederState("f1"); st == "ok" {
		s.t.Error("with machines that do not do as ordered the feeder's state is ok")
	}
	if log := s.logged(); !strings.Contains(log, "worker=north.asic-021") {
		s.t.Error("the server's log does not name the machine that ignores orders")
	}
}

// checkTenantThatStays wants mining to stay down until the tenant is gone.
func (s *site) checkTenantThatStays(name string, watts unit.Watts) {
	s.t.Helper()
	before := s.mining("f2")
	time.Sleep(5 * time.Second) // the tenant stays; a restore would begin within one
	f := s.plan.Sites[0].Feeders[1]
	if after := s.mining("f2"); after > float64(f.Limit-f.Reserve-watts) {
		s.t.Errorf("mining went from %.0f W to %.0f W while the tenant draws %v of %v",
			before, after, watts, f.Limit)
	}
	if l := s.leaseNamed(name); l.State != "ENDING" || !strings.Contains(l.Reason, "tenant's meter") {
		s.t.Errorf("the lease of a tenant that stays is %s: %q", l.State, l.Reason)
	}
	s.draw("f2", 0)
	s.awaitLease(name, "COMPLETED", 10*time.Second)
	s.eventually("mining is back", time.Minute, func() bool {
		return s.mining("f2") > before+float64(watts)/2
	})
}

// checkSelfWake lets a sleeping machine wake by itself. This is no act of ours: the declared overload
// must bear it, and it is told again.
func (s *site) checkSelfWake() {
	s.t.Helper()
	name := s.book("f3", 9*unit.Kilowatt, 15*time.Second)
	s.awaitLease(name, "ACTIVE", 40*time.Second)
	s.draw("f3", 9*unit.Kilowatt)
	var asleep pool.WorkerID
	for _, d := range s.sim.Devices() {
		if d.Feeder == "f3" && d.State == "sleep" {
			asleep = d.Worker
		}
	}
	if asleep == "" {
		s.t.Fatal("nobody sleeps on f3")
	}
	s.fault(asleep, sim.Fault{SelfWake: sim.Span(time.Second)})
	again := regexp.MustCompile("woke by itself.*worker=" + string(asleep))
	s.eventually("it is told again", 20*time.Second, func() bool { return again.MatchString(s.logged()) })
	s.fault(asleep, sim.Fault{})
	s.awaitLease(name, "ENDING", time.Minute)
	s.draw("f3", 0)
	f := s.truthOf("f3")
	overload := s.plan.Sites[0].Feeders[2].Overload
	if f.MaxWatts > float64(f.Limit+overload.Watts) || f.SecondsOverLimit > overload.For.Seconds() {
		s.t.Errorf("one machine took f3 to %.0f W of %v for %.1f s: the overload allowance is %v for %v",
			f.MaxWatts, f.Limit, f.SecondsOverLimit, overload.Watts, overload.For)
	}
}
