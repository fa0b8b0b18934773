package stratum

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/stratumtest"
)

// servePort serves a port on TCP and returns its address. The server ends with the test.
func servePort(t *testing.T, p Port, change func(*Config)) (*bench, string) {
	t.Helper()
	b := newBench(t, change)
	b.publish(template(100, 1, false))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.wg.Go(func() { _ = b.server.Run(t.Context()) })
	b.wg.Go(func() { _ = b.server.ServePort(ln, p) })
	t.Cleanup(b.stop)
	return b, ln.Addr().String()
}

func dialTCP(t *testing.T, addr, first string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(conn, first); err != nil {
		t.Fatal(err)
	}
	return conn
}

// mineOn opens a channel over a connection and returns its first target.
func mineOn(t *testing.T, conn net.Conn, maxTarget pool.Target) pool.Target {
	t.Helper()
	c, err := stratumtest.NewClient(conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Setup(0); err != nil {
		t.Fatal(err)
	}
	ok, err := c.OpenStandard("alice.rig", 0, maxTarget)
	if err != nil {
		t.Fatal(err)
	}
	return pool.TargetFromBytes(&ok.Target)
}

// ended waits for the end of a connection and returns what came before it.
func ended(t *testing.T, conn net.Conn) string {
	t.Helper()
	b, err := io.ReadAll(conn)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatalf("the connection is not closed: %v", err)
	}
	return string(b)
}

// Ensure that a connection from a configured proxy is known, and counted, by the address behind it.
func TestPort_KnowsWhoIsBehindAProxy(t *testing.T) {
	b, addr := servePort(t, Port{
		Name: "proxied", Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}, func(c *Config) { c.MaxPerAddress = 1 })
	const first = "PROXY TCP4 203.0.113.7 192.0.2.1 4711 3333\r\n"
	mineOn(t, dialTCP(t, addr, first), pool.MaxTarget)
	mineOn(t, dialTCP(t, addr, string(proxyV2(1, 0x21, proxyAddresses(from6, to6, 7)))), pool.MaxTarget)
	mineOn(t, dialTCP(t, addr, "PROXY UNKNOWN\r\n"), pool.MaxTarget) // counts for the proxy
	ended(t, dialTCP(t, addr, "PROXY TCP4 203.0.113.7 192.0.2.1 4712 3333\r\n"))

	seen := map[string]bool{}
	for _, c := range b.server.Channels() {
		host, _, _ := net.SplitHostPort(c.Device.Address)
		seen[host] = true
	}
	if len(seen) != 3 || !seen["203.0.113.7"] || !seen["2001:db8::7"] || !seen["127.0.0.1"] {
		t.Errorf("connections are from %v", seen)
	}
	st := b.server.Stats().Ports
	if len(st) != 1 || st[0].Live[V2] != 3 || st[0].Opened[V2] != 3 || st[0].Failed != 1 {
		t.Errorf("ports %+v", st)
	}
}

