package device_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/device/devicetest"
	"github.com/hashlease/hashlease/pool/fleet"
)

// served is a meter that reads an emulated one.
func served(t *testing.T, timeout time.Duration) (*device.HTTPMeter, *devicetest.HTTPMeter) {
	t.Helper()
	far := &devicetest.HTTPMeter{Delay: time.Minute}
	srv := httptest.NewServer(far)
	t.Cleanup(srv.Close)
	near, err := device.NewHTTPMeter(device.HTTPMeterConfig{URL: srv.URL + "/f1", Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(near.Close)
	return near, far
}

// Ensure that a meter with nothing behind it may show a little less than zero, and that one that shows more
// of it is told apart from one that does not answer.
func TestDecodeReading_TellsNoiseFromAReversedMeter(t *testing.T) {
	at := `,"time":"2026-03-01T12:00:00Z"}`
	if r, err := device.DecodeReading([]byte(`{"watts":-50` + at)); err != nil || r.Watts != 0 {
		t.Errorf("at rest: %+v, %v", r, err)
	}
	_, err := device.DecodeReading([]byte(`{"watts":-32600` + at))
	if !errors.Is(err, fleet.ErrReversed) || !errors.Is(err, device.ErrReading) ||
		!strings.Contains(err.Error(), "current transformers") {
		t.Errorf("reversed: %v", err)
	}
}

// Ensure that a sound meter is read, watts, energy and time.
func TestHTTPMeter_ReadsSoundMeter(t *testing.T) {
	near, far := served(t, 10*time.Second)
	far.Set(98_000)
	before := time.Now()
	r, err := near.Read(t.Context())
	if err != nil || r.Watts != 98_000 || r.At.Before(before) || r.At.After(time.Now()) {
		t.Fatalf("reading %+v, error %v", r, err)
	}
	far.Set(5)
	next, err := near.Read(t.Context())
	if err != nil || next.Watts != 5 || next.Energy < r.Energy || !next.At.After(r.At) {
		t.Errorf("reading %+v after %+v, error %v", next, r, err)
	}
}

// Ensure that each way of failing is an error of its kind, and over once the fault is.
func TestHTTPMeter_NamesFaults(t *testing.T) {
	near, far := served(t, 10*time.Second)
	for fault, want := range map[devicetest.Fault]string{
		devicetest.Broken: "status 500", devicetest.Garbage: "not a meter reading",
		devicetest.Endless: "more than 4096 bytes", devicetest.Elsewhere: "status 302",
	} {
		far.Fail(fault)
		r, err := near.Read(t.Context())
		if r != (fleet.Reading{}) || !errors.Is(err, device.ErrReading) ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("fault %d: reading %+v, error %v", fault, r, err)
		}
		far.Fail(devicetest.Sound)
		if _, err := near.Read(t.Context()); err != nil {
			t.Errorf("after fault %d: %v", fault, err)
		}
	}
}

// Ensure that a slow meter costs no more than the timeout, or the caller's patience.
func TestHTTPMeter_GivesUpOnSlowMeter(t *testing.T) {
	near, far := served(t, 20*time.Millisecond)
	far.Fail(devicetest.Slow)
	if _, err := near.Read(t.Context()); err == nil {
		t.Error("a slow meter was read")
	}
	patient, far := served(t, time.Minute)
	far.Fail(devicetest.Slow)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := patient.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

// Ensure that a reading is judged by its own time, however fresh the answer is.
func TestHTTPMeter_RefusesReadingsOutOfTime(t *testing.T) {
	for _, age := range []time.Duration{-time.Minute, time.Minute} {
		body := device.AppendReading(nil, fleet.Reading{Watts: 1, At: time.Now().Add(-age)})
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(body)
		}))
		m, err := device.NewHTTPMeter(device.HTTPMeterConfig{URL: srv.URL})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Read(t.Context()); !errors.Is(err, device.ErrStale) {
			t.Errorf("%v old: error %v", age, err)
		}
		m.Close()
		srv.Close()
	}
}

