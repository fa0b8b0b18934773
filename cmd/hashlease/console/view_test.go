package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/node"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum"
)

// open makes a console without a server.
func open(t *testing.T, f func() *figures) *Console {
	t.Helper()
	r := fakeRooms{start: time.Now()}.reader()
	if f != nil {
		r.figures = f
	}
	c, err := newConsole(Config{AdminKey: func(string) bool { return false }, Scale: 4e10}, r)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Ensure the sums on the page are those of the feeders, and hashrates are at the declared scale.
func TestSnapshot_SumsTheSite(t *testing.T) {
	c := open(t, func() *figures {
		at := time.Now()
		return fakeRooms{start: at.Add(-150 * time.Second)}.figures(at) // its lease is active
	})
	f := c.frame()
	v := c.snapshot(f)
	if v.Pool.Hashrate != v.Pool.Measured*4e10 || v.Pool.Measured != float64(f.stratum.Hashrate) {
		t.Errorf("hashrate %v of measured %v", v.Pool.Hashrate, v.Pool.Measured)
	}
	var limit, mining int64
	for _, fs := range f.power.Sites[0].Feeders {
		limit, mining = limit+int64(fs.Limit), mining+int64(fs.Mining)
	}
	if v.Power.Limit != limit || v.Power.Mining != mining || v.Power.Leased != int64(fakeLeased) {
		t.Errorf("power %+v", v.Power)
	}
	want := crowdView{Total: 200, Mining: 180, Curtailed: 18, Away: 1, Stuck: 1, Strangers: 1}
	if diff := cmp.Diff(want, v.Workers); diff != "" {
		t.Errorf("workers (-want +got):\n%s", diff)
	}
	if v.Leases.Watts != int64(fakeLeased) || v.Leases.States["ACTIVE"] != 1 ||
		v.Leases.States["COMPLETED"] != 0 {
		t.Errorf("leases %+v", v.Leases)
	}
	if g := v.Sites[0].Feeders[0].Grid; len(g) != 2*fakeWorkers || g[:2] != "p0" || g[34:36] != "c5" ||
		g[36:38] != "m8" {
		t.Errorf("grid %s", g)
	}
	if h := v.Sites[0].Feeders[0].Headroom; h.State == "" || len(h.Terms) != 8 {
		t.Errorf("headroom %+v", h)
	}
	if v.Pool.SharesPerMinute != nil {
		t.Error("a rate is known after one look")
	}
}

// Ensure the names in the page's data stay as the scripts read them.
func TestSnapshot_KeepsItsShape(t *testing.T) {
	c := open(t, nil)
	data, err := json.Marshal(c.snapshot(c.frame()))
	if err != nil {
		t.Fatal(err)
	}
	keys := func(raw json.RawMessage) (names []string) {
		for k := range decode[map[string]json.RawMessage](t, string(raw)) {
			names = append(names, k)
		}
		return names
	}
	top := decode[map[string]json.RawMessage](t, string(data))
	scripts := ""
	files, err := loadAssets()
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range files {
		if strings.HasSuffix(name, ".js") && !strings.Contains(name, "vendor") {
			scripts += string(f.body)
		}
	}
	used := append(keys(data), keys(top["node"])...)
	used = append(used, keys(top["workers"])...)
	for _, k := range append(used, keys(top["blocks"])...) {
		if !strings.Contains(scripts, k) {
			t.Errorf("no script reads %q", k)
		}
	}
	if !strings.HasPrefix(string(top["trouble"]), "[") {
		t.Errorf("trouble is %s, want a list", top["trouble"])
	}
}

// Ensure shares a minute and rejects come from the last minute alone.
func TestRates_CoverTheLastMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := stratum.Stats{Rejected: map[string]uint64{}}
		c := open(t, func() *figures { return &figures{at: time.Now(), stratum: st} })
		look := func() rates {
			time.Sleep(time.Second)
			return c.frame().rates
		}
		st.Submitted, st.Accepted, st.Rejected["stale-share"] = 1000, 500, 500
		if r := look(); r.known {
			t.Errorf("known at once: %+v", r)
		}
		for range 200 {
			st.Submitted, st.Accepted = st.Submitted+2, st.Accepted+2
			look()
		}
		r := look()
		if !r.known || r.sharesPerMinute < 115 || r.sharesPerMinute > 121 || r.rejectPercent != 0 {
			t.Errorf("two shares a second, no reject: %+v", r)
		}
		if n := len(c.view.marks); n > maxMarks {
			t.Errorf("%d marks are kept", n)
		}
		time.Sleep(time.Hour)
		if r := c.frame().rates; r.known {
			t.Errorf("known from an hour ago: %+v", r)
		}
	})
}

// Ensure a worker's letter says the most important thing about it.
func TestCodeOf_NamesTheWorstFirst(t *testing.T) {
	free := governor.WorkerStatus{Watts: 3500, Full: 3500, Reported: 3480, Reachable: true}
	unheard, gone := free, free
	unheard.Stuck, gone.Reachable = true, false
	liar := free // it says that it sleeps
	liar.Mode, liar.Watts, liar.Reported, liar.Lying = fleet.Paused, 40, 40, true
	with := func(m fleet.Mode, ordered, reported unit.Watts) governor.WorkerStatus {
		w := free
		w.Mode, w.Watts, w.Reported, w.Command = m, ordered, reported, 1
		return w
	}
	for _, c := range []struct {
		worker    governor.WorkerStatus
		connected bool
		want      code
	}{
		{free, true, mining},
		{unheard, true, stuck},
		{liar, true, stuck},
		{gone, true, unsteered},
		{gone, false, away},
		{with(fleet.Paused, 40, 3480), true, moving},
		{with(fleet.Paused, 40, 41), true, paused},
		{with(fleet.Capped, 2000, -1), true, capped},
		{with(fleet.Free, 3500, 40), true, moving},
	} {
		if got := codeOf(&c.worker, c.connected); got != c.want {
			t.Errorf("%+v: %c, want %c", c.worker, got, c.want)
		}
	}
	for watts, want := range map[int64]byte{-1: '9', 0: '0', 1750: '4', 3500: '9', 9000: '9'} {
		w := free
		if w.Reported = unit.Watts(watts); level(&w) != want {
			t.Errorf("%d W is level %c, want %c", watts, level(&w), want)
		}
	}
}

