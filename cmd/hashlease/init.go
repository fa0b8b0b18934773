package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
	"github.com/hashlease/hashlease/lease/leaserpc"
	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/node"
	"github.com/hashlease/hashlease/stratum/noise"
)

// configFile is the configuration's name in the directory that init makes.
const configFile = "hashlease.toml"

//nolint:revive // tags are one line
type initCmd struct {
	Dir     string   `help:"Directory to write to, made if need be; this one if absent." default:"." type:"path" placeholder:"DIR"`
	Network string   `help:"mainnet, testnet3, testnet4, signet, regtest, simnet or signet:CHALLENGE." default:"mainnet"`
	Payout  string   `help:"Address that found blocks pay." placeholder:"ADDRESS"`
	Host    []string `help:"Further name or address that clients use for this server; may be repeated." sep:"," placeholder:"NAME"`

	NodeKind   config.NodeKind `help:"btcd or core." default:"btcd" placeholder:"KIND"`
	NodeURL    string          `name:"node-url" help:"The node's RPC server; this machine's usual one if absent." placeholder:"URL"`
	NodeUser   string          `help:"The node's RPC user." default:"hashlease" placeholder:"USER"`
	NodeCert   string          `help:"PEM file with the node's certificate." type:"path" placeholder:"FILE"`
	NodeCookie string          `help:"Bitcoin Core's cookie file, in place of user and password." type:"path" placeholder:"FILE"`
}

// made is what init writes, in order, before anything is written.
type made struct {
	files []newFile
	dir   string

	ca        string // fingerprint
	authority noise.PublicKey
	adminKey  string
}

type newFile struct {
	name string // within dir
	data []byte
	mode os.FileMode
}

// Run writes a configuration with everything that it refers to. It never overwrites.
func (c *initCmd) Run(e *env) error {
	m, err := c.prepare(time.Now())
	if err != nil {
		return err
	}
	if err := m.write(); err != nil {
		return err
	}
	c.explain(e, m)
	return nil
}

