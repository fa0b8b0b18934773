package config

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/lease/leaserpc"
	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/node"
)

// Bounds of lists that Validate enforces.
const (
	MaxNodes   = 16
	MaxTenants = 10_000
	MaxMeters  = 10_000
)

// Ends of proof_age. What was measured an hour ago hardly has to be measured again, and in a year machines
// have met every season.
const leastProofAge, mostProofAge = time.Hour, 366 * 24 * time.Hour

// Validate lists every fault at once, each with the name of the field and what is accepted. It opens
// no file and no connection; `hashlease check` does.
func (c *Config) Validate() error {
	v := &validation{tenants: map[string]bool{}}
	v.pool(c)
	v.listeners(c)
	v.keys(c)
	v.nodes(c)
	v.power(c)
	v.devices(c)
	return errors.Join(v.faults...)
}

// validation collects faults.
type validation struct {
	faults  []error
	tenants map[string]bool
	meters  int
}

func (v *validation) faultf(format string, args ...any) {
	v.faults = append(v.faults, fmt.Errorf(format, args...))
}

func (v *validation) pool(c *Config) {
	params, err := node.ParseNetwork(c.Network)
	if err != nil {
		v.faultf("network: %w", err)
	}
	switch {
	case c.Payout == "":
		v.faultf("payout: missing: an address of the network is needed, found blocks pay it")
	case err == nil:
		if _, err := pool.PayoutScript(c.Payout, params); err != nil {
			v.faultf("payout: %w", err)
		}
	}
	if n := c.Storage.AuditMonths; n < 0 || n > 1200 {
		v.faultf("storage.audit_months is %d: 0 (all) to 1200 is accepted", n)
	}
	if c.Storage.Dir == "" {
		v.faultf("storage.dir: missing: a directory is needed")
	}
	s := &c.Stratum
	v.difficulty(s)
	v.limits(s)
	v.timing(&s.Timing)
	v.ports(s)
	// The script is checked with the payout; here it only has to be there.
	if err := (pool.CoinbaseConfig{Script: []byte{0}, Tag: s.Tag}).Validate(); err != nil {
		v.faultf("stratum.tag: %w", err)
	}
	if s.AuthorityKey == "" {
		v.faultf("stratum.authority_key: missing: a file is needed, hashlease init makes it")
	}
	if h := c.Simulation.HashScale; !(h >= 0 && h <= 1) {
		v.faultf("simulation.hash_scale is %v: 0 to 1 is accepted, and 0 or 1 for real machines", h)
	}
}

func (v *validation) difficulty(s *Stratum) {
	const most = 1 << 31
	if !(s.MinDifficulty > 0 && s.MinDifficulty <= most) {
		v.faultf("stratum.min_difficulty is %v: above 0 to 2147483648 is accepted", s.MinDifficulty)
	}
	if !(s.MaxDifficulty >= s.MinDifficulty && s.MaxDifficulty <= most) {
		v.faultf("stratum.max_difficulty is %v: min_difficulty, %v, to 2147483648 is accepted",
			s.MaxDifficulty, s.MinDifficulty)
	}
	if !(s.SharesPerMinute > 0 && s.SharesPerMinute <= 6000) {
		v.faultf("stratum.shares_per_minute is %v: above 0 to 6000 is accepted", s.SharesPerMinute)
	}
	if !(s.SharesPerSecond >= 1 && s.SharesPerSecond <= 1e6) {
		v.faultf("stratum.shares_per_second is %v: 1 to 1000000 is accepted", s.SharesPerSecond)
	}
}

func (v *validation) listeners(c *Config) {
	used := map[string]string{}
	type listener struct{ field, address string }
	all := []listener{
		{"stratum.listen", c.Stratum.Listen},
		{"grpc.listen", c.GRPC.Listen},
		{"console.listen", c.Console.Listen},
	}
	for i := range c.Stratum.Ports {
		all = append(all, listener{fmt.Sprintf("stratum.port %d: listen", i+1), c.Stratum.Ports[i].Listen})
	}
	for _, l := range all {
		_, port, err := net.SplitHostPort(l.address)
		n, convErr := strconv.ParseUint(port, 10, 16)
		if err != nil || convErr != nil {
			v.faultf("%s: %q: host:port is accepted, or :port for every interface", l.field, l.address)
			continue
		}
		if other := used[l.address]; other != "" && n != 0 {
			v.faultf("%s: %s is used by %s already", l.field, l.address, other)
		}
		used[l.address] = l.field
	}
	if c.TLS.Dir == "" {
		v.faultf("tls.dir: missing: the place of ca.pem and server.pem is needed; hashlease init makes it")
	}
	for i, h := range c.TLS.Hosts {
		if h == "" || len(h) > 253 {
			v.faultf("tls.hosts: entry %d has %d bytes: a name or an IP address is accepted", i+1, len(h))
		}
	}
}

