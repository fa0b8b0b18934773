package config

import (
	"slices"

	"github.com/hashlease/hashlease/stratum"
)

// Limits bound what peers may cost the server.
type Limits struct {
	Connections           int     `toml:"connections"`
	ConnectionsPerAddress int     `toml:"connections_per_address"`
	HandshakesPerAddress  int     `toml:"handshakes_per_address"` // at one time
	HandshakeRate         float64 `toml:"handshake_rate"`         // of one address, a second
	HandshakeBurst        int     `toml:"handshake_burst"`        // ... before that counts
	OpenRate              float64 `toml:"open_rate"`              // channels one address asks for, a second
	OpenBurst             int     `toml:"open_burst"`
	Channels              int     `toml:"channels"`
	ChannelsPerConnection int     `toml:"channels_per_connection"`
	ChannelsPerAccount    int     `toml:"channels_per_account"`
	ChannelsPerAddress    int     `toml:"channels_per_address"`
	Names                 int     `toml:"names"` // workers behind proxies
	NamesPerChannel       int     `toml:"names_per_channel"`
	Backlog               int     `toml:"backlog"` // bytes that wait for slow readers
}

// defaultLimits are the server's own.
func defaultLimits() Limits {
	c := stratum.DefaultConfig()
	return Limits{
		Connections: c.MaxSessions, ConnectionsPerAddress: c.MaxPerAddress,
		HandshakesPerAddress: c.MaxHandshakes,
		HandshakeRate:        c.HandshakeRate, HandshakeBurst: c.HandshakeBurst,
		OpenRate: c.OpenRate, OpenBurst: c.OpenBurst,
		Channels: c.MaxAllChannels, ChannelsPerConnection: c.MaxChannels,
		ChannelsPerAccount: c.MaxAccountChannels, ChannelsPerAddress: c.MaxAddressChannels,
		Names: c.MaxAllNames, NamesPerChannel: c.MaxNames, Backlog: c.MaxBacklog,
	}
}

// Server is the configuration as package stratum takes it.
func (s *Stratum) Server() stratum.Config {
	c, l := stratum.DefaultConfig(), &s.Limits
	c.MinDifficulty, c.MaxDifficulty = s.MinDifficulty, s.MaxDifficulty
	c.SharesPerMinute, c.SharesPerSecond = s.SharesPerMinute, s.SharesPerSecond
	c.RequiredExtensions = s.RequiredExtensions
	c.MaxSessions, c.MaxPerAddress = l.Connections, l.ConnectionsPerAddress
	c.MaxHandshakes, c.HandshakeBurst = l.HandshakesPerAddress, l.HandshakeBurst
	c.HandshakeRate = l.HandshakeRate
	c.OpenRate, c.OpenBurst = l.OpenRate, l.OpenBurst
	c.MaxAllChannels, c.MaxChannels = l.Channels, l.ChannelsPerConnection
	c.MaxAccountChannels, c.MaxAddressChannels = l.ChannelsPerAccount, l.ChannelsPerAddress
	c.MaxAllNames, c.MaxNames, c.MaxBacklog = l.Names, l.NamesPerChannel, l.Backlog
	s.Timing.apply(&c)
	return c
}

// mostOfAny bounds what limits may say: no machine has more.
const mostOfAny = 1 << 31

// limits checks what peers may cost. A limit within another must not be above it: it would say nothing.
func (v *validation) limits(s *Stratum) {
	l := &s.Limits
	for _, n := range []struct {
		key    string
		n      int
		within string
		most   int
	}{
		{"connections", l.Connections, "", mostOfAny},
		{"connections_per_address", l.ConnectionsPerAddress, "connections", l.Connections},
		{
			"handshakes_per_address", l.HandshakesPerAddress,
			"connections_per_address", l.ConnectionsPerAddress,
		},
		{"handshake_burst", l.HandshakeBurst, "", mostOfAny},
		{"open_burst", l.OpenBurst, "", mostOfAny},
		{"channels", l.Channels, "", mostOfAny},
		{"channels_per_connection", l.ChannelsPerConnection, "channels", l.Channels},
		{"channels_per_account", l.ChannelsPerAccount, "channels", l.Channels},
		{"channels_per_address", l.ChannelsPerAddress, "channels", l.Channels},
		{"names", l.Names, "", mostOfAny},
		{"names_per_channel", l.NamesPerChannel, "names", l.Names},
		{"backlog", l.Backlog, "", mostOfAny},
	} {
		switch {
		case n.n >= 1 && (n.n <= n.most || n.most < 1): // what is around it is named itself
		case n.within == "" || n.most < 1:
			v.faultf("stratum.limits.%s is %d: 1 to %d is accepted", n.key, n.n, mostOfAny)
		default:
			v.faultf("stratum.limits.%s is %d: 1 to %s, %d, is accepted", n.key, n.n, n.within, n.most)
		}
	}
	for _, r := range []struct {
		key  string
		rate float64
	}{{"handshake_rate", l.HandshakeRate}, {"open_rate", l.OpenRate}} {
		if !(r.rate >= 0.001 && r.rate <= 1e9) {
			v.faultf("stratum.limits.%s is %v: 0.001 to 1e9 a second is accepted", r.key, r.rate)
		}
	}
	for _, e := range s.RequiredExtensions {
		if !slices.Contains(stratum.Served(), e) {
			v.faultf("stratum.required_extensions: 0x%04x: of %s is accepted", e, writeHex(stratum.Served()))
		}
	}
}