// Ensure the health names what is missing, and tells strangers no more than that.
func TestHealth_SaysWhyNot(t *testing.T) {
	bad := false
	s := newSite(t, func(f *figures) {
		if bad {
			f.at = time.Now()
			f.work = node.State{Phase: node.Away, Detail: "10.1.2.3:8332 refused"}
			f.bookError = errors.New("the journal failed")
			f.power.Ready = false
			f.power.Sites[0].Feeders[0].Fresh = false
			f.power.Sites[0].Feeders[1].Total = fakeLimit + 1
		}
	})
	if body := s.get("/healthz", http.StatusOK); body != "ok\n" {
		t.Errorf("%q", body)
	}
	bad = true
	s.console.view.last = nil
	body := s.get("/healthz", http.StatusServiceUnavailable)
	for _, want := range []string{
		"node: away\n", "leases: the journal failed\n", "power: waiting", "1 feeder over its",
		"1 feeder without",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%q lacks %q", body, want)
		}
	}
	if strings.Contains(body, "10.1.2.3") {
		t.Errorf("%q tells an address", body)
	}
}

// Ensure events of both rooms come newest first, bounded, and that notes do not repeat themselves.
func TestEvents_MergeNewestFirst(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	l := lease.Lease{
		UID: "u1", Tenant: "acme", Feeder: "f1", Watts: 30_000, State: lease.Degraded, Reason: "too little",
	}
	missing := lease.Shortfall{Watts: 5}
	risk, fine := l, l
	risk.AtRisk, risk.Reason = true, "less can be delivered"
	amended := l
	amended.Watts, amended.Slot = 20_000, lease.Slot{Start: at, End: at.Add(time.Minute)}
	f := &frame{figures: &figures{
		powerEvents: []governor.Event{
			{At: at, Level: governor.Warn, Feeder: "f1", Message: "first"},
			{At: at.Add(4 * time.Second), Worker: "a.b", Message: "third"},
		},
		leaseEvents: []*lease.Event{
			{At: at.Add(2 * time.Second), Kind: lease.Moved, Lease: &l},
			{At: at.Add(2 * time.Second), Kind: lease.Noted, Lease: &fine},
			{At: at.Add(3 * time.Second), Kind: lease.Noted, Lease: &risk},
			{At: at.Add(5 * time.Second), Kind: lease.Noted, Lease: &risk},
			{At: at.Add(6 * time.Second), Kind: lease.ShortfallMade, Feeder: "f2", Shortfall: &missing},
			{At: at.Add(7 * time.Second), Kind: lease.CapacitySet, Feeder: "f2"},
			{At: at.Add(8 * time.Second), Kind: lease.Amended, Lease: &amended},
		},
	}}
	var got []string
	for _, e := range eventsOf(f) {
		got = append(got, e.Level+" "+e.About+": "+e.Text)
	}
	want := []string{
		"info acme: amended to 20 kW on f1 for 1m0s",
		"warn f2: 5 W less than is booked can be delivered",
		"info a.b: third",
		"warn acme: 30 kW on f1: less can be delivered",
		"warn acme: 30 kW on f1 is DEGRADED: too little",
		"warn f1: first",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	for range 500 {
		f.powerEvents = append(f.powerEvents, governor.Event{At: at})
	}
	if n := len(eventsOf(f)); n != shownEvents {
		t.Errorf("%d events are shown", n)
	}
}

// Ensure the chart of a site adds its feeders up second by second, whatever they are missing.
func TestHistory_AddsFeedersUp(t *testing.T) {
	s := func(at, mining int64) governor.Sample {
		return governor.Sample{At: time.Unix(at, 5), Limit: 100, Mining: unit.Watts(mining)}
	}
	v := sum([][]governor.Sample{{s(10, 1), s(11, 2), s(13, 3)}, {s(11, 10), s(12, 20)}, {}})
	if diff := cmp.Diff([]int64{10, 11, 12, 13}, v.At); diff != "" {
		t.Errorf("seconds (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int64{1, 12, 22, 23}, v.Mining); diff != "" {
		t.Errorf("mining (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int64{100, 200, 200, 200}, v.Limit); diff != "" {
		t.Errorf("limit (-want +got):\n%s", diff)
	}
}

// Ensure the chart is of a known feeder or site only.
func TestHistory_AnswersKnownPlaces(t *testing.T) {
	s := newSite(t, nil)
	s.enter()
	one := decode[historyView](t, s.get("/api/history?feeder=f1", http.StatusOK))
	all := decode[historyView](t, s.get("/api/history?site=north", http.StatusOK))
	if len(one.At) < 1000 || len(all.At) != len(all.Mining) || all.Limit[0] != 4*one.Limit[0] {
		t.Errorf("%d and %d seconds", len(one.At), len(all.At))
	}
	for _, q := range []string{"", "?feeder=none", "?site=none", "?feeder=none&site=north"} {
		s.get("/api/history"+q, http.StatusNotFound)
	}
}