// Ensure that nobody but a configured proxy says where it comes from, and that a proxy has to.
func TestPort_BelievesConfiguredProxiesAlone(t *testing.T) {
	elsewhere := Port{Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	b, addr := servePort(t, elsewhere, nil)
	mineOn(t, dialTCP(t, addr, ""), pool.MaxTarget)
	conn := dialTCP(t, addr, "PROXY TCP4 203.0.113.7 192.0.2.1 4711 3333\r\n"+strings.Repeat("x", 200))
	ended(t, conn)
	for _, c := range b.server.Channels() {
		if !strings.HasPrefix(c.Device.Address, "127.0.0.1:") {
			t.Errorf("a connection is from %s", c.Device.Address)
		}
	}
	_, addr = servePort(t, Port{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, nil)
	ended(t, dialTCP(t, addr, `{"id":1,"method":"mining.subscribe","params":[]}`+"\n"))
}

// Ensure that a proxy which does not say all of its header in time holds nothing.
func TestPort_CutsASlowHeader(t *testing.T) {
	_, addr := servePort(t, Port{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		func(c *Config) { c.HandshakeTimeout = 50 * time.Millisecond })
	ended(t, dialTCP(t, addr, "PROXY TCP4 203.0."))
}

// certificate makes a certificate that signs itself.
func certificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// overTLS shakes hands over TLS and returns the name on the certificate.
func overTLS(t *testing.T, addr, first string) (*tls.Conn, string) {
	t.Helper()
	cfg := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // it signs itself
	conn := tls.Client(dialTCP(t, addr, first), cfg)
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	return conn, conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// Ensure that a port speaks TLS, behind a proxy too, that a new certificate is shown to who comes then, and
// that connections go on.
func TestPort_SpeaksTLS(t *testing.T) {
	var newest atomic.Pointer[tls.Certificate]
	one, two := certificate(t, "one"), certificate(t, "two")
	newest.Store(&one)
	b, addr := servePort(t, Port{
		Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		TLS: &tls.Config{
			MinVersion: tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				return newest.Load(), nil
			},
		},
	}, nil)
	const first = "PROXY TCP4 203.0.113.7 192.0.2.1 4711 3333\r\n"
	old, name := overTLS(t, addr, first)
	if name != "one" {
		t.Errorf("certificate %q", name)
	}
	newest.Store(&two)
	conn, name := overTLS(t, addr, first)
	if name != "two" {
		t.Errorf("certificate %q", name)
	}
	mineOn(t, conn, pool.MaxTarget)
	mineOn(t, old, pool.MaxTarget)
	for _, c := range b.server.Channels() {
		if !strings.HasPrefix(c.Device.Address, "203.0.113.7:") {
			t.Errorf("a connection is from %s", c.Device.Address)
		}
	}
	plain := dialTCP(t, addr, first+`{"id":1,"method":"mining.subscribe"}`+"\n")
	line, _ := bufio.NewReader(plain).ReadString('\n')
	if !strings.Contains(line, "stratum+ssl://") {
		t.Errorf("a miner without TLS is told %q", line)
	}
	ended(t, dialTCP(t, addr, first+"\x16\x03\x01\xff\xff"))
	old12 := tls.Client(dialTCP(t, addr, first), &tls.Config{ //nolint:gosec // too old on purpose
		InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10,
	})
	if err := old12.Handshake(); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}

// Ensure that a port speaks the dialects that it is said to, over TLS too, and tells the others.
func TestPort_SpeaksItsDialects(t *testing.T) {
	only := func(d Dialect) *Dialect { return &d }
	const subscribe = `{"id":1,"method":"mining.subscribe","params":[]}` + "\n"
	_, addr := servePort(t, Port{Only: only(V2)}, nil)
	mineOn(t, dialTCP(t, addr, ""), pool.MaxTarget)
	if told := ended(t, dialTCP(t, addr, subscribe)); !strings.Contains(told, "stratum2+tcp://") {
		t.Errorf("a V1 miner is told %q", told)
	}
	b, addr := servePort(t, Port{Only: only(V1)}, nil)
	ended(t, dialTCP(t, addr, strings.Repeat("\xaa", 64)))
	line, err := bufio.NewReader(dialTCP(t, addr, subscribe)).ReadString('\n')
	if err != nil || !strings.Contains(line, `"error":null`) {
		t.Errorf("a V1 miner is told %q, %v", line, err)
	}
	st := b.server.Stats().Ports[0]
	if _, both := st.Live[V2]; both || st.Live[V1] != 1 || st.Failed != 1 {
		t.Errorf("port %+v", st)
	}
	shown := certificate(t, "one")
	_, addr = servePort(t, Port{TLS: &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{shown},
	}}, nil)
	conn, _ := overTLS(t, addr, "")
	if _, err := io.WriteString(conn, subscribe); err != nil {
		t.Fatal(err)
	}
	if line, err = bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, `"id":1`) {
		t.Errorf("a V1 miner over TLS is told %q, %v", line, err)
	}
}

// Ensure that no channel of a port gets easier work than the port allows, and that UpdateChannel does not
// change that.
func TestPort_HasALeastDifficulty(t *testing.T) {
	_, addr := servePort(t, Port{MinDifficulty: 0.5, PowersOfTwo: true}, nil)
	if d := mineOn(t, dialTCP(t, addr, ""), pool.MaxTarget).Difficulty(); d < 0.5 {
		t.Errorf("difficulty %v", d)
	}
	if d := mineOn(t, dialTCP(t, addr, ""), pool.TargetForDifficulty(3)).Difficulty(); d != 4 {
		t.Errorf("difficulty %v of a device that takes 3 and more", d)
	}
	if err := (&Port{MinDifficulty: -1}).Validate(); err == nil {
		t.Error("a negative difficulty is taken")
	}
}
