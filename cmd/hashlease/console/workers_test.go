package console

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/stratum"
)

// Ensure the search finds by name, feeder, state and device, is bounded, and joins the three rooms.
func TestWorkers_SearchesAndJoins(t *testing.T) {
	s := newSite(t, nil)
	s.enter()
	ask := func(query string) workersView {
		return decode[workersView](t, s.get("/api/workers?"+query, http.StatusOK))
	}
	if v := ask(""); v.Total != 201 || len(v.Rows) != defaultRows {
		t.Errorf("all: %d of %d", len(v.Rows), v.Total)
	}
	for query, want := range map[string]int{
		"feeder=f2": 50, "state=s": 1, "q=ASIC-001": 1, "q=luxos&feeder=f1": 21, "q=nothing-like-it": 0,
		"state=n": 1, "q=v2&feeder=f2": 50, "q=v1": 1, "q=%3Cimg": 1, "feeder=f3&state=o": 1, "q=10.0.2.": 49,
	} {
		if v := ask(query + "&limit=500"); v.Total != want || len(v.Rows) != want {
			t.Errorf("%s: %d of %d, want %d", query, len(v.Rows), v.Total, want)
		}
	}
	first := ask("q=north.asic-001").Rows[0]
	if first.Credited != 4321 || first.Feeder != "f1" || first.Index != 0 || first.Hashrate != 5000*4e10 ||
		first.Device != "Braiins Antminer S21 BOS+ 26.04" || first.Channels != 1 || !first.Power ||
		first.Dialect != "v2" {
		t.Errorf("row %+v", first)
	}
	stranger := ask("q=guest").Rows[0]
	if stranger.ID != "guest.<b>bold</b>" || stranger.Index != -1 || stranger.Feeder != "" ||
		stranger.Dialect != "v1" {
		t.Errorf("row %+v", stranger)
	}
	if strings.Contains(s.get("/api/workers?q=guest", http.StatusOK), "<b>") {
		t.Error("a name is sent as HTML")
	}
	rows := ask("sort=rejected&limit=3").Rows
	if len(rows) != 3 || rows[0].Rejected != 2 {
		t.Errorf("most rejects first: %+v", rows)
	}
}

// Ensure a bad question gets an answer that says what is accepted.
func TestWorkers_RefusesBadQuestions(t *testing.T) {
	s := newSite(t, nil)
	s.enter()
	for query, want := range map[string]string{
		"limit=0": "1 to 500", "limit=501": "1 to 500", "limit=x": "1 to 500", "sort=colour": "hashrate",
		"q=" + strings.Repeat("x", 101): "100 bytes",
	} {
		if body := s.get("/api/workers?"+query, http.StatusBadRequest); !strings.Contains(body, want) {
			t.Errorf("%.20s: %q", query, body)
		}
	}
}

// Ensure a worker with several sessions is one row, and long names of devices are cut to valid text.
func TestWorkers_SumsSessions(t *testing.T) {
	old := time.Unix(1_800_000_000, 0)
	c := open(t, func() *figures {
		return &figures{at: time.Now(), channels: []stratum.ChannelStats{
			{Worker: "a.b", Since: old.Add(time.Hour), Hashrate: 2, Accepted: 3, Device: stratum.Device{
				Vendor: strings.Repeat("é", 60), Firmware: "\xff",
			}},
			{Worker: "a.b", Since: old, Dialect: stratum.V2, Hashrate: 1, Accepted: 4, Device: stratum.Device{
				Vendor: "old",
			}},
		}}
	})
	rows := c.workerRows(c.frame())
	if len(rows) != 1 || rows[0].Channels != 2 || rows[0].Accepted != 7 || rows[0].Hashrate != 3*4e10 ||
		len(rows[0].Device) > maxShown+4 || !strings.HasPrefix(rows[0].Device, "éé") ||
		rows[0].Dialect != "v1" {
		t.Errorf("rows %+v", rows)
	}
}

// Ensure workers behind a proxy have rows of their own, and what they do is not the proxy's too.
func TestWorkers_ShowsThoseBehindAProxy(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	c := open(t, func() *figures {
		return &figures{at: now, channels: []stratum.ChannelStats{{
			Worker: "a.proxy", Since: now, Hashrate: 10, Accepted: 9, Rejected: 2, Names: 2,
			Named: []stratum.WorkerStats{
				{Worker: "a.one", Since: now, LastShare: now, Hashrate: 4, Accepted: 5},
				{Worker: "a.two", Since: now, LastShare: now, Hashrate: 3, Accepted: 3},
			},
		}}}
	})
	want := map[string][3]float64{ // hashrate, accepted, rejected
		"a.proxy": {3 * 4e10, 1, 2}, "a.one": {4 * 4e10, 5, 0}, "a.two": {3 * 4e10, 3, 0},
	}
	rows := c.workerRows(c.frame())
	if len(rows) != len(want) {
		t.Fatalf("rows %+v", rows)
	}
	for _, r := range rows {
		if got := [3]float64{r.Hashrate, float64(r.Accepted), float64(r.Rejected)}; got != want[r.ID] {
			t.Errorf("%s: %v, want %v", r.ID, got, want[r.ID])
		}
		if r.ID == "a.one" && (r.Device != "behind a.proxy" || r.Dialect != "v1" || r.LastShare == 0) {
			t.Errorf("row %+v", r)
		}
	}
}
