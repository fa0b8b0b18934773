package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	drivers "github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/fleet"
)

// driversOf opens a driver for every machine's own interface, and runs the site until the test ends.
func driversOf(t *testing.T, s *Sim) map[string]drivers.Driver {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }() // awaited below
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	gate, err := drivers.NewGate([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 64)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]drivers.Driver{}
	for _, a := range s.Interfaces() {
		w := s.site.devices[a.Worker].worker
		d, err := drivers.Open(a.Kind, drivers.Config{
			Address: a.Address, Login: a.Login, Gate: gate, Curve: w.Curve, Sleep: w.Sleep,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.Close)
		all[string(a.Worker)] = d
	}
	return all
}

// Machines sleep and wake by their vendors' interfaces, and the truth follows; one that ignores orders
// stays up.
func TestVendor_TruthFollowsTheInterface(t *testing.T) {
	s, err := New(Config{Plan: SiteOf(24, Models()), Dialects: Mixed, Vendor: true, Elsewhere: 5})
	if err != nil {
		t.Fatal(err)
	}
	all := driversOf(t, s)
	kinds := map[string]int{}
	for _, a := range s.Interfaces() {
		kinds[a.Kind]++
	}
	if len(all) != 24 || len(kinds) != len(Models()) {
		t.Errorf("%d of 24 machines have an interface of their own, of kinds %v", len(all), kinds)
	}
	deaf := s.Interfaces()[0].Worker
	if err := s.SetFault(deaf, Fault{Ignore: true}); err != nil {
		t.Fatal(err)
	}
	away, want := 0, 0
	for i := range s.machines {
		if s.machines[i].vendor != nil && (i+1)%5 == 0 {
			want++
		}
	}
	for id, d := range all {
		seen, err := d.Probe(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		if seen.Pool == "other-pool.example:3333" {
			away++
		}
		if _, err := d.Set(t.Context(), fleet.Setpoint{Term: 1, Command: 1, Mode: fleet.Paused}); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}
	if away != want {
		t.Errorf("%d mine elsewhere, want %d", away, want)
	}
	if s.Writes() < len(all) {
		t.Errorf("%d writes to %d machines", s.Writes(), len(all))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for id, d := range all {
		for ctx.Err() == nil {
			seen, err := d.Probe(ctx)
			if err != nil || seen.Activity == fleet.ActivityAsleep || id == string(deaf) {
				break
			}
		}
	}
	for _, v := range s.Devices() {
		if _, own := all[string(v.Worker)]; !own {
			continue
		}
		if v.Worker == deaf {
			if v.State != Mining.String() {
				t.Errorf("%s ignores orders and is %s", v.Worker, v.State)
			}
		} else if v.State != Sleep.String() && v.Watts > 4 { // a Bitaxe at 4 W says that it is there
			t.Errorf("%s is %s at %v W, want asleep", v.Worker, v.State, v.Watts)
		}
	}
}

// Ensure that machines on addresses of their own and one port are told apart, and that their lines close.
func TestExchange_TellsMachinesApart(t *testing.T) {
	x, err := newExchange()
	if err != nil {
		t.Fatal(err)
	}
	defer x.ln.Close()
	for _, n := range []int{0, 1, 300, 70_000} {
		l, err := x.listen(n)
		if err != nil {
			t.Fatal(err)
		}
		go func() { // ends with the line
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = fmt.Fprint(c, n)
				_ = c.Close()
			}
		}()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatalf("machine %d at %v: %v", n, l.Addr(), err)
		}
		if said, err := io.ReadAll(c); err != nil || string(said) != fmt.Sprint(n) {
			t.Errorf("machine %d answers %q, %v", n, said, err)
		}
		_ = c.Close()
		_ = l.Close()
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a closed line: %v", err)
		}
	}
	if _, err := x.listen(1 << 22); err == nil || !strings.Contains(err.Error(), "have addresses") {
		t.Errorf("more machines than addresses: %v", err)
	}
}
