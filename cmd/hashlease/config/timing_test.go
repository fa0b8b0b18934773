package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
	"github.com/hashlease/hashlease/stratum"
)

// Ensure that each time which a file names reaches the server, and that the others stay its own.
func TestTiming_ReachesTheServer(t *testing.T) {
	for key, change := range map[string]func(*stratum.Config){
		"":                              func(*stratum.Config) {},
		`ack_every = 1`:                 func(c *stratum.Config) { c.AckEvery = 1 },
		`ack_after = "250ms"`:           func(c *stratum.Config) { c.AckAfter = 250 * time.Millisecond },
		`handshake_timeout = "10s"`:     func(c *stratum.Config) { c.HandshakeTimeout = 10 * time.Second },
		`open_timeout = "5m"`:           func(c *stratum.Config) { c.OpenTimeout = 5 * time.Minute },
		`job_within = "1m"`:             func(c *stratum.Config) { c.JobWithin = time.Minute },
		`drain = "30s"`:                 func(c *stratum.Config) { c.DrainFor = 30 * time.Second },
		"ack_every = 7\ndrain = \"0s\"": func(c *stratum.Config) { c.AckEvery, c.DrainFor = 7, 0 },
	} {
		c, err := config.Decode("f.toml", []byte("[stratum]\nmin_difficulty = 1\n[stratum.timing]\n"+key))
		if err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		want := stratum.DefaultConfig()
		change(&want)
		if diff := cmp.Diff(want, c.Stratum.Server()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
	}
}

// Ensure that every time which cannot be is named with what is accepted, that the ends of what is accepted
// pass here and at the server, and that keys which are not there are not taken.
func TestTiming_NamesEveryFault(t *testing.T) {
	c := full()
	c.Stratum.Timing = config.Timing{}
	wantLines(t, c.Validate(), []string{
		"stratum.timing.ack_every is 0: 1 to 10000 is accepted",
		"stratum.timing.ack_after is 0s: 100ms to 1m is accepted",
		"stratum.timing.handshake_timeout is 0s: 1s to 1m is accepted",
		"stratum.timing.open_timeout is 0s: 5s to 1h is accepted",
		"stratum.timing.job_within is 0s: 5s to 10m is accepted",
	})
	long := config.Duration(time.Hour + 1)
	c.Stratum.Timing = config.Timing{
		AckEvery: 10_001, AckAfter: long, HandshakeTimeout: long, OpenTimeout: long,
		JobWithin: long, Drain: long,
	}
	wantLines(t, c.Validate(), []string{
		"stratum.timing.ack_every is 10001: 1 to", "stratum.timing.ack_after is 1h0m0.000000001s: ",
		"stratum.timing.handshake_timeout is", "stratum.timing.open_timeout is",
		"stratum.timing.job_within is",
		"stratum.timing.drain is 1h0m0.000000001s: 0s to 30s is accepted",
	})
	for name, times := range map[string]config.Timing{
		"shortest": {
			AckEvery: 1, AckAfter: config.Duration(100 * time.Millisecond),
			HandshakeTimeout: config.Duration(time.Second), OpenTimeout: config.Duration(5 * time.Second),
			JobWithin: config.Duration(5 * time.Second), Drain: 0,
		},
		"longest": {
			AckEvery: 10_000, AckAfter: config.Duration(time.Minute),
			HandshakeTimeout: config.Duration(time.Minute), OpenTimeout: config.Duration(time.Hour),
			JobWithin: config.Duration(10 * time.Minute), Drain: config.Duration(30 * time.Second),
		},
	} {
		c.Stratum.Timing = times
		server := c.Stratum.Server()
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := server.Validate(); err != nil {
			t.Errorf("%s: what the configuration accepts, the server does not: %v", name, err)
		}
	}
	const keys = "ack_every, ack_after, handshake_timeout, open_timeout, job_within, drain"
	for text, want := range map[string]string{
		"drain = 2":           "drain",
		`ack_after = "-1s"`:   `duration "-1s": a number with its unit is accepted`,
		`ack_afterwards = ""`: "accepted here: " + keys,
	} {
		_, err := config.Decode("f.toml", []byte("[stratum.timing]\n"+text))
		if err == nil || !strings.HasPrefix(err.Error(), "f.toml:2: ") ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}
