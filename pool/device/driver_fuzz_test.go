package device

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// byHTTP are the kinds of drivers that a machine may lie to over HTTP.
var byHTTP = []string{"antminer", "axeos", "braiins", "epic", "vnish"}

// handed is a transport that answers every request with the same bytes.
type handed struct {
	status int
	body   string
}

func (h handed) RoundTrip(*http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.WriteHeader(h.status)
	_, _ = io.WriteString(w, h.body)
	return w.Result(), nil
}

// Whatever a machine answers, a driver neither panics nor reports what cannot be.
func FuzzDrivers_HTTP(f *testing.F) {
	for _, s := range []string{
		`{}`, `[]`, `null`,
		`{"miner":{"miner_status":{"miner_state":"mining","throttled":100},"hr_realtime":1e300}}`,
		`{"power":-1e9,"hashRate":"x","frequency":525,"expectedHashrate":1}`,
		`{"power":1e300,"overheat_mode":1}`,
		`{"STATS":[{"rate_5s":1e18,"chain":[{"temp_chip":[1e9]}]}],"POOLS":[{"url":"//@:"}]}`,
		`{"pools":[{"user":"a"}],"miner-mode":"1"}`, `{"HBs":[{"Hashrate":[]}],"StratumConfigs":[{}]}`,
		`{"token":"t","tuner_constraints":{"power_target":{"min":{"watt":1e30}}}}`,
	} {
		f.Add(200, []byte(s))
	}
	gate, err := NewGate([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, 1)
	if err != nil {
		f.Fatal(err)
	}
	curve := fleet.Curve{{Watts: 900, Hashrate: 60e12}, {Watts: 3000, Hashrate: 150e12}}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		for _, kind := range byHTTP {
			d, err := Open(kind, Config{
				Address: "10.0.0.1", Gate: gate, Curve: curve, Sleep: 30, Timeout: time.Minute,
			})
			if err != nil {
				t.Fatal(err)
			}
			webOf(t, d).client.Transport = handed{100 + (status%500+500)%500, string(body)}
			check(t, d)
		}
	})
}

// webOf is the HTTP half of a driver.
func webOf(t *testing.T, d Driver) *web {
	t.Helper()
	switch v := d.(*machine).dialect.(type) {
	case *antminer:
		return v.web
	case *axeOS:
		return v.web
	case *braiins:
		return v.web
	case *epic:
		return v.web
	case *vnish:
		return v.web
	}
	t.Fatal("a driver without a web")
	return nil
}

// check asks everything of a driver.
func check(t *testing.T, d Driver) {
	t.Helper()
	_, _ = d.Identify(context.Background())
	s, err := d.Probe(context.Background())
	switch {
	case err != nil && !s.At.IsZero():
		t.Errorf("%v with a sighting", err)
	case s.Watts < 0 || s.Watts > unit.Megawatt || s.Target < 0 || !(s.Hashrate >= 0 && s.Hashrate < 1e21):
		t.Errorf("sighting %+v", s)
	case len(s.Errors) > fleet.MaxErrors || len(s.Backups) > fleet.MaxPools || strings.Contains(s.Pool, "@"):
		t.Errorf("sighting %+v", s)
	}
	for n, mode := range []fleet.Mode{fleet.Paused, fleet.Capped, fleet.Free} {
		order := fleet.Setpoint{Term: 1, Command: uint32(n + 1), Mode: mode, Watts: 2000}
		_, _ = d.Set(context.Background(), order)
	}
}
