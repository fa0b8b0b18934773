package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
	"github.com/hashlease/hashlease/stratum"
)

// Ensure that a file which says nothing of limits has the server's own, and that a key is taken alone.
func TestLimits_AreTheServersOwnUnlessSaid(t *testing.T) {
	c, err := config.Decode("f.toml", []byte("[stratum]\nmin_difficulty = 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := stratum.DefaultConfig()
	if diff := cmp.Diff(want, c.Stratum.Server()); diff != "" {
		t.Errorf("defaults (-server's +file's):\n%s", diff)
	}
	c, err = config.Decode("f.toml", []byte(
		"[stratum]\nmin_difficulty = 1\nrequired_extensions = [0x0002]\n[stratum.limits]\nnames = 7\n"))
	if err != nil {
		t.Fatal(err)
	}
	want.MaxAllNames, want.RequiredExtensions = 7, []uint16{2}
	if diff := cmp.Diff(want, c.Stratum.Server()); diff != "" {
		t.Errorf("with two keys (-want +got):\n%s", diff)
	}
}

// Ensure that every limit which cannot be is named with what is accepted, and that what passes here passes
// the server too.
func TestLimits_NamesEveryFault(t *testing.T) {
	c := full()
	sc := c.Stratum.Server()
	if err := sc.Validate(); err != nil {
		t.Errorf("what the configuration accepts, the server does not: %v", err)
	}
	c.Stratum.RequiredExtensions = []uint16{2, 3}
	c.Stratum.Limits = config.Limits{
		Connections: 10, ConnectionsPerAddress: 11, HandshakesPerAddress: 0, HandshakeRate: 0,
		HandshakeBurst: -1, OpenRate: 1e10, OpenBurst: 1 << 32, Channels: 0, ChannelsPerConnection: 1,
		ChannelsPerAccount: 1, ChannelsPerAddress: 1, Names: 5, NamesPerChannel: 6, Backlog: 0,
	}
	wantLines(t, c.Validate(), []string{
		"stratum.limits.connections_per_address is 11: 1 to connections, 10, is accepted",
		"stratum.limits.handshakes_per_address is 0: 1 to connections_per_address, 11, is accepted",
		"stratum.limits.handshake_burst is -1: 1 to 2147483648 is accepted",
		"stratum.limits.open_burst is 4294967296: 1 to 2147483648",
		"stratum.limits.channels is 0: 1 to 2147483648",
		"stratum.limits.names_per_channel is 6: 1 to names, 5, is accepted",
		"stratum.limits.backlog is 0: 1 to",
		"stratum.limits.handshake_rate is 0: 0.001 to 1e9 a second",
		"stratum.limits.open_rate is 1e+10: 0.001 to 1e9 a second",
		"stratum.required_extensions: 0x0003: of [0x0002, 0x4857] is accepted",
	})
}
