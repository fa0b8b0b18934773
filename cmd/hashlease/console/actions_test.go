package console

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
)

// fakeActions is what a console asked of the governor.
type fakeActions struct {
	said   []string
	limits []governor.LimitStatus
}

func (o *fakeActions) actions() actions {
	say := func(format string, args ...any) { o.said = append(o.said, fmt.Sprintf(format, args...)) }
	known := func(s fleet.SiteID) error {
		if s != "north" {
			return fmt.Errorf("%w: %q", governor.ErrUnknown, s)
		}
		return nil
	}
	return actions{
		stop: func(_ context.Context, s fleet.SiteID, reason string) (governor.Stopped, error) {
			say("stop %s %s", s, reason)
			return governor.Stopped{Site: s, Workers: 12, Unarmed: []fleet.FeederID{"f2"}}, known(s)
		},
		resume: func(_ context.Context, s fleet.SiteID) error {
			say("resume %s", s)
			return fmt.Errorf("%w: it is not stopped", governor.ErrState)
		},
		setLimit: func(_ context.Context, l governor.Limit) (governor.Limit, error) {
			say("limit %s %s %d %s %s", l.Site, l.Feeder, int64(l.Watts), l.Until.Sub(l.From), l.Reason)
			l.ID = 7
			o.limits = []governor.LimitStatus{{Limit: l, InForce: true, Fixed: 5}}
			return l, known(l.Site)
		},
		clearLimit: func(_ context.Context, id uint64) error {
			say("clear %d", id)
			return nil
		},
		limits: func() []governor.LimitStatus { return o.limits },
		ceiling: func(_ context.Context, w pool.WorkerID, c governor.Ceiling) error {
			say("%v %s", c.Mode, w)
			return nil
		},
		wake: func(_ context.Context, w pool.WorkerID) error {
			say("wake %s", w)
			return fmt.Errorf("%w: nobody holds it down", governor.ErrState)
		},
		release: func(_ context.Context, w pool.WorkerID) error {
			say("release %s", w)
			return fmt.Errorf("%w: %q", governor.ErrUnknown, w)
		},
	}
}

// order sends a JSON body as programs or the page do.
func (s *site) order(method, path, body string, headers ...string) (int, string) {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), method, s.url(path), strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	a, err := s.client.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		s.Fatal(err)
	}
	return a.StatusCode, strings.TrimSpace(string(text))
}