// Ensure that a frozen meter repeats its time, so that it grows stale.
func TestHTTPMeter_ShowsFrozenTimeAsItIs(t *testing.T) {
	near, far := served(t, 10*time.Second)
	far.Set(7)
	far.Fail(devicetest.Frozen)
	a, err := near.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	far.Set(9)
	if b, err := near.Read(t.Context()); err != nil || a != b {
		t.Errorf("%+v then %+v, error %v", a, b, err)
	}
}

// Ensure that a faulty configuration is refused with the field's name.
func TestNewHTTPMeter_RefusesFaultyConfig(t *testing.T) {
	for want, cfg := range map[string]device.HTTPMeterConfig{
		"url":       {URL: "ftp://x/"},
		"url: http": {URL: "meter"},
		"timeout":   {URL: "http://x/", Timeout: time.Hour},
		"max age":   {URL: "http://x/", MaxAge: -1},
	} {
		if _, err := device.NewHTTPMeter(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v does not say %q", cfg, err, want)
		}
	}
}

// Ensure that what is not a reading is refused with the field's name.
func TestDecodeReading_RefusesWhatIsNotAReading(t *testing.T) {
	const at = `"time":"2026-03-01T12:00:00Z"`
	for body, want := range map[string]string{
		``:                                 "JSON",
		`[]`:                               "array",
		`{"watts":1}`:                      "time is missing",
		`{` + at + `}`:                     "watts is missing",
		`{"watts":-51,` + at + `}`:         "the meter is reversed: it shows -51 W",
		`{"watts":1.5,` + at + `}`:         "watts",
		`{"watts":"1",` + at + `}`:         "watts",
		`{"watts":99999999999,` + at + `}`: "it shows 99999999999 W: 0 to",
		`{"watts":1,"energy_joules":-5,` + at + `}`:          "energy_joules is -5",
		`{"watts":1,"time":"yesterday"}`:                     "time is",
		`{"watts":1,"time":"2026-03-01T12:00:00"}`:           "RFC 3339",
		`{"watts":1,` + at + `} {"watts":2,` + at + `}`:      "after top-level value",
		`{"watts":1,` + at + strings.Repeat(" ", 5000) + `}`: "more than 4096 bytes",
	} {
		_, err := device.DecodeReading([]byte(body))
		if !errors.Is(err, device.ErrReading) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: error %v does not say %q", body, err, want)
		}
	}
	r, err := device.DecodeReading([]byte(`{"watts":1,"extra":{},"time":"2026-03-01T13:00:00.25+01:00"}`))
	if err != nil || !r.At.Equal(time.Date(2026, 3, 1, 12, 0, 0, 25e7, time.UTC)) || r.Energy != 0 {
		t.Errorf("reading %+v, error %v", r, err)
	}
}

// FuzzDecodeReading ensures that no answer breaks the decoder, and that what it takes round-trips.
func FuzzDecodeReading(f *testing.F) {
	f.Add([]byte(`{"watts":98000,"energy_joules":123456789,"time":"2026-03-01T12:00:00.25Z"}`))
	f.Add([]byte(`{"watts":0,"time":"9999-12-31T23:59:59-23:59"}`))
	f.Add([]byte(`{"watts":1e3,"time":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := device.DecodeReading(b)
		if err != nil {
			return
		}
		again, err := device.DecodeReading(device.AppendReading(nil, r))
		if err != nil || again != r {
			t.Fatalf("%+v becomes %+v, error %v", r, again, err)
		}
	})
}

// ExampleNewHTTPMeter reads a meter by its URL.
func ExampleNewHTTPMeter() {
	far := &devicetest.HTTPMeter{}
	far.Set(98_000)
	srv := httptest.NewServer(far)
	defer srv.Close()
	meter, err := device.NewHTTPMeter(device.HTTPMeterConfig{URL: srv.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer meter.Close()
	r, err := meter.Read(context.Background())
	fmt.Println(r.Watts, err)
	// Output: 98 kW <nil>
}
