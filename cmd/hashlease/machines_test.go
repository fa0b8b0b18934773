package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/device/devicetest"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

const (
	machineSecret = "hunter2-of-the-farm"
	otherPool     = "elsewhere.example:3333"
)

// farm is a site where every machine mines at a pool of somebody else: machines with interfaces of their
// own on loopback, and a meter of what they truly draw.
type farm struct {
	*site
	machines []*devicetest.Machine
}

// farmDoor is a machine's own interface, of one kind.
func farmDoor(kind string, m *devicetest.Machine) http.Handler {
	switch kind {
	case "antminer":
		return &devicetest.Antminer{Machine: m, User: "root", Password: machineSecret}
	case "epic":
		return &devicetest.EPIC{Machine: m, Password: machineSecret}
	case "vnish":
		return &devicetest.VNish{Machine: m, Password: machineSecret}
	}
	return &devicetest.Braiins{Machine: m, User: "root", Password: machineSecret}
}

// newFarm is machines of some kinds in turn, Braiins OS and stock Antminers if none is named, on a feeder
// with room for all.
func newFarm(t *testing.T, n int, arm fleet.Arm, kinds ...string) *farm {
	t.Helper()
	f := &farm{site: newTestSite(t, 24)}
	model, _ := fleet.ModelNamed("Antminer S21")
	cfg, err := config.Read(filepath.Join(f.dir, configFile))
	if err != nil {
		t.Fatal(err)
	}
	if kinds == nil {
		kinds = []string{"braiins", "braiins", "braiins", "antminer"}
	}
	cfg.Workers = nil
	cfg.Device.Subnets, cfg.Device.Credentials = []string{"127.0.0.0/8"}, "devices.toml"
	for i := range n {
		rig := &devicetest.Rig{
			Curve: model.Curve(6), Sleep: model.Sleep, ShedIn: time.Second, ReturnIn: 2 * time.Second,
		}
		m := devicetest.NewMachine(devicetest.Facts{
			Model: "Antminer S21", Version: "26.04", Serial: fmt.Sprintf("SN%d", i), MAC: "02:8f:77:ec:e7:e0",
		}, rig, devicetest.Pool{URL: "stratum+tcp://" + otherPool, User: "them.rig", Password: "x"},
			devicetest.Pool{URL: "stratum+tcp://backup.example:3334", User: "them.rig", Password: "x"})
		kind := kinds[i%len(kinds)]
		srv := httptest.NewServer(farmDoor(kind, m))
		t.Cleanup(srv.Close)
		f.machines = append(f.machines, m)
		cfg.Workers = append(cfg.Workers, config.Worker{
			ID: fmt.Sprintf("them.rig%02d", i), Feeder: "hall", Model: "Antminer S21", Device: kind,
			Address: strings.TrimPrefix(srv.URL, "http://"), Login: "farm",
		})
	}
	meter := httptest.NewServer(f)
	t.Cleanup(meter.Close)
	full := unit.Watts(n) * model.Plate.Watts
	cfg.Sites = []config.Site{{ID: "away", Name: "Away", Feeder: []config.Feeder{{
		ID: "hall", Limit: full * 11 / 10, Reserve: full / 50, Arm: arm,
		Overload: config.Overload{Watts: 4 * unit.Kilowatt, For: config.Duration(time.Minute)},
		Notice:   config.Duration(10 * time.Second), Restore: 5 * unit.Kilowatt,
		Meters: []config.Meter{
			{Role: fleet.Total, URL: meter.URL + "/total"},
			{Role: fleet.Tenant, Tenant: demoTenant, URL: meter.URL + "/tenant"},
		},
	}}}}
	text, err := config.Encode(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	logins := "[farm]\nuser = \"root\"\npassword = \"" + machineSecret + "\"\n"
	for name, data := range map[string]string{configFile: string(text), "devices.toml": logins} {
		if err := os.WriteFile(filepath.Join(f.dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if f.server != nil {
			f.kill()
		}
		log := f.logged()
		if strings.Contains(log, machineSecret) {
			t.Error("the log holds a password")
		}
		if t.Failed() {
			t.Logf("server's log:\n%s", log)
		}
	})
	return f
}

// ServeHTTP is the feeder's meter, and that of a tenant who draws nothing.
func (f *farm) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	watts := unit.Watts(0)
	if r.URL.Path == "/total" {
		watts = f.draws()
	}
	_, _ = w.Write(device.AppendReading(nil, fleet.Reading{Watts: watts, At: time.Now()})) // it may be gone
}

// draws is the truth.
func (f *farm) draws() (sum unit.Watts) {
	for _, m := range f.machines {
		sum += m.Body.State().Watts
	}
	return sum
}

// orders counts what was written to machines.
func (f *farm) orders() (n int) {
	for _, m := range f.machines {
		n += m.Orders()
	}
	return n
}

// awaitSeen waits until all machines were heard on their own interfaces.
func (f *farm) awaitSeen() {
	f.t.Helper()
	f.eventually("the server answers", time.Minute, f.answers)
	f.eventually("every machine was seen", time.Minute, func() bool {
		var seen []struct {
			Reachable bool `json:"reachable"`
		}
		f.decode(&seen, "device", "list", "--json")
		n := 0
		for _, d := range seen {
			if d.Reachable {
				n++
			}
		}
		return n == len(f.machines)
	})
}

// Ensure that a site where all machines mine elsewhere works through the real program: it is curtailed by its
// machines' own interfaces, proven at the meter, and restored; single machines are told by hand; it is
// commissioned, and sells what it was measured to free. No pool is touched.
func TestProgram_RunsASiteThatMinesElsewhere(t *testing.T) {
	skipShort(t)
	f := newFarm(t, 8, fleet.Act)
	f.startServer()
	f.awaitSeen()
	before := f.draws()
	out := f.command("site", "curtail", "away", "10kW", "--for", "15s", "--json")
	if !strings.Contains(out, `"proven":true`) {
		t.Errorf("no proof in the answer: %s", out)
	}
	if after := f.draws(); after > before-9*unit.Kilowatt {
		t.Errorf("mining went from %v to %v: 10 kW less were ordered and proven", before, after)
	}
	f.eventually("mining is back", 2*time.Minute, func() bool { return f.draws() >= before*99/100 })
	f.checkHand()
	f.checkSale()
	for i, m := range f.machines {
		pools, active := m.Pools()
		if len(pools) != 2 || active != 0 || pools[0].URL != "stratum+tcp://"+otherPool {
			t.Errorf("machine %d: pools %+v, active %d", i, pools, active)
		}
	}
	f.stop()
}

// checkSale commissions the feeder and leases what it was measured to free, to ACTIVE by the meter.
func (f *farm) checkSale() {
	f.t.Helper()
	out := f.command("site", "commission", "hall", "--limit", "15kW")
	if !strings.Contains(out, "8 workers proven, 0 not") {
		f.t.Errorf("the commissioning said\n%s", out)
	}
	out = f.command("site", "headroom", "away")
	if !strings.Contains(out, "- mined elsewhere") || strings.Contains(out, "= FIRM              0 W") {
		f.t.Errorf("the headroom is\n%s", out)
	}
	before := f.draws()
	var l leaseView
	f.asTenant(&l, "lease", "create", "--site", "away", "--feeder", "hall", "--watts", "12kW",
		"--start", "+30s", "--for", "20s")
	f.awaitLease(l.Name, "ACTIVE", time.Minute)
	if after := f.draws(); after > before-8*unit.Kilowatt {
		f.t.Errorf("a lease of 12 kW is ACTIVE; mining went from %v to %v", before, after)
	}
}

// checkHand tells one machine by hand: it sleeps, is shown as it is, and returns.
func (f *farm) checkHand() {
	f.t.Helper()
	m := f.machines[0]
	f.command("device", "sleep", "them.rig00")
	f.eventually("the machine sleeps", 30*time.Second, func() bool {
		return m.Body.State().Watts == m.Body.State().Sleep
	})
	shown := f.command("device", "show", "them.rig00")
	for _, want := range []string{"SN0", "Braiins", otherPool, "backup.example", "by hand", "no session"} {
		if !strings.Contains(shown, want) {
			f.t.Errorf("%q is missing in\n%s", want, shown)
		}
	}
	f.command("device", "set-power", "them.rig00", "2.5kW")
	f.eventually("the machine is capped", time.Minute, func() bool {
		s := m.Body.State()
		return s.Watts > s.Sleep && s.Watts <= 2500 && !s.Moving
	})
	f.command("device", "wake", "them.rig00")
	f.eventually("the machine is back", time.Minute, func() bool {
		return m.Body.State().Watts == m.Body.State().Curve.Full().Watts
	})
}

// Ensure that machines that refuse everything and repeat what they were sent bring no password into what
// the program prints, serves, logs or keeps.
func TestProgram_KeepsMachinesPasswords(t *testing.T) {
	skipShort(t)
	f := newFarm(t, 4, fleet.Act, "epic", "braiins", "antminer", "vnish")
	f.startServer()
	f.awaitSeen()
	for _, m := range f.machines {
		m.Fail(devicetest.Defects{Echo: true})
	}
	var said strings.Builder
	args := []string{
		"device", "sleep", "them.rig00", "them.rig01", "them.rig02", "them.rig03",
		"--server", f.listen[1], "--ca", f.caFile(), "--key", f.keys.admin,
	}
	Main(t.Context(), args, strings.NewReader(""), &said, &said) // it is told whatever it answers
	faults := ""
	defer func() { t.Logf("machines failed with %s", faults) }()
	f.eventually("every machine's failure is told", 90*time.Second, func() bool {
		var list []struct {
			Fault string `json:"fault"`
			Order string `json:"order_fault"`
		}
		f.decode(&list, "device", "list", "--json")
		failed := 0
		for faults = ""; len(list) > 0; list = list[1:] {
			faults += "\n" + list[0].Fault + "; " + list[0].Order
			if list[0].Fault != "" && list[0].Order != "" {
				failed++
			}
		}
		return failed == len(f.machines)
	})
	said.WriteString(faults)
	said.WriteString(f.command("device", "show", "them.rig00") + f.command("status"))
	for _, path := range []string{"/", "/api/workers", "/metrics", "/healthz"} {
		said.WriteString(f.console(path))
	}
	f.stop()
	said.WriteString(f.kept())
	if !strings.Contains(said.String(), "***") || !strings.Contains(said.String(), "them.rig00") {
		t.Errorf("nobody repeated a password:\n%s", f.logged())
	}
	if text := said.String(); strings.Contains(text, machineSecret) {
		at := strings.Index(text, machineSecret)
		t.Errorf("a password is told: %q", text[max(0, at-300):at+len(machineSecret)])
	}
}

// console is what a page of the console says.
func (s *site) console(path string) string {
	s.t.Helper()
	ca, err := os.ReadFile(s.caFile())
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	web := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer web.CloseIdleConnections()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "https://"+s.listen[2]+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.keys.admin)
	resp, err := web.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		s.t.Fatalf("%s: status %d, %v", path, resp.StatusCode, err)
	}
	return string(b)
}

