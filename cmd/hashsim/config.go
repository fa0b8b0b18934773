package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
	"github.com/hashlease/hashlease/cmd/hashsim/sim"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/stratumtest"
)

const defaultMeters = "127.0.0.1:9100"

// config turns the command line into a simulation.
func (c *siteCmd) config(log *slog.Logger) (sim.Config, error) {
	out := sim.Config{Class: c.Class, Seed: c.Seed, Extended: c.Extended, Log: log}
	out.Dialects = sim.Dialects(c.Dialect)
	if c.Class == 0 {
		out.Class = -1 // exact meters
	}
	if c.Config != "" {
		if err := fromServer(&out, c.Config); err != nil {
			return out, err
		}
	} else {
		if c.Miners < 1 || c.Miners > fleet.MaxWorkers {
			return out, fmt.Errorf("--miners is %d: 1 to %d is accepted", c.Miners, fleet.MaxWorkers)
		}
		out.Plan, out.Meters = sim.DemoSite(c.Miners), defaultMeters
	}
	if err := c.endpoint(&out.Pool); err != nil {
		return out, err
	}
	if c.Meters != "" {
		out.Meters = c.Meters
	}
	if c.Scale != 0 {
		out.Scale = c.Scale
	}
	if err := c.tenant(&out); err != nil {
		return out, err
	}
	if out.Pool.Address == "" {
		return out, errors.New("--pool is missing: HOST:PORT, or --config with a server's file, is accepted")
	}
	return out, nil
}

// endpoint applies --pool and --authority.
func (c *siteCmd) endpoint(e *stratumtest.Endpoint) error {
	key := c.Authority
	if c.Pool != "" {
		*e = stratumtest.Endpoint{Address: c.Pool}
		if u, err := url.Parse(c.Pool); err == nil && u.Scheme == "stratum2+tcp" {
			e.Address = u.Host
			if key == "" {
				key = strings.Trim(u.Path, "/")
			}
		}
		if _, _, err := net.SplitHostPort(e.Address); err != nil {
			return fmt.Errorf("--pool %q: HOST:PORT or stratum2+tcp://HOST:PORT/AUTHORITY is accepted",
				c.Pool)
		}
	}
	if key == "" {
		return nil
	}
	public, err := noise.ParsePublicKey(key)
	if err != nil {
		return fmt.Errorf("--authority: %w", err)
	}
	e.Authority = &public
	return nil
}

func (c *siteCmd) tenant(out *sim.Config) error {
	t := c.Tenant
	switch {
	case t.Name == "" && (t.GRPC != "" || t.Watts != 0):
		return errors.New("--tenant-name is missing: the name of the tenant's meters is accepted")
	case t.Name == "":
		return nil
	}
	known := false
	for _, name := range out.Plan.Tenants {
		known = known || name == t.Name
	}
	if !known {
		out.Plan.Tenants = append(out.Plan.Tenants, t.Name)
	}
	if t.GRPC == "" {
		return nil // a meter, with a load set by hand
	}
	cfg := sim.TenantConfig{Name: t.Name, Target: t.GRPC, Key: t.Key, CA: t.CA}
	if t.Watts > 0 {
		cfg.Demands = []sim.Demand{{
			Site: t.Site, Watts: t.Watts, Notice: t.Notice, For: t.For, Every: t.Every,
		}}
	}
	out.Tenants = append(out.Tenants, cfg)
	return nil
}

// fromServer takes everything that a server's configuration says.
func fromServer(out *sim.Config, path string) error {
	server, err := config.Load(path)
	if err != nil {
		return err
	}
	sites, workers, err := server.Fleet()
	if err != nil {
		return err
	}
	out.Plan = sim.Plan{Sites: sites, Workers: workers}
	for _, t := range server.Tenants {
		out.Plan.Tenants = append(out.Plan.Tenants, t.ID)
	}
	out.Scale = 1 / server.HashScale()
	if out.Meters, err = meterAddress(server.Sites); err != nil {
		return err
	}
	out.Pool.Address = reachable(server.Stratum.Listen)
	return readAuthority(&out.Pool, server.Path(server.Stratum.AuthorityKey))
}

// meterAddress is the one address of all meters; their paths must be the simulation's.
func meterAddress(sites []config.Site) (address string, err error) {
	for _, s := range sites {
		for _, f := range s.Feeder {
			for _, m := range f.Meters {
				u, err := url.Parse(m.URL)
				path := sim.MeterPath(f.ID, m.Role, m.Tenant)
				if err != nil || u.Scheme != "http" || u.Path != path || address != "" && u.Host != address {
					return "", fmt.Errorf("meter %q of feeder %q: the simulation serves http://HOST:PORT%s, "+
						"with one HOST:PORT for all meters", m.URL, f.ID, path)
				}
				address = u.Host
			}
		}
	}
	if address == "" {
		return defaultMeters, nil
	}
	return address, nil
}

// reachable is a listening address as a client on the same machine uses it.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// readAuthority derives the public key from the server's secret, if this user may
// read it. If not, --authority says it.
func readAuthority(e *stratumtest.Endpoint, path string) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the authority key: %w", err)
	}
	a, err := noise.ParseAuthority(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("reading the authority key %s: %w", path, err)
	}
	public := a.Public()
	e.Authority = &public
	return nil
}