func (c *initCmd) prepare(now time.Time) (*made, error) {
	params, err := node.ParseNetwork(c.Network)
	if err != nil {
		return nil, usagef("--network: %w", err)
	}
	if c.Payout != "" {
		if _, err := pool.PayoutScript(c.Payout, params); err != nil {
			return nil, usagef("--payout: %w", err)
		}
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	m := &made{dir: c.Dir}
	authority, err := noise.NewAuthority()
	if err != nil {
		return nil, err
	}
	m.authority = authority.Public()
	ca, caPEM, caKey, err := newIssuer(now)
	if err != nil {
		return nil, err
	}
	m.ca = fingerprint(ca.cert)
	serverPEM, serverKey, err := ca.server(append(localNames(), c.Host...), now)
	if err != nil {
		return nil, err
	}
	key, hash, err := newKey(leaserpc.Admin)
	if err != nil {
		return nil, err
	}
	m.adminKey = key
	cfg := c.config(hash)
	text, err := config.Encode(&cfg)
	if err != nil {
		return nil, err
	}
	if err := c.acceptable(text); err != nil {
		return nil, err
	}
	tls := cfg.TLS.Dir
	m.files = []newFile{
		{cfg.Stratum.AuthorityKey, []byte(authority.Secret() + "\n"), 0o600},
		{filepath.Join(tls, caCertFile), caPEM, 0o644},
		{filepath.Join(tls, caKeyFile), caKey, 0o600},
		{filepath.Join(tls, serverCertFile), serverPEM, 0o644},
		{filepath.Join(tls, serverKeyFile), serverKey, 0o600},
		{configFile, text, 0o600}, // last: with it the directory is complete
	}
	return m, nil
}

// check refuses flags that would only be found wrong when the server starts, or never.
func (c *initCmd) check() error {
	if info, err := os.Stat(c.Dir); err == nil && !info.IsDir() {
		return usagef("--dir %s: that is a file, a directory is accepted", c.Dir)
	}
	for _, h := range c.Host {
		if net.ParseIP(h) == nil && !hostForm.MatchString(h) {
			return usagef("--host %q: a name or an address is accepted, as pool.example", h)
		}
	}
	if c.NodeKind == config.Core && c.Network == "simnet" {
		return usagef("--node-kind core: Bitcoin Core has no simnet, btcd is accepted for it")
	}
	if u, err := url.Parse(c.NodeURL); err == nil && u.Port() != "" {
		if n, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || n == 0 {
			return usagef("--node-url %q: a port of 1 to 65535 is accepted", c.NodeURL)
		}
	}
	return nil
}

const hostLabel = `[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?`

var hostForm = regexp.MustCompile(`^` + hostLabel + `(\.` + hostLabel + `)*$`)

// config is the configuration that the flags ask for.
func (c *initCmd) config(adminHash string) config.Config {
	cfg := config.Default()
	cfg.Network, cfg.Payout, cfg.TLS.Hosts = c.Network, c.Payout, c.Host
	cfg.Admin.KeyHash = adminHash
	n := config.Node{
		Kind: c.NodeKind, URL: cmp.Or(c.NodeURL, defaultNodeURL(c.NodeKind, c.Network)),
		Certificate: c.NodeCert, CookieFile: c.NodeCookie,
	}
	if n.CookieFile == "" {
		n.User, n.PasswordFile = c.NodeUser, "node.password"
	}
	cfg.Nodes = []config.Node{n}
	return cfg
}

// acceptable refuses flags that make a configuration nobody could use. Only the
// payout may be left for later.
func (c *initCmd) acceptable(text []byte) error {
	cfg, err := config.Decode(configFile, text)
	if err != nil {
		return usagef("the flags make a configuration that cannot be read: %w", err)
	}
	err = cfg.Validate()
	if err == nil {
		return nil
	}
	var faults []string
	for line := range strings.Lines(err.Error()) {
		if c.Payout != "" || !strings.HasPrefix(line, "payout: missing") {
			faults = append(faults, strings.TrimSpace(line))
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return usagef("the flags make a configuration with faults:\n%s", strings.Join(faults, "\n"))
}

// defaultNodeURL is where a node of this kind usually answers on this machine.
func defaultNodeURL(kind config.NodeKind, network string) string {
	network, _, _ = strings.Cut(network, ":")
	ports := map[string]string{
		"mainnet": "8334", "testnet3": "18334", "testnet4": "48334", "signet": "38332",
		"regtest": "18334", "simnet": "18556",
	}
	if kind == config.Core {
		ports = map[string]string{
			"mainnet": "8332", "testnet3": "18332", "testnet4": "48332", "signet": "38332",
			"regtest": "18443",
		}
		return "http://127.0.0.1:" + cmp.Or(ports[network], "8332")
	}
	return "https://127.0.0.1:" + ports[network]
}

// write puts every file in place, or none.
func (m *made) write() error {
	for _, f := range m.files {
		path := filepath.Join(m.dir, f.name)
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			if err != nil {
				return fmt.Errorf("looking for %s: %w", path, err)
			}
			return fmt.Errorf("%s exists already and nothing is overwritten: choose another --dir, "+
				"or move it away", path)
		}
	}
	var done []string
	for _, f := range m.files {
		path := filepath.Join(m.dir, f.name)
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		if err == nil {
			err = writeNew(path, f.data, f.mode)
		}
		if err != nil {
			for _, d := range done {
				err = errors.Join(err, os.Remove(d))
			}
			return fmt.Errorf("writing %s: %w", path, err)
		}
		done = append(done, path)
	}
	return nil
}

// writeNew writes a file that must not exist yet.
func writeNew(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func (c *initCmd) explain(e *env, m *made) {
	path := filepath.Join(c.Dir, configFile)
	e.printf("Wrote %s with keys and certificates beside it.\n\n", path)
	e.printf("Authority key for miners:  %s\n", m.authority)
	e.printf("TLS authority for clients: %s\n", filepath.Join(c.Dir, "tls", caCertFile))
	e.printf("  SHA-256 fingerprint:     %s\n", m.ca)
	e.printf("Operator's key, shown only now: %s\n\n", m.adminKey)
	e.printf("Next:\n")
	step := 1
	next := func(format string, args ...any) {
		e.printf("  %d. %s\n", step, fmt.Sprintf(format, args...))
		step++
	}
	if c.Payout == "" {
		next("Set payout in %s to an address of %s.", configFile, c.Network)
	}
	if c.NodeCookie == "" {
		next("Write the node's RPC password into %s.", filepath.Join(c.Dir, "node.password"))
	}
	next("hashlease check --config %s", path)
	next("hashlease serve --config %s", path)
	next("hashlease tenant add NAME --config %s", path)
}