func (v *validation) keys(c *Config) {
	v.keyHash("admin.key_hash", c.Admin.KeyHash)
	if len(c.Tenants) > MaxTenants {
		v.faultf("tenant: there are %d: at most %d are accepted", len(c.Tenants), MaxTenants)
	}
	for i, t := range c.Tenants {
		if err := ValidTenant(t.ID); err != nil {
			v.faultf("tenant %d: id: %w", i+1, err)
		}
		if v.tenants[t.ID] {
			v.faultf("tenant %q is there twice", t.ID)
		}
		v.tenants[t.ID] = true
		v.keyHash(fmt.Sprintf("tenant %q: key_hash", t.ID), t.KeyHash)
	}
}

func (v *validation) keyHash(field, text string) {
	var h leaserpc.Hash
	if err := h.UnmarshalText([]byte(text)); err != nil {
		v.faultf("%s: the SHA-256 of a key in 64 hexadecimal digits is needed; "+
			"hashlease init and hashlease tenant add make keys", field)
	}
}

// ValidTenant says whether id can name a tenant.
func ValidTenant(id string) error {
	if !lease.ValidName(id) {
		return fmt.Errorf("%q: 1 to %d of a-z 0-9 - _ are accepted", id, lease.MaxName)
	}
	if id == leaserpc.Admin {
		return fmt.Errorf("%q is the operator's own name: choose another", id)
	}
	return nil
}

func (v *validation) nodes(c *Config) {
	if len(c.Nodes) == 0 || len(c.Nodes) > MaxNodes {
		v.faultf("node: there are %d: 1 to %d are accepted", len(c.Nodes), MaxNodes)
	}
	params, err := node.ParseNetwork(c.Network)
	if err != nil {
		params, _ = node.ParseNetwork("mainnet") // the network is reported already
	}
	for i := range c.Nodes {
		n := &c.Nodes[i]
		nc, err := n.shape()
		if err != nil {
			v.faultf("node %d: %w", i+1, err)
			continue
		}
		if n.Kind == "" {
			v.faultf("node %d: kind: missing: btcd or core is accepted", i+1)
		}
		if n.Password != "" && n.PasswordFile != "" {
			v.faultf("node %d: password_file: given beside password: one of the two is accepted", i+1)
		}
		nc.Network = params
		if n.PasswordFile != "" {
			nc.Password = "read at the start"
		}
		if nc.Certificate != "" {
			nc.Certificate, nc.TLS = "", true // opened at the start
		}
		if err := nc.Validate(); err != nil {
			v.faults = append(v.faults, err)
		}
	}
}

func (v *validation) power(c *Config) {
	if c.Lease.Price < 0 || c.Lease.Price > 1e15 {
		v.faultf("lease: price_msat_per_kwh is %d: 0 to 1e15 is accepted", c.Lease.Price)
	}
	if p := c.Lease.Penalty; p != nil && (*p < 0 || *p > 1e15) {
		v.faultf("lease: overrun_msat_per_kwh is %d: 0 to 1e15 is accepted", *p)
	}
	if d := time.Duration(c.Headroom.ProofAge); d < leastProofAge || d > mostProofAge {
		v.faultf("headroom.proof_age is %v: %v to %v is accepted",
			c.Headroom.ProofAge, Duration(leastProofAge), Duration(mostProofAge))
	}
	v.owners(c)
	for i := range c.Sites {
		s := &c.Sites[i]
		v.tariff(s)
		for j := range s.Feeder {
			v.feederMeters(&s.Feeder[j])
		}
		for j := range s.Branch {
			v.branchMeters(&s.Branch[j])
		}
	}
	if v.meters > MaxMeters {
		v.faultf("meter: there are %d: at most %d are accepted", v.meters, MaxMeters)
	}
	sites := c.fleetSites()
	workers := make([]fleet.Worker, 0, len(c.Workers))
	for i := range c.Workers {
		w, err := c.Workers[i].fleet()
		if err != nil {
			v.faults = append(v.faults, err)
			continue
		}
		workers = append(workers, w)
	}
	if err := fleet.Validate(sites, workers); err != nil {
		v.faults = append(v.faults, err)
	}
}

func (v *validation) feederMeters(f *Feeder) {
	v.meters += len(f.Meters)
	measured := false
	for i, m := range f.Meters {
		name := fmt.Sprintf("feeder %q meter %d", f.ID, i+1)
		measured = measured || m.Role == fleet.Total || m.Role == fleet.Mining
		v.meterAt(name, &m)
		switch {
		case m.Role == fleet.Tenant && !v.tenants[m.Tenant]:
			v.faultf("%s: tenant: %q has no [[tenant]]: the id of one is accepted", name, m.Tenant)
		case m.Role != fleet.Tenant && m.Tenant != "":
			v.faultf("%s: tenant: only a meter with role tenant has one", name)
		}
	}
	v.redundant(fmt.Sprintf("feeder %q", f.ID), f.Meters)
	if f.Arm == fleet.Act && !measured {
		v.faultf("feeder %q: arm act needs a meter with role total or mining", f.ID)
	}
}
