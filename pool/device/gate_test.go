package device

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func gateTo(tb testing.TB, most int, subnets ...string) *Gate {
	tb.Helper()
	var allow []netip.Prefix
	for _, s := range subnets {
		allow = append(allow, netip.MustParsePrefix(s))
	}
	g, err := NewGate(allow, most)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

// Only what is allowed is ever dialled.
func TestGate_ContactsNothingOutside(t *testing.T) {
	g := gateTo(t, 4, "10.1.0.0/16", "fd00::/8")
	for _, c := range []struct {
		at   string
		want bool
	}{
		{"10.1.2.3", true},
		{"10.2.2.3", false},
		{"::ffff:10.1.2.3", true},
		{"fd00::1%eth0", true},
		{"fe80::1", false},
		{"127.0.0.1", false},
	} {
		if got := g.Allows(netip.MustParseAddr(c.at)); got != c.want {
			t.Errorf("Allows(%s) is %v", c.at, got)
		}
	}
	if _, err := g.DialContext(t.Context(), "tcp", "127.0.0.1:1"); !errors.Is(err, ErrOutside) {
		t.Errorf("dialling loopback: %v, want ErrOutside", err)
	}
	if _, err := gateTo(t, 1).DialContext(t.Context(), "tcp", "10.0.0.1:1"); !errors.Is(err, ErrOutside) {
		t.Errorf("an empty gate dials: %v", err)
	}
}

// A place is taken while a connection lives and given back once.
func TestGate_HoldsFewConnectionsToASubnet(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	g := gateTo(t, 2, "127.0.0.0/8")
	var held []net.Conn
	for range 2 {
		c, err := g.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	full, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.DialContext(full, "tcp", l.Addr().String()); !errors.Is(err, context.Canceled) {
		t.Fatalf("a third connection: %v, want to wait", err)
	}
	_, _ = held[0].Close(), held[0].Close() // twice gives back one place
	c, err := g.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.DialContext(full, "tcp", l.Addr().String()); err == nil {
		t.Fatal("closing twice gave back two places")
	}
	_, _ = c.Close(), held[1].Close()
}

// Faults are named, secrets are not.
func TestOpen_SaysWhatIsAccepted(t *testing.T) {
	for _, c := range []struct {
		kind string
		cfg  Config
	}{
		{"toaster", Config{Address: "10.0.0.1"}},
	} {
		if _, err := Open(c.kind, c.cfg); err == nil {
			t.Errorf("Open(%q, %+v) says nothing", c.kind, c.cfg)
		}
	}
	login := Login{"root", "secret"}
	if s := fmt.Sprintf("%v %+v %#v", login, Config{Login: login}, login); strings.Contains(s, "secret") {
		t.Errorf("a password prints: %s", s)
	}
	for in, want := range map[string]string{
		"10.0.0.1": "10.0.0.1:80", "h:81": "h:81", "::1": "[::1]:80", "[::1]:9": "[::1]:9",
		"h:0": "", "": "", "h:x": "",
	} {
		got, err := withPort(in, 80)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("withPort(%q) is %q, %v", in, got, err)
		}
	}
}
