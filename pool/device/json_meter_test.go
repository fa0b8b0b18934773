package device_test

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/fleet"
)

// phases is what a meter with three phases answers, with a time in milliseconds.
const phases = `{"emeters":[{"power":"30000.4","total":10},{"power":31000,"total":20},{"power":29000.2,
	"total":30.5}],"ts":1772366400250,"iso":"2026-03-01T13:00:00+01:00"}`

// Ensure that layouts read what meters say, summed and in watts and joules, by their time or by ours.
func TestJSONLayout_ReadsWhatMetersSay(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 1, 0, time.UTC)
	all := device.JSONLayout{
		Watts:  []string{"emeters.0.power", "emeters.1.power", "emeters.-1.power"},
		Energy: []string{"emeters.0.total", "emeters.1.total", "emeters.2.total"},
	}
	timed, named, scaled := all, all, all
	timed.Time, timed.EnergyUnit = "ts", "Wh"
	named.Time, named.WattsUnit = "iso", "kW"
	scaled.Scale, scaled.Energy = 40, nil
	for _, c := range []struct {
		layout device.JSONLayout
		want   fleet.Reading
	}{
		{all, fleet.Reading{Watts: 90_001, Energy: 217_800_000, At: now}},
		{timed, fleet.Reading{Watts: 90_001, Energy: 217_800, At: now.Add(-750 * time.Millisecond)}},
		{named, fleet.Reading{Watts: 90_000_600, Energy: 217_800_000, At: now.Add(-time.Second)}},
		{scaled, fleet.Reading{Watts: 3_600_024, At: now}},
	} {
		if err := c.layout.Validate(); err != nil {
			t.Fatal(err)
		}
		r, err := c.layout.Decode([]byte(phases), now)
		if err != nil || r != c.want {
			t.Errorf("%+v: %+v, error %v, want %+v", c.layout, r, err, c.want)
		}
	}
	turned := device.JSONLayout{Watts: []string{"p"}, Energy: []string{"e"}, EnergyUnit: "J", Scale: -1}
	r, err := turned.Decode([]byte(`{"p":-7,"e":9}`), now)
	if err != nil || r.Watts != 7 || r.Energy != 9 {
		t.Errorf("turned current transformers: %+v, error %v", r, err)
	}
}

// Ensure that an answer that is not as laid out is refused with the path at which it is not.
func TestJSONLayout_RefusesWhatIsNotAsLaidOut(t *testing.T) {
	l := device.JSONLayout{Watts: []string{"a.0.p"}, Energy: []string{"e"}, Time: "t"}
	const rest = `"e":1,"t":1772366400`
	for body, want := range map[string]string{
		``:                                    "EOF",
		`{"a":[{"p":1}],` + rest + `} 1`:      "after the JSON document",
		`{` + rest + `}`:                      `watts: there is no "a" of path "a.0.p"`,
		`{"a":[],` + rest + `}`:               `there is no "0"`,
		`{"a":[{"p":{}}],` + rest + `}`:       "is no number",
		`{"a":[{"p":"NaN"}],` + rest + `}`:    "is no number",
		`{"a":[{"p":1e999}],` + rest + `}`:    "is no number",
		`{"a":[{"p":-51}],` + rest + `}`:      "the meter is reversed: it shows -51 W",
		`{"a":[{"p":1e12}],` + rest + `}`:     "0 to 10000000000 W is accepted",
		`{"a":[{"p":1}],"t":1}`:               "energy: there is no",
		`{"a":[{"p":1}],"e":-1,"t":1}`:        "energy is -3.6e+06 J",
		`{"a":[{"p":1}],"e":1}`:               "time: there is no",
		`{"a":[{"p":1}],"e":1,"t":"now"}`:     `time: "now" at path "t"`,
		`{"a":[{"p":1}],"e":1,"t":true}`:      "since 1970",
		`{"a":[{"p":1}],"e":1,"t":-1}`:        "since 1970",
		strings.Repeat(" ", 65<<10):           "more than 65536 bytes",
		`{"a":[{"p":1}],"e":1,"t":"NaN"}`:     "since 1970",
		`{"a":[{"p":1}],"e":1,"t":17e300}`:    "since 1970",
		strings.Repeat(`{"a":`, 12_000):       "exceeded max depth",
		`{"a":[{"p":"0x1p4"}],"e":1e300,"t"}`: "invalid character",
	} {
		r, err := l.Decode([]byte(body), time.Now())
		if r != (fleet.Reading{}) || !errors.Is(err, device.ErrReading) ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %+v, error %v does not say %q", body, r, err, want)
		}
	}
}

