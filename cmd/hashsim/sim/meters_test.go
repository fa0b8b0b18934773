package sim

import (
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func newTestMeters(t *testing.T, p Plan, class float64) (*site, http.Handler) {
	t.Helper()
	s := newTestSite(t, p)
	m := &meters{site: s, class: class, fault: s.setFault, rng: rand.New(rand.NewPCG(1, 1))}
	return s, m.handler()
}

func call(t *testing.T, h http.Handler, method, path, body string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body)))
	b, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, strings.TrimSpace(string(b))
}

// Ensure that every meter of the plan answers exactly watts, energy_joules and time, as whole numbers and
// RFC 3339.
func TestMeters_AnswerTheDocumentedShape(t *testing.T) {
	p := DemoSite(8, "acme")
	_, h := newTestMeters(t, p, DefaultClass)
	for _, m := range p.Meters() {
		code, body := call(t, h, "GET", m.Path, "")
		var got map[string]json.RawMessage
		if err := json.Unmarshal([]byte(body), &got); err != nil || code != 200 || len(got) != 3 {
			t.Fatalf("%s: %d %s (%v)", m.Path, code, body, err)
		}
		var r MeterReading
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			t.Fatal(err)
		}
		_, err := time.Parse(`"`+time.RFC3339Nano+`"`, string(got["time"]))
		if err != nil || time.Since(r.Time) > time.Minute {
			t.Fatalf("%s: time is %s", m.Path, got["time"])
		}
	}
}

// Ensure that readings stay within their class, and that meters of a feeder agree up to it.
func TestMeters_StayWithinTheirClass(t *testing.T) {
	s, h := newTestMeters(t, bare(100_000), 0.002)
	if err := s.setLoad("f", "t", 50_000); err != nil {
		t.Fatal(err)
	}
	different := map[string]bool{}
	for range 300 {
		_, body := call(t, h, "GET", "/v1/meters/f/total", "")
		var r MeterReading
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			t.Fatal(err)
		}
		if r.Watts < 49_900 || r.Watts > 50_100 {
			t.Fatalf("reading is %d W", r.Watts)
		}
		different[r.Watts.String()] = true
	}
	if len(different) < 2 {
		t.Fatal("readings have no error at all")
	}
}

// Ensure that a tenant's load can be set by hand and shows at both of its meters.
func TestMeters_LoadCanBeSetByHand(t *testing.T) {
	_, h := newTestMeters(t, bare(100_000), 0)
	if code, body := call(t, h, "PUT", "/v1/loads/f/t", `{"watts":1234}`); code != 204 {
		t.Fatalf("%d %s", code, body)
	}
	for _, path := range []string{"/v1/meters/f/tenant/t", "/v1/meters/f/total"} {
		if _, body := call(t, h, "GET", path, ""); !strings.HasPrefix(body, `{"watts":1234,`) {
			t.Fatalf("%s: %s", path, body)
		}
	}
}

// Ensure that what cannot be is refused, with the name of the field and what is accepted.
func TestMeters_RefuseBadRequests(t *testing.T) {
	_, h := newTestMeters(t, bare(100_000), 0)
	for _, c := range []struct {
		method, path, body string
		code               int
		says               string
	}{
		{"GET", "/v1/meters/x/total", "", 404, `feeder \"x\" does not exist`},
		{"GET", "/v1/meters/f/solar", "", 404, `total, mining, base or tenant/NAME is accepted`},
		{"GET", "/v1/meters/f/tenant/x", "", 404, `tenant \"x\" has no meter on feeder \"f\"`},
		{"PUT", "/v1/loads/f/t", `{"watts":-1}`, 400, `not in 0 to 1000000000 watts`},
		{"PUT", "/v1/loads/f/t", `{"watts":1.5}`, 400, `body: `},
		{"PUT", "/v1/loads/f/t", `{}`, 400, `watts is missing`},
		{"PUT", "/v1/loads/f/t", `{"kw":1}`, 400, `unknown field`},
		{"PUT", "/v1/loads/f/t", `{"watts":1}{}`, 400, `one JSON object is accepted`},
		{"PUT", "/v1/loads/x/t", `{"watts":1}`, 400, `does not exist`},
		{"PUT", "/v1/faults/a.b", `{}`, 400, `worker \"a.b\" does not exist`},
		{"PUT", "/v1/faults/a.b", `{"report":-1}`, 400, `must not be negative`},
		{"PUT", "/v1/faults/a.b", `{"self_wake":"soon"}`, 400, `as 90s`},
	} {
		code, body := call(t, h, c.method, c.path, c.body)
		if code != c.code || !strings.Contains(body, c.says) || !strings.HasPrefix(body, `{"error":`) {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, code, body)
		}
	}
}

// Ensure that a device can be made faulty and healed by hand.
func TestMeters_FaultsCanBeSetByHand(t *testing.T) {
	p := DemoSite(1)
	_, h := newTestMeters(t, p, 0)
	path := "/v1/faults/" + string(p.Workers[0].ID)
	for _, c := range []struct{ body, shows string }{
		{`{"ignore":true,"self_wake":"90s"}`, `"fault":{"ignore":true,"self_wake":"1m30s"}}`},
		{`{}`, `"fault":{}}`},
	} {
		if code, body := call(t, h, "PUT", path, c.body); code != 204 {
			t.Fatalf("%d %s", code, body)
		}
		if _, body := call(t, h, "GET", "/v1/devices", ""); !strings.Contains(body, c.shows) {
			t.Errorf("after %s: %s", c.body, body)
		}
	}
}

// Ensure that the truth comes over HTTP as it does over the API.
func TestMeters_TellTheTruth(t *testing.T) {
	_, h := newTestMeters(t, bare(100_000), 0)
	code, body := call(t, h, "POST", "/v1/truth/mark", "")
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil || code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	var keys []string
	for _, k := range []string{"since", "seconds", "seconds_over_limit", "feeders", "step_seconds"} {
		if _, ok := got[k]; ok {
			keys = append(keys, k)
		}
	}
	if diff := cmp.Diff(len(got), len(keys)); diff != "" {
		t.Fatalf("fields are %s", body)
	}
}
