package node_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/node"
)

// ExampleParseNetwork shows a private signet and a typing error.
func ExampleParseNetwork() {
	p, err := node.ParseNetwork("signet:51")
	fmt.Println(p.Name, err)
	_, err = node.ParseNetwork("mainet")
	fmt.Println(strings.Split(err.Error(), ",")[0])
	// Output:
	// signet <nil>
	// network "mainet": mainnet
}

// ExampleNewBtcd shows that passwords do not leave the machine in plain text.
func ExampleNewBtcd() {
	p, _ := node.ParseNetwork("mainnet")
	_, err := node.NewBtcd(node.Config{
		Name: "main", Network: p, Address: "node.example:8334", User: "pool", Password: "secret",
	})
	fmt.Println(err)
	// Output:
	// node main: address: node.example:8334 is not on this machine: TLS with a certificate is needed there
}

// Ensure all faults of a configuration are listed at once.
func TestConfig_ListsAllFaults(t *testing.T) {
	t.Parallel()
	err := node.Config{
		Address: "10.0.0.1", Refresh: -1, Certificate: "/nowhere", Cookie: "x", User: "u",
	}.Validate()
	for _, want := range []string{
		"network: missing", "host:port", "refresh: -1ns", "certificate: reading", "cookie file",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %q", err, want)
		}
	}
	good := node.Config{Network: network(t, "simnet"), Address: "localhost:1", User: "u", Password: "p"}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for want, edit := range map[string]func(*node.Config){
		"user: user and password": func(c *node.Config) { c.Password = "" },
		"user: a colon":           func(c *node.Config) { c.User = "a:b" },
		"not on this machine":     func(c *node.Config) { c.Address = "192.0.2.1:8334" },
		"holds no PEM":            func(c *node.Config) { c.Certificate = os.Args[0] },
	} {
		bad := good
		edit(&bad)
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	for _, name := range []string{"", "signet:", "signet:zz", "signet:" + strings.Repeat("51", 253)} {
		if _, err := node.ParseNetwork(name); err == nil {
			t.Errorf("network %.20q was accepted", name)
		}
	}
}

// Ensure a cookie that is missing or out of form is named.
func TestCore_NamesBadCookie(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	long, odd := filepath.Join(dir, "long"), filepath.Join(dir, "odd")
	for path, text := range map[string]string{long: strings.Repeat("x", 5000), odd: "no colon"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		long: "up to 4096 are accepted", odd: "user:password is accepted",
		filepath.Join(dir, "none"): "is it running?",
	} {
		c := followCore(t, node.Config{Network: network(t, "regtest"), Address: "127.0.0.1:1", Cookie: path})
		if _, err := c.Next(t.Context(), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// Ensure TLS needs the right certificate, and works with it.
func TestBtcd_ChecksCertificate(t *testing.T) {
	t.Parallel()
	cfg := startChild(t, network(t, "regtest")).Config()
	addr, right := tlsProxy(t, cfg.Address)
	_, wrong := tlsProxy(t, cfg.Address)

	plain, strange := cfg, cfg
	plain.Address, plain.Timeout = addr, time.Second
	strange.Address, strange.Certificate = addr, wrong
	cfg.Address, cfg.Certificate = addr, right
	for want, c := range map[string]node.Config{"opening the websocket": plain, "certificate": strange} {
		if _, err := follow(t, c).Next(t.Context(), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	b := follow(t, cfg)
	if err := b.SubmitBlock(t.Context(), solve(t, next(t, b, nil))); err != nil {
		t.Error(err)
	}
	nextWhere(t, b, func(got *pool.Template) bool { return got.Height == 2 })
}

// tlsProxy puts TLS before an address, with a certificate of its own.
func tlsProxy(t *testing.T, target string) (addr, certificate string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate = filepath.Join(t.TempDir(), "rpc.cert")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(certificate, text, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { forward(in, target) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return l.Addr().String(), certificate
}

func forward(in net.Conn, target string) {
	defer in.Close()
	out, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(out, in)
		_ = out.Close()
	})
	_, _ = io.Copy(in, out)
	_ = in.Close()
	wg.Wait()
}
