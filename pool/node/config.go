package node

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
)

// Config says how to reach one node.
type Config struct {
	Name        string           // for people; the address if empty
	Network     *chaincfg.Params // what the node must be on
	Address     string           // host:port of its RPC server
	Certificate string           // PEM file with the node's TLS certificate or its CA; empty: see TLS
	TLS         bool             // TLS without Certificate: the system's roots are trusted
	User        string
	Password    string
	Cookie      string        // file with user:password (Bitcoin Core), instead of User and Password
	Refresh     time.Duration // how often to look for better fees
	Poll        time.Duration // how often to ask for the newest block
	Timeout     time.Duration // longest wait for one answer
}

// Bounds and defaults of Config.
const (
	defaultRefresh  = 30 * time.Second
	defaultTimeout  = 10 * time.Second
	defaultPollBtcd = 5 * time.Second        // only a fallback: btcd announces blocks
	defaultPollCore = 250 * time.Millisecond // the only way to hear of a block
	maxCookie       = 4096                   // bytes of a cookie file
)

// Validate lists everything that is wrong with the configuration.
func (c Config) Validate() error {
	var faults []error
	fault := func(field, format string, args ...any) {
		faults = append(faults, fmt.Errorf("node %s: %s: %s", c.name(), field, fmt.Sprintf(format, args...)))
	}
	if c.Network == nil {
		fault("network", "missing: mainnet, testnet3, testnet4, signet, regtest and simnet are accepted")
	}
	host, port, err := net.SplitHostPort(c.Address)
	switch {
	case err != nil || host == "" || port == "":
		fault("address", "%q: host:port is accepted", c.Address)
	case !c.encrypted() && !loopback(host):
		fault("address", "%s is not on this machine: TLS with a certificate is needed there", c.Address)
	}
	if text := c.loginFault(); text != "" {
		fault("user", "%s", text)
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{{"refresh", c.Refresh}, {"poll", c.Poll}, {"timeout", c.Timeout}} {
		if d.value < 0 || d.value > time.Hour {
			fault(d.field, "%v: up to 1h is accepted, 0 is the default", d.value)
		}
	}
	if c.Certificate != "" {
		if _, err := c.roots(); err != nil {
			fault("certificate", "%v", err)
		}
	}
	return errors.Join(faults...)
}

func (c Config) loginFault() string {
	switch {
	case c.Cookie != "" && (c.User != "" || c.Password != ""):
		return "given beside a cookie file: one of the two is accepted"
	case c.Cookie == "" && (c.User == "" || c.Password == ""):
		return "user and password, or a cookie file, are needed"
	case strings.Contains(c.User, ":"):
		return "a colon cannot be sent"
	}
	return ""
}

// withDefaults fills in what was left open.
func (c Config) withDefaults(poll time.Duration) Config {
	c.Name = c.name()
	for _, d := range []struct{ value, otherwise *time.Duration }{
		{&c.Refresh, new(defaultRefresh)}, {&c.Poll, &poll}, {&c.Timeout, new(defaultTimeout)},
	} {
		if *d.value == 0 {
			*d.value = *d.otherwise
		}
	}
	return c
}

func (c Config) name() string {
	if c.Name != "" {
		return c.Name
	}
	return c.Address
}

func (c Config) encrypted() bool { return c.TLS || c.Certificate != "" }

// credentials are read anew for each connection: Core writes a new cookie at every start.
func (c Config) credentials() (user, password string, err error) {
	if c.Cookie == "" {
		return c.User, c.Password, nil
	}
	info, err := os.Stat(c.Cookie)
	if err != nil {
		return "", "", fmt.Errorf("reading the node's cookie (is it running?): %w", err)
	}
	if info.Size() > maxCookie {
		return "", "", fmt.Errorf("cookie file %s has %d bytes, up to %d are accepted",
			c.Cookie, info.Size(), maxCookie)
	}
	text, err := os.ReadFile(c.Cookie)
	if err != nil {
		return "", "", fmt.Errorf("reading the node's cookie: %w", err)
	}
	user, password, ok := strings.Cut(strings.TrimSpace(string(text)), ":")
	if !ok {
		return "", "", fmt.Errorf("cookie file %s: user:password is accepted", c.Cookie)
	}
	return user, password, nil
}

// secure is the TLS configuration, or nil for plaintext.
func (c Config) secure() (*tls.Config, error) {
	if !c.encrypted() {
		return nil, nil
	}
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if c.Certificate != "" {
		if conf.RootCAs, err = c.roots(); err != nil {
			return nil, err
		}
	}
	return conf, nil
}

func (c Config) roots() (*x509.CertPool, error) {
	pem, err := os.ReadFile(c.Certificate)
	if err != nil {
		return nil, fmt.Errorf("reading the node's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", c.Certificate)
	}
	return roots, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
