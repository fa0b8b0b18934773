package config

import (
	"net/netip"

	"github.com/hashlease/hashlease/pool"
)

// MaxPorts bounds the further ports for miners.
const MaxPorts = 32

// Port is a further port for miners.
type Port struct {
	Listen        string   `toml:"listen"`
	Dialect       string   `toml:"dialect"`        // "v1" or "v2"; empty: both, told apart by first bytes
	MinDifficulty float64  `toml:"min_difficulty"` // 0: stratum.min_difficulty
	PowersOfTwo   bool     `toml:"powers_of_two"`  // of difficulties above 1
	TLS           bool     `toml:"tls"`
	Certificate   string   `toml:"certificate"` // PEM file, with its chain; empty: the server's own
	Key           string   `toml:"key"`         // PEM file
	ProxyFrom     []string `toml:"proxy_from"`  // addresses or networks whose PROXY headers are believed
}

// MinerClass changes what miners of a kind are taken to bear; see pool.MinerClasses.
type MinerClass struct {
	Name          string   `toml:"name"`
	Coinbase      int      `toml:"coinbase"` // bytes
	MinDifficulty float64  `toml:"min_difficulty"`
	PowersOfTwo   bool     `toml:"powers_of_two"`
	Agents        []string `toml:"agents"`
}

// MinerClasses are the built-in classes with the configured changes.
func (s *Stratum) MinerClasses() pool.MinerClasses {
	changes := make([]pool.MinerClass, 0, len(s.Classes))
	for _, c := range s.Classes {
		changes = append(changes, pool.MinerClass{
			Name: c.Name, Coinbase: c.Coinbase, MinDifficulty: c.MinDifficulty,
			PowersOfTwo: c.PowersOfTwo, Agents: c.Agents,
		})
	}
	return pool.DefaultMinerClasses().With(changes)
}

// Proxies are the networks of ProxyFrom; an address is a network of one.
func (p *Port) Proxies() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range p.ProxyFrom {
		if a, err := netip.ParseAddr(text); err == nil {
			out = append(out, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
			continue
		}
		n, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, err
		}
		out = append(out, n.Masked())
	}
	return out, nil
}

// Least is the least difficulty of a port.
func (s *Stratum) Least(p *Port) float64 {
	if p.MinDifficulty > 0 {
		return p.MinDifficulty
	}
	return s.MinDifficulty
}

// Floor is the least difficulty of all ports.
func (s *Stratum) Floor() float64 {
	least := s.MinDifficulty
	for i := range s.Ports {
		least = min(least, s.Least(&s.Ports[i]))
	}
	return least
}

// ports checks the further ports and the classes of miners.
func (v *validation) ports(s *Stratum) {
	if len(s.Ports) > MaxPorts {
		v.faultf("stratum.port: there are %d: at most %d are accepted", len(s.Ports), MaxPorts)
	}
	for i := range s.Ports {
		p := &s.Ports[i]
		if p.Dialect != "" && p.Dialect != "v1" && p.Dialect != "v2" {
			v.faultf("stratum.port %d: dialect: %q: v1, v2 or none for both is accepted", i+1, p.Dialect)
		}
		if d := p.MinDifficulty; !(d >= 0 && d <= s.MaxDifficulty) {
			v.faultf("stratum.port %d: min_difficulty is %v: 0 to max_difficulty, %v, is accepted",
				i+1, d, s.MaxDifficulty)
		}
		if (p.Certificate == "") != (p.Key == "") || p.Certificate != "" && !p.TLS {
			v.faultf("stratum.port %d: certificate and key are accepted together, with tls = true", i+1)
		}
		if _, err := p.Proxies(); err != nil {
			v.faultf("stratum.port %d: proxy_from: %w: an address or a network (10.0.0.0/8) is accepted",
				i+1, err)
		}
	}
	if err := s.MinerClasses().Validate(); err != nil {
		v.faultf("stratum.class: %w", err)
	}
}
