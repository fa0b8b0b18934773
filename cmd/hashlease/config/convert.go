package config

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/node"
)

// curvePoints is in how many points a model's curve is used.
const curvePoints = 16

// maxSecret bounds a file with a password.
const maxSecret = 4096

// NodeConfigs are the nodes as pool/node takes them, with password files read.
func (c *Config) NodeConfigs() ([]node.Config, error) {
	params, err := node.ParseNetwork(c.Network)
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	out := make([]node.Config, 0, len(c.Nodes))
	for i := range c.Nodes {
		n := &c.Nodes[i]
		nc, err := n.shape()
		if err != nil {
			return nil, fmt.Errorf("node %d: %w", i+1, err)
		}
		nc.Network = params
		nc.Cookie, nc.Certificate = c.Path(n.CookieFile), c.Path(n.Certificate)
		if n.PasswordFile != "" {
			if nc.Password, err = readSecret(c.Path(n.PasswordFile)); err != nil {
				return nil, fmt.Errorf("node %d: password_file: %w", i+1, err)
			}
		}
		out = append(out, nc)
	}
	return out, nil
}

// shape is the node's configuration without network and without anything read from files.
func (n *Node) shape() (node.Config, error) {
	u, err := url.Parse(n.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Port() == "" || u.Hostname() == "" ||
		strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return node.Config{}, errors.New("url: http://host:port or https://host:port is accepted")
	}
	return node.Config{
		Name: n.Name, Address: u.Host, TLS: u.Scheme == "https", Certificate: n.Certificate,
		User: n.User, Password: n.Password, Cookie: n.CookieFile,
	}, nil
}

func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(b))
	if text == "" || len(b) > maxSecret {
		return "", fmt.Errorf("%s has %d bytes: 1 to %d are accepted", path, len(b), maxSecret)
	}
	return text, nil
}

// Fleet is the sites and workers as the planner and the governor take them. They are valid if c is.
func (c *Config) Fleet() ([]fleet.Site, []fleet.Worker, error) {
	workers := make([]fleet.Worker, 0, len(c.Workers))
	var faults []error
	for i := range c.Workers {
		w, err := c.Workers[i].fleet()
		faults = append(faults, err)
		workers = append(workers, w)
	}
	return c.fleetSites(), workers, errors.Join(faults...)
}

func (c *Config) fleetSites() []fleet.Site {
	sites := make([]fleet.Site, 0, len(c.Sites))
	for i := range c.Sites {
		s := &c.Sites[i]
		site := fleet.Site{ID: s.ID, Name: s.Name}
		site.Zone, _ = s.zone() // validated
		for _, f := range s.Feeder {
			site.Feeders = append(site.Feeders, fleet.Feeder{
				ID: f.ID, Site: s.ID, Branch: f.Branch, Limit: f.Limit, Reserve: f.Reserve, Base: f.Base,
				Overload: fleet.Overload{Watts: f.Overload.Watts, For: time.Duration(f.Overload.For)},
				Notice:   time.Duration(f.Notice), Restore: f.Restore, Arm: f.Arm,
				Trusted: f.TrustDeclared, NoSpare: !f.Spare(), Heat: f.Heat,
			})
		}
		for _, b := range s.Branch {
			site.Branches = append(site.Branches, fleet.Branch{
				ID: b.ID, Parent: b.Parent, Kind: b.Kind, Limit: b.Limit, Reserve: b.Reserve, Base: b.Base,
				Overload: fleet.Overload{Watts: b.Overload.Watts, For: time.Duration(b.Overload.For)},
			})
		}
		sites = append(sites, site)
	}
	return sites
}

// HashScale is real hashes for each hash of the curves.
func (c *Config) HashScale() float64 {
	if c.Simulation.HashScale == 0 {
		return 1
	}
	return c.Simulation.HashScale
}

func (w *Worker) fleet() (fleet.Worker, error) {
	out := fleet.Worker{
		ID: pool.WorkerID(w.ID), Feeder: w.Feeder, Branch: w.Branch, Model: w.Model,
		MinRun: time.Duration(w.MinRun), MinOff: time.Duration(w.MinOff), Wear: w.Wear, Pinned: w.Pinned,
		MustRun: w.MustRun, Cycles: defaultCycles,
	}
	if w.Cycles != nil {
		out.Cycles = *w.Cycles
	}
	if len(w.Curve) > 0 {
		for _, p := range w.Curve {
			out.Curve = append(out.Curve, fleet.Point{Watts: p.Watts, Hashrate: p.Hashrate})
		}
	} else {
		m, ok := fleet.ModelNamed(w.Model)
		if !ok {
			return out, fmt.Errorf("worker %q: model %q is not known and there is no curve: "+
				"a curve, or one of %s, is accepted", w.ID, w.Model, knownModels())
		}
		out.Curve, out.Sleep = m.Curve(curvePoints), m.Sleep
	}
	if w.Sleep != nil {
		out.Sleep = *w.Sleep
	}
	return out, nil
}

func knownModels() string {
	var names []string
	for _, m := range fleet.Models() {
		names = append(names, m.Name)
	}
	return strings.Join(names, ", ")
}
