package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/device/devicetest"
	"github.com/hashlease/hashlease/pool/fleet"
)

// asked is how many questions a second a fleet of 20,000 takes: all of them every 30 s, 2,000 in a dispatch
// every 5 s, and the looks before their orders are repeated, every 10 s.
const asked = 20_000/30. + 2000/5. + 2000/10.

// BenchmarkMachine_Probe asks one machine what it does, over loopback, for each kind of interface. CPU time
// is the driver's and the emulator's together; cores is what it comes to for a fleet of 20,000.
func BenchmarkMachine_Probe(b *testing.B) {
	login := device.Login{User: "root", Password: machineSecret}
	web := func(m func(*devicetest.Machine) http.Handler) func(*testing.B, *devicetest.Machine) string {
		return func(b *testing.B, machine *devicetest.Machine) string {
			b.Helper()
			srv := httptest.NewServer(m(machine))
			b.Cleanup(srv.Close)
			return strings.TrimPrefix(srv.URL, "http://")
		}
	}
	for kind, serve := range map[string]func(*testing.B, *devicetest.Machine) string{
		"axeos": web(func(m *devicetest.Machine) http.Handler {
			return &devicetest.AxeOS{Machine: m, Clock: 525}
		}),
		"braiins": web(func(m *devicetest.Machine) http.Handler {
			return &devicetest.Braiins{Machine: m, User: login.User, Password: login.Password}
		}),
		"antminer": web(func(m *devicetest.Machine) http.Handler {
			return &devicetest.Antminer{Machine: m, User: login.User, Password: login.Password}
		}),
		"luxos": func(b *testing.B, m *devicetest.Machine) string {
			b.Helper()
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { ln.Close() })
			go (&devicetest.LuxOS{Machine: m}).Serve(ln) // ends when ln is closed
			return ln.Addr().String()
		},
	} {
		b.Run(kind, func(b *testing.B) {
			model, _ := fleet.ModelNamed("Antminer S21")
			m := devicetest.NewMachine(devicetest.Facts{Model: "Antminer S21", Version: "26.04"},
				&devicetest.Rig{Curve: model.Curve(6), Sleep: model.Sleep},
				devicetest.Pool{URL: "stratum+tcp://" + otherPool, User: "them.rig", Password: "x"})
			gate, err := device.NewGate([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 8)
			if err != nil {
				b.Fatal(err)
			}
			d, err := device.Open(kind, device.Config{
				Address: serve(b, m), Login: login, Gate: gate, Curve: model.Curve(6), Sleep: model.Sleep,
			})
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			one := &machine{Driver: d}
			b.ReportAllocs()
			began := cpuTime(b)
			for b.Loop() {
				if _, err := one.Probe(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			each := (cpuTime(b) - began).Seconds() / float64(b.N)
			b.ReportMetric(each*1e6, "cpu-us/op")
			b.ReportMetric(each*asked, "cores@20k")
		})
	}
}

// cpuTime is what this process has taken of all cores.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