// kept is every file that the program wrote, its log among them.
func (f *farm) kept() string {
	f.t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "devices.toml" {
			return err
		}
		b, err := os.ReadFile(path)
		all.Write(b)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return all.String()
}

// Ensure that in observe nothing is written to any machine, whatever the operator asks for.
func TestProgram_WritesToNoMachineInObserve(t *testing.T) {
	skipShort(t)
	f := newFarm(t, 8, fleet.Observe)
	f.startServer()
	f.awaitSeen()
	out := f.command("site", "curtail", "away", "7kW", "--for", "30s", "--dry-run", "--json")
	if !strings.Contains(out, "them.rig") {
		t.Errorf("the preview names no worker: %s", out)
	}
	f.command("site", "limit", "set", "away", "10kW", "--for", "1m")
	f.eventually("advice says what would be done", time.Minute, func() bool {
		return strings.Contains(f.command("site", "advice", "hall"), "them.rig")
	})
	if n := f.orders(); n > 0 {
		t.Errorf("%d writes in observe", n)
	}
	f.stop()
}

// Ensure that a machine knows whom it drives, and that hashlease check asks each without a write and says
// what it found.
func TestMachineProbes_SayWhatAnswers(t *testing.T) {
	rig := &devicetest.Rig{Sleep: 2, Curve: fleet.Curve{
		{Watts: 8, Hashrate: 5e11}, {Watts: 18, Hashrate: 1.2e12},
	}}
	m := devicetest.NewMachine(devicetest.Facts{Version: "v2.14.0"}, rig,
		devicetest.Pool{URL: "stratum+tcp://" + otherPool})
	srv := httptest.NewServer(&devicetest.AxeOS{Machine: m, Clock: 525})
	defer srv.Close()
	cfg := config.Default()
	cfg.Device.Subnets = []string{"127.0.0.0/8"}
	one := config.Worker{
		ID: "a.1", Device: "axeos", Address: strings.TrimPrefix(srv.URL, "http://"),
		Curve: []config.Point{{Watts: 8, Hashrate: 5e11}, {Watts: 18, Hashrate: 1.2e12}},
	}
	away := one
	away.ID, away.Address = "a.2", freeAddress(t)
	cfg.Workers = []config.Worker{one, away}
	found := tryAll(t.Context(), machineProbes(&cfg))
	if len(found) != 2 || !found[0].OK || !strings.Contains(found[0].Found, "AxeOS 2.14.0: mining, 18 W") {
		t.Errorf("%+v", found)
	}
	if len(found) == 2 && (found[1].OK || !strings.Contains(found[1].Fix, away.Address)) {
		t.Errorf("one that is away: %+v", found[1])
	}
	for i := range checkEach {
		more := one
		more.ID = fmt.Sprintf("a.m%d", i)
		cfg.Workers = append(cfg.Workers, more)
	}
	found = tryAll(t.Context(), machineProbes(&cfg))
	if len(found) != 1 || found[0].OK || !strings.HasPrefix(found[0].Found, "31 of 32 answer; a.2 at ") {
		t.Errorf("many: %+v", found)
	}
	if n := m.Orders(); n > 0 {
		t.Errorf("%d writes by a check", n)
	}
}

