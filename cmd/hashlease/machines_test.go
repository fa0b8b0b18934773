package main

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
	"github.com/hashlease/hashlease/pool/device/devicetest"
	"github.com/hashlease/hashlease/pool/fleet"
)

const otherPool = "elsewhere.example:3333"

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
	if n := m.Orders(); n > 0 {
		t.Errorf("%d writes by a check", n)
	}
}