// Ensure that the page and programs with the key can stop a site and set limits, that nobody else can, not
// even a page of another origin with the operator's cookie, and that refusals say what is wrong.
func TestConsole_TakesOrders(t *testing.T) {
	s := newSite(t, nil)
	var o fakeActions
	s.console.read.actions = o.actions()
	key := []string{"Authorization", "Bearer " + adminKey}
	for _, c := range []struct {
		method, path, body string
		headers            []string
		status             int
		want               string // of the answer
	}{
		{"POST", "/api/sites/north/stop", "", nil, 401, "log in first"},
		{"POST", "/api/sites/north/stop", "", []string{"Authorization", "Bearer x"}, 401, "log in first"},
		{"POST", "/api/sites/north/stop", `{"reason":"smoke"}`, key, 200, `"workers":12`},
		{"POST", "/api/sites/south/stop", "", key, 404, "south"},
		{"POST", "/api/sites/north/stop", `{"why":"x"}`, key, 400, "unknown field"},
		{"POST", "/api/sites/north/stop", strings.Repeat("x", 5000), key, 400, "not the JSON"},
		{"POST", "/api/sites/north/resume", "", key, 409, "not stopped"},
		{
			"POST", "/api/limits", `{"site":"north","watts":0,"for":"1h","reason":"4CP"}`,
			key, 200, `"in_force":true`,
		},
		{"POST", "/api/limits", `{"site":"north","watts":5}`, key, 400, "one of until"},
		{"POST", "/api/limits", `{"site":"north","for":"-1h"}`, key, 400, "watts is missing"},
		{"GET", "/api/limits", "", key, 200, `"fixed":5`},
		{"DELETE", "/api/limits/7", "", key, 204, ""},
		{"DELETE", "/api/limits/x", "", key, 400, "its number is accepted"},
		{"PUT", "/api/limits", "", key, 405, ""},
		{"POST", "/api/workers/north.a%2F1/sleep", "", key, 204, ""},
		{"POST", "/api/workers/north.a1/sleep", "", nil, 401, "log in first"},
		{"POST", "/api/workers/north.a1/sleep", `{"watts":5}`, key, 400, "unknown field"},
		{"POST", "/api/workers/north.a1/wake", "", key, 409, "nobody holds it down"},
		{"POST", "/api/workers/north.a1/release", "", key, 404, "north.a1"},
		{"GET", "/api/workers/north.a1/sleep", "", key, 405, ""},
	} {
		status, got := s.order(c.method, c.path, c.body, c.headers...)
		if status != c.status || !strings.Contains(got, c.want) {
			t.Errorf("%s %s %.40s: %d %q, want %d %q",
				c.method, c.path, c.body, status, got, c.status, c.want)
		}
	}
	s.enter()
	if status, got := s.order("POST", "/api/sites/north/stop", `{"reason":"by hand"}`); status != 200 {
		t.Errorf("with a session: %d %q", status, got)
	}
	for _, path := range []string{"/api/sites/north/stop", "/api/workers/north.evil/sleep"} {
		status, _ := s.order("POST", path, "",
			"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
		if status != http.StatusForbidden {
			t.Errorf("%s from another origin: %d", path, status)
		}
	}
	got := strings.Join(o.said, "\n")
	for _, want := range []string{
		"stop north smoke", "stop north by hand", "limit north  0 ", "4CP", "clear 7", "paused north.a/1",
		"wake north.a1", "release north.a1",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the governor was asked\n%s\nwithout %q", got, want)
		}
	}
	if strings.Contains(got, "evil") || strings.Count(got, "stop north") > 3 {
		t.Errorf("the governor was asked by another origin:\n%s", got)
	}
}

// Ensure that a stop and a limit in force are part of what the page shows.
func TestConsole_ShowsStopsAndLimits(t *testing.T) {
	at := time.Now()
	s := newSite(t, func(f *figures) {
		f.power.Sites[0].Stop = &governor.Stop{At: at, Reason: hostile}
		f.power.Sites[0].Limit = &governor.Limit{Watts: 5000, Until: at}
	})
	v := s.console.snapshot(s.console.frame()).Sites[0]
	if v.Stop == nil || v.Stop.Reason != hostile || v.Limit == nil || v.Limit.Watts != 5000 {
		t.Errorf("the page is shown %+v, %+v", v.Stop, v.Limit)
	}
}

// Ensure that each worker is offered what may be ordered of it by hand as it is now, and nothing else.
func TestConsole_OffersWhatAWorkerMayBeTold(t *testing.T) {
	s := newSite(t, func(f *figures) {
		f1, f2 := &f.power.Sites[0].Feeders[0], &f.power.Sites[0].Feeders[1]
		f1.Workers[1].Ceiling = &governor.Ceiling{Mode: fleet.Paused}
		f1.Workers[2].Isolated, f1.Workers[2].Ceiling = true, &governor.Ceiling{}
		f1.Workers[3].Pinned = true
		f1.Workers[4].Kept = true
		f1.Workers[5].Reachable = false
		f1.Workers[6].Lying = true
		f2.Arm = fleet.Advise
		f2.Workers[1].Ceiling = &governor.Ceiling{Mode: fleet.Paused}
	})
	offers := map[string]string{}
	for _, row := range s.console.workerRows(s.console.frame()) {
		offers[row.ID] = row.Offer
	}
	for id, want := range map[pool.WorkerID]string{
		workerID(0, 0): "sleep", workerID(0, 1): "wake", workerID(0, 2): "release", workerID(0, 3): "",
		workerID(0, 4): "", workerID(0, 5): "", workerID(0, 6): "release",
		workerID(1, 0): "", workerID(1, 1): "wake",
		"guest.<b>bold</b>": "",
	} {
		if got, known := offers[string(id)]; !known || got != want {
			t.Errorf("%s is offered %q, want %q", id, got, want)
		}
	}
}
