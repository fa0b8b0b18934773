package config

import (
	"time"

	"github.com/hashlease/hashlease/stratum"
)

// Timing is the rhythm of what the server says, and how long it waits for peers.
type Timing struct {
	AckEvery         int      `toml:"ack_every"`         // shares of a V2 channel in one message
	AckAfter         Duration `toml:"ack_after"`         // ... at the latest
	HandshakeTimeout Duration `toml:"handshake_timeout"` // for Noise, TLS and PROXY headers, each
	OpenTimeout      Duration `toml:"open_timeout"`      // of a device without a channel
	JobWithin        Duration `toml:"job_within"`        // V1 miners hear of a job so often
	Drain            Duration `toml:"drain"`             // miners are sent away over this
}

// defaultTiming is the server's own.
func defaultTiming() Timing {
	c := stratum.DefaultConfig()
	return Timing{
		AckEvery: c.AckEvery, AckAfter: Duration(c.AckAfter),
		HandshakeTimeout: Duration(c.HandshakeTimeout), OpenTimeout: Duration(c.OpenTimeout),
		JobWithin: Duration(c.JobWithin), Drain: Duration(c.DrainFor),
	}
}

// apply gives the times to the server.
func (t *Timing) apply(c *stratum.Config) {
	c.AckEvery, c.AckAfter = t.AckEvery, time.Duration(t.AckAfter)
	c.HandshakeTimeout, c.OpenTimeout = time.Duration(t.HandshakeTimeout), time.Duration(t.OpenTimeout)
	c.JobWithin, c.DrainFor = time.Duration(t.JobWithin), time.Duration(t.Drain)
}

// mostAckEvery is how many shares may wait for one message: more would wait for ack_after anyway.
const mostAckEvery = 10_000

// timing checks how long things take. Below the least of each, honest miners would suffer: acknowledgements
// are looked after every 100 ms, jobs every second, and half a world is a third of a second away.
func (v *validation) timing(t *Timing) {
	if t.AckEvery < 1 || t.AckEvery > mostAckEvery {
		v.faultf("stratum.timing.ack_every is %d: 1 to %d is accepted", t.AckEvery, mostAckEvery)
	}
	for _, d := range []struct {
		key         string
		d           Duration
		least, most time.Duration
	}{
		{"ack_after", t.AckAfter, 100 * time.Millisecond, time.Minute},
		{"handshake_timeout", t.HandshakeTimeout, time.Second, time.Minute},
		{"open_timeout", t.OpenTimeout, 5 * time.Second, time.Hour},
		{"job_within", t.JobWithin, 5 * time.Second, 10 * time.Minute},
		{"drain", t.Drain, 0, 30 * time.Second}, // of the 60 s that a service manager waits
	} {
		if got := time.Duration(d.d); got < d.least || got > d.most {
			v.faultf("stratum.timing.%s is %v: %v to %v is accepted",
				d.key, d.d, Duration(d.least), Duration(d.most))
		}
	}
}
