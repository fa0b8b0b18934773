package device_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/hashlease/hashlease/pool/device"
)

// Every kind that can be told is found on any port, as itself, and nothing else is.
func TestScan_KnowsEveryKind(t *testing.T) {
	want := map[string]string{} // kind by address
	var ports []uint16
	logins := map[string]device.Login{}
	for _, s := range stands() {
		b := newBench(t, s)
		at := netip.MustParseAddrPort(b.address)
		ports = append(ports, at.Port())
		if !s.bare {
			want[b.address] = s.kind
		}
		logins[s.kind] = s.login
	}
	gate, err := device.NewGate([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 64)
	if err != nil {
		t.Fatal(err)
	}
	var last device.Progress
	err = device.Scan(t.Context(), device.ScanConfig{
		Gate: gate, Subnet: netip.MustParsePrefix("127.0.0.1/32"), Ports: ports, PerSecond: 100,
		Logins: logins,
	}, func(p device.Progress) {
		last = p
		f := p.Found
		if f == nil || !strings.HasPrefix(f.Address, "127.0.0.1:") || want[f.Address] == "" {
			return // what others run here is not ours to judge
		}
		if f.Identity.Kind != want[f.Address] || f.Problem != "" || f.Sighting.Pool != "pool.example:3333" {
			t.Errorf("at a %s it found %+v", want[f.Address], f)
		}
		delete(want, f.Address)
	})
	if err != nil || last.Done != 1 || last.Total != 1 || last.Next.IsValid() {
		t.Errorf("it ended with %v at %+v", err, last)
	}
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
}

// A scan that is broken off says where to go on, and goes on there.
func TestScan_GoesOn(t *testing.T) {
	gate, err := device.NewGate([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 64)
	if err != nil {
		t.Fatal(err)
	}
	cfg := device.ScanConfig{Gate: gate, Subnet: netip.MustParsePrefix("127.77.0.0/26"), PerSecond: 1000}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var at device.Progress
	err = device.Scan(ctx, cfg, func(p device.Progress) {
		if at = p; p.Done >= 20 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || !at.Next.IsValid() || at.Total != 64 {
		t.Fatalf("it ended with %v at %+v", err, at)
	}
	cfg.From = at.Next
	visited := 0
	err = device.Scan(t.Context(), cfg, func(p device.Progress) { visited, at = p.Total, p })
	if err != nil {
		t.Fatal(err)
	}
	if at.Done != at.Total || visited > 64 || at.Next.IsValid() {
		t.Errorf("it went on to %+v", at)
	}
}

// Nothing outside the allowed subnets is visited, nor more than was meant.
func TestScan_RefusesWhatIsNotAllowed(t *testing.T) {
	gate, err := device.NewGate([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}, 8)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []device.ScanConfig{
		{Subnet: netip.MustParsePrefix("10.0.0.0/23"), PerSecond: 1},
		{Subnet: netip.MustParsePrefix("10.0.0.0/8"), PerSecond: 1},
		{Subnet: netip.MustParsePrefix("10.0.0.0/28")},
		{Subnet: netip.MustParsePrefix("10.0.0.0/28"), From: netip.MustParseAddr("10.0.0.77"), PerSecond: 1},
		{PerSecond: 1},
	} {
		c.Gate = gate
		if err := device.Scan(t.Context(), c, func(device.Progress) { t.Error("it visits") }); err == nil {
			t.Errorf("a scan of %+v began", c)
		}
	}
	ports, err := device.ParsePorts([]string{"80", "8000-8002"})
	if err != nil || !slices.Equal(ports, []uint16{80, 8000, 8001, 8002}) {
		t.Errorf("ports %v, %v", ports, err)
	}
	for _, bad := range []string{"", "0", "70000", "9-8", "1-65535", "x"} {
		if _, err := device.ParsePorts([]string{bad}); err == nil {
			t.Errorf("port %q is accepted", bad)
		}
	}
}
