package load

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hashlease/hashlease/stratum/noise"
)

// The measurements, in the order in which they are made.
const (
	MeasureMemory   = "memory"   // resident bytes of an idle connection
	MeasureTip      = "tip"      // a new tip to every connection
	MeasureBlock    = "block"    // a block of ours to everybody on the next height
	MeasureShares   = "shares"   // what a share costs at a fixed rate
	MeasureExtended = "extended" // the same on extended channels, and at four times the rate
	MeasureStorm    = "storm"    // reconnects at once, with a stock of handshake keys and without
	MeasureKnee     = "knee"     // the highest rate, with acknowledgements in batches and one by one
	MeasureChannels = "channels" // resident bytes of a further channel, and tips to many channels
)

// Measures are all of Stratum V2's.
func Measures() []string {
	return []string{
		MeasureMemory, MeasureTip, MeasureBlock, MeasureShares, MeasureExtended, MeasureStorm, MeasureKnee,
		MeasureChannels,
	}
}

// Config says what to measure.
type Config struct {
	Pool      string           // address of a pool that runs already; empty: start one
	Authority *noise.PublicKey // of that pool, nil: any
	PID       int              // of that pool, if it is on this machine: its CPU is measured; 0: it is not
	Spawn     Spawner          // needed without Pool
	Dir       string           // for journals and profiles; it must exist

	Dialect     string   // DialectV1 or DialectV2
	Connections []int    // each is a row of measurements
	Measure     []string // of Measures, as far as the dialect has them
	Rate        float64  // shares a second
	For         time.Duration
	Idle        time.Duration // wait before idle connections are weighed
	Tips        int
	Ladder      []float64 // rates that are tried to find the knee, rising
	Stock       int       // handshake keys made ahead for a storm
	Proxies     []Proxies // shapes whose channels are weighed
	Profile     bool      // of the server, into Dir

	Command  string    // told in the result
	Progress io.Writer // a line for each step; nil: silence

	profiles *[]Profile // where Run keeps those that it made
}

// Proxies are connections with many channels.
type Proxies struct {
	Connections int `json:"connections"`
	Channels    int `json:"channels_per_connection"` // 3 or more
}

// DefaultConfig is the size of one good site.
func DefaultConfig() Config {
	return Config{
		Dialect: DialectV2, Connections: []int{1000}, Measure: Measures(), Rate: 5000, For: 8 * time.Second,
		Idle: 60 * time.Second, Tips: 5, Stock: 10_000,
		Ladder: []float64{
			5_000, 10_000, 15_000, 20_000, 25_000, 30_000, 40_000, 50_000, 60_000, 80_000, 100_000,
		},
		Proxies: []Proxies{{100, 100}, {1, 1000}},
	}
}

const (
	maxConnections = 28_000 // ports of one address
	maxRate        = 200_000
)

// Validate lists every fault.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(len(c.Connections) > 0, "no number of connections: 1 to %d is accepted", maxConnections)
	for _, n := range c.Connections {
		check(n >= 1 && n <= maxConnections, "connections is %d: 1 to %d is accepted", n, maxConnections)
	}
	check(c.Dialect == DialectV1 || c.Dialect == DialectV2, "dialect %q: v1 or v2 is accepted", c.Dialect)
	errs = append(errs, c.validateMeasures())
	check(c.Rate > 0 && c.Rate <= maxRate, "rate is %v: above 0 to %v is accepted", c.Rate, float64(maxRate))
	errs = append(errs, c.validateShapes())
	check(c.For >= 100*time.Millisecond && c.For <= time.Hour, "for is %v: 100ms to 1h is accepted", c.For)
	check(c.Idle >= 0 && c.Idle <= time.Hour, "idle is %v: 0 to 1h is accepted", c.Idle)
	check(c.Tips >= 1 && c.Tips <= 1000, "tips is %d: 1 to 1000 is accepted", c.Tips)
	check(c.Stock >= 0 && c.Stock <= 1e6, "stock is %d: 0 to 1000000 is accepted", c.Stock)
	check(c.Pool != "" || c.PID == 0, "pid is %d without a pool", c.PID)
	check(c.Pool == "" || loopback(c.Pool),
		"pool %q: HOST:PORT of this machine is accepted, for load is not for others' pools", c.Pool)
	return errors.Join(errs...)
}

func (c *Config) validateMeasures() error {
	known := Measures()
	if c.Dialect == DialectV1 {
		known = V1Measures()
	}
	all := strings.Join(known, ", ")
	if len(c.Measure) == 0 {
		return fmt.Errorf("no measurement: %s are accepted", all)
	}
	var errs []error
	for _, m := range c.Measure {
		switch {
		case !slices.Contains(known, m):
			errs = append(errs, fmt.Errorf("measurement %q: %s are accepted", m, all))
		case c.Pool != "" && m != MeasureShares && m != MeasureKnee && m != MeasureDepth:
			errs = append(errs, fmt.Errorf("measurement %q needs a server of its own: with a pool %s, %s "+
				"and %s are accepted", m, MeasureShares, MeasureKnee, MeasureDepth))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) validateShapes() error {
	var errs []error
	must := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	must(slices.IsSorted(c.Ladder), "ladder is %v: rising rates are accepted", c.Ladder)
	for _, rate := range c.Ladder {
		must(rate > 0 && rate <= maxRate, "ladder has %v: above 0 to %v is accepted", rate, float64(maxRate))
	}
	for _, p := range c.Proxies {
		must(p.Connections >= 1 && p.Connections <= maxConnections && p.Channels >= 3 && p.Channels <= 2000,
			"proxies are %+v: 1 to %d connections of 3 to 2000 channels are accepted", p, maxConnections)
	}
	return errors.Join(errs...)
}

// settle is how long shares come before they count.
func (c *Config) settle() time.Duration { return min(c.For, 2*time.Second) }

// loopback reports whether an address is on this machine without a look at the network.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (c *Config) has(measure string) bool { return slices.Contains(c.Measure, measure) }
