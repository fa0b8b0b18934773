package vendors_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/vendors"
	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/fleet"
)

// serve has all machines answer until the test ends.
func serve(t *testing.T, first string) map[string]vendors.Interface {
	t.Helper()
	s, err := vendors.Serve(t.Context(), netip.MustParseAddr(first))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	all := map[string]vendors.Interface{}
	for _, i := range s.Interfaces {
		all[i.Kind] = i
	}
	return all
}

// Ensure that every driver for a miner reads the machine of its kind where it is said to be, with the login
// that is said, and puts it to sleep and wakes it.
func TestServe_AnswersTheServersDrivers(t *testing.T) {
	all := serve(t, "127.0.77.1")
	gate, err := device.NewGate([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 4)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range device.Kinds() {
		if strings.HasPrefix(kind, "socket") {
			continue
		}
		t.Run(kind, func(t *testing.T) {
			i, served := all[kind]
			if !served {
				t.Fatal("no machine of it is served")
			}
			m, _ := fleet.ModelNamed(i.Model)
			d, err := device.Open(kind, device.Config{
				Address: i.Addresses[0], Login: device.Login{User: i.User, Password: i.Password},
				Gate: gate, Curve: m.Curve(9), Sleep: m.Sleep,
			})
			if err != nil {
				t.Fatal(err)
			}
			hashes(t, d, true)
			if !d.Capability().CanPause {
				return
			}
			for n, mode := range []fleet.Mode{fleet.Paused, fleet.Free} {
				sp := fleet.Setpoint{
					Mode: mode, Watts: m.Sleep, Term: 1, Command: uint32(n + 1), ValidFor: time.Hour,
				}
				if mode == fleet.Free {
					full := m.Curve(9).Full()
					sp.Watts, sp.Hashrate = full.Watts, full.Hashrate
				}
				if _, err := d.Set(t.Context(), sp); err != nil {
					t.Fatalf("%v: %v", mode, err)
				}
				hashes(t, d, mode == fleet.Free)
			}
		})
	}
}

// hashes waits until the machine says that it hashes, or that it does not.
func hashes(t *testing.T, d device.Driver, want bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		s, err := d.Probe(ctx)
		if ctx.Err() != nil {
			t.Fatalf("it hashes %v (%v), want hashing: %v", s.Hashrate, err, want)
		}
		if err == nil && (s.Hashrate > 0) == want {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Ensure that machines show what independent libraries tell them by before they ask anything else: pages of
// dashboards, realms, GraphQL, and the API that stock firmware has beside its web interface.
func TestServe_IsToldByLibraries(t *testing.T) {
	all := serve(t, "127.0.78.1")
	for _, tt := range []struct{ kind, path, query, says string }{
		{"braiins", "/", "", "Braiins OS"},
		{"braiins", "/graphql", "{ bosminer { info { modelName } } }", `"modelName":"Antminer S19k Pro"`},
		{"braiins", "/graphql", "{ bos { info { version { full } } } }", `-26.04-plus"`},
		{"epic", "/", "", "Miner Web Dashboard"},
		{"epic", "/capabilities", "", `"Model":"ANTMINER S19J PRO"`},
		{"antminer", "/", "", `realm="antMiner`},
	} {
		url := "http://" + all[tt.kind].Addresses[0] + tt.path
		method, body := http.MethodGet, io.Reader(nil)
		if tt.query != "" {
			b, _ := json.Marshal(map[string]string{"query": tt.query})
			method, body = http.MethodPost, strings.NewReader(string(b))
		}
		ask, err := http.NewRequestWithContext(t.Context(), method, url, body)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.DefaultClient.Do(ask)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		whole := string(text) + r.Header.Get("WWW-Authenticate")
		if err != nil || !strings.Contains(whole, tt.says) {
			t.Errorf("%s%s: %v, %q lacks %q", tt.kind, tt.path, err, whole, tt.says)
		}
	}
	for command, says := range map[string]string{
		"version": `"Type":"Antminer S21"`, "stats": `"total_rateideal":200000`, "summary": `"GHS 5s":200000`,
		"pools": "pool.example:3333", "restart": "Invalid command",
	} {
		conn, err := net.Dial("tcp", all["antminer"].Addresses[1])
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, `{"command":"`+command+`"}`)
		text, err := io.ReadAll(conn)
		_ = conn.Close()
		if err != nil || !strings.Contains(string(text), says) {
			t.Errorf("antminer's API, %s: %v, %q lacks %q", command, err, text, says)
		}
	}
}

// Ensure that machines are served on loopback alone.
func TestServe_RefusesOtherAddresses(t *testing.T) {
	for _, first := range []string{"10.0.0.1", "127.255.255.250"} {
		s, err := vendors.Serve(t.Context(), netip.MustParseAddr(first))
		if err == nil || !strings.Contains(err.Error(), "is not a loopback address") {
			t.Errorf("%s: %v", first, err)
		}
		if s != nil {
			t.Errorf("%s is served", first)
		}
	}
}