// Ensure that the power of a machine that takes its orders and does nothing is cut at the socket behind it,
// once that is armed, that people are told, and that it is seen as asleep then.
func TestOpenMachines_PutSocketsBehindMachines(t *testing.T) {
	curve := fleet.Curve{{Watts: 8, Hashrate: 5e11}, {Watts: 18, Hashrate: 1.2e12}}
	m := devicetest.NewMachine(devicetest.Facts{Version: "v2.14.0"},
		&devicetest.Rig{Curve: curve, Sleep: 2}, devicetest.Pool{URL: "stratum+tcp://" + otherPool})
	m.Fail(devicetest.Defects{Deaf: true})
	power := devicetest.NewMachine(devicetest.Facts{}, &devicetest.Rig{Curve: curve})
	srv := httptest.NewServer(&devicetest.AxeOS{Machine: m, Clock: 525})
	defer srv.Close()
	pdu := httptest.NewServer(&devicetest.HTTPSocket{Machine: power})
	defer pdu.Close()
	cfg := config.Default()
	cfg.Device.Subnets = []string{"127.0.0.0/8"}
	cfg.Workers = []config.Worker{{
		ID: "a.1", Device: "axeos", Address: strings.TrimPrefix(srv.URL, "http://"), Cut: true, Wear: 1,
		ShedIn: config.Duration(time.Millisecond),
		Curve:  []config.Point{{Watts: 8, Hashrate: 5e11}, {Watts: 18, Hashrate: 1.2e12}},
		Socket: &config.Socket{
			Device: "socket-http", Address: strings.TrimPrefix(pdu.URL, "http://"), After: 1,
			On: "/outlet/1/on", Off: "/outlet/1/off", State: "/outlet/1", Path: "outlet.state", Is: "on",
		},
	}}
	var log bytes.Buffer
	_, orders, err := openMachines(&cfg, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	one := orders["a.1"].(*machine)
	defer one.Close()
	asleep := false
	for range 1000 { // an order is repeated until its time is over
		if _, err := one.Set(t.Context(), fleet.Setpoint{Command: 1, Mode: fleet.Paused}); err != nil {
			t.Fatal(err)
		}
		s, err := one.Probe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if asleep = s.Activity == fleet.ActivityAsleep; asleep {
			break
		}
	}
	said := &hashleasev1.Device{}
	one.fill(said)
	if c := said.GetCapability(); !c.GetSleeps() || !c.GetTakesWatts() || c.GetMaxWatts() != 18 ||
		c.GetSurvivesReboot() || !c.GetHoldsAlone() || !c.GetMeasured() || c.GetReturnSeconds() != 600 {
		t.Errorf("it can %v", c)
	}
	if !asleep || power.Orders() != 1 || !strings.Contains(log.String(), "worker=a.1") {
		t.Errorf("asleep %v, %d switches, log %s", asleep, power.Orders(), &log)
	}
}