// Ensure that all faults of a configuration are named at once, and none shows what is secret.
func TestNewHTTPMeter_NamesEveryFaultWithoutSecrets(t *testing.T) {
	_, err := device.NewHTTPMeter(device.HTTPMeterConfig{
		URL: "http://me:hidden@x/", Header: "Content-Length", Secret: "hid\nden",
		Layout: &device.JSONLayout{
			Energy: []string{""}, EnergyUnit: "cal", WattsUnit: "hp", Scale: math.NaN(), Time: "a..b",
		},
	})
	for _, want := range []string{
		"url: it has a user or a password", "header \"Content-Length\"", "one line", "watts is missing",
		"energy: path \"\"", "energy_unit: \"cal\": one of J, Wm, kJ, Wh", "watts_unit: \"hp\": one of mW, W",
		"scale is NaN", "time: path \"a..b\"",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
	if err != nil && strings.Contains(err.Error(), "den") {
		t.Errorf("a secret is shown:\n%v", err)
	}
	for _, cfg := range []device.HTTPMeterConfig{
		{URL: "http://x/", Header: "X-Key"}, {URL: "http://h\x01dden/"},
	} {
		if _, err := device.NewHTTPMeter(cfg); err == nil || strings.Contains(err.Error(), "dden") {
			t.Errorf("%q: error %v", cfg.URL, err)
		}
	}
}

// Ensure that a meter is sent its header, that a meter without a time of its own counts as measured when its
// answer came, and that neither the secret nor the URL shows when it fails.
func TestHTTPMeter_SendsItsHeaderAndShowsNoSecret(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Key") != "secret-7" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = fmt.Fprint(w, `{"p":1.5}`)
	}))
	cfg := device.HTTPMeterConfig{
		URL: srv.URL + "/?token=hidden", Header: "X-Key", Secret: "secret-7", Timeout: 10 * time.Second,
		Layout: &device.JSONLayout{Watts: []string{"p"}, WattsUnit: "kW"},
	}
	m, err := device.NewHTTPMeter(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	before := time.Now()
	r, err := m.Read(t.Context())
	if err != nil || r.Watts != 1500 || r.At.Before(before) || r.At.After(time.Now()) {
		t.Errorf("%+v, error %v", r, err)
	}
	cfg.Secret = "secret-8"
	other, err := device.NewHTTPMeter(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, refused := other.Read(t.Context())
	srv.Close()
	_, gone := m.Read(t.Context())
	for _, err := range []error{refused, gone} {
		if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "hidden") {
			t.Errorf("error %v", err)
		}
	}
	if !strings.Contains(refused.Error(), "wants another credential") {
		t.Errorf("error %v", refused)
	}
}

// FuzzJSONLayout ensures that neither answers nor paths break the decoder, and that what it takes is
// in range.
func FuzzJSONLayout(f *testing.F) {
	f.Add([]byte(phases), "emeters.0.power", "emeters.-1.total", "ts", 1.0)
	f.Add([]byte(`{"p":-7,"e":9}`), "p", "e", "", -1.0)
	f.Add([]byte(`[[1e308,"1e308"]]`), "0.0", "0.1", "0.0", 1e6)
	now := time.Unix(1772366400, 0)
	f.Fuzz(func(t *testing.T, b []byte, watts, energy, at string, scale float64) {
		l := device.JSONLayout{
			Watts: []string{watts, watts}, Energy: []string{energy}, Time: at, Scale: scale,
		}
		if l.Validate() != nil {
			return
		}
		r, err := l.Decode(b, now)
		if err != nil {
			if r != (fleet.Reading{}) || !errors.Is(err, device.ErrReading) {
				t.Fatalf("%+v, error %v", r, err)
			}
			return
		}
		if r.Watts < 0 || r.Watts > 1e10 || r.Energy < 0 || r.Energy > 1e18 || r.At.Year() < 2000 {
			t.Fatalf("%+v is out of range", r)
		}
	})
}
