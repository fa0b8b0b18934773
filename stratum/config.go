package stratum

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/stratum/noise"
)

// Config bounds what peers may cost and sets the rhythm of shares and acknowledgements.
type Config struct {
	SharesPerMinute float64       // wanted of every channel
	OpeningShares   float64       // wanted a minute until a channel's hashrate is known; 0: as ever
	SharesPerSecond float64       // of all channels together: beyond, each gets less than it wants
	MinDifficulty   float64       // no channel gets easier work
	MaxDifficulty   float64       // no channel gets harder work, unless it insists
	AckEvery        int           // acknowledge after this many durable shares
	AckAfter        time.Duration // ... or after this long
	Gather          time.Duration // between two commits; the first after a pause begins at once

	MaxSessions        int           // connections at one time
	MaxPerAddress      int           // connections of one source address at one time
	MaxHandshakes      int           // ... of these, in the handshake
	HandshakeRate      float64       // ... and new ones a second, once HandshakeBurst are used up
	HandshakeBurst     int           // ... that may come at once
	OpenRate           float64       // channels that one address may ask for a second, after OpenBurst
	OpenBurst          int           // ... at once
	MaxBacklog         int           // bytes that wait for slow readers before they get less patience
	MaxChannels        int           // channels of one connection
	MaxAllChannels     int           // channels of all connections
	MaxAccountChannels int           // channels of one account
	MaxAddressChannels int           // channels from one source address
	MaxNames           int           // workers that shares of one channel may name (extension 0x0002)
	MaxAllNames        int           // of all channels
	HandshakeTimeout   time.Duration // from accept to the end of the Noise handshake
	OpenTimeout        time.Duration // without a channel; proxies may wait for their miners
	JobWithin          time.Duration // a V1 miner gets a job so often, as its firmware gives up silent pools
	DrainFor           time.Duration // Reconnect messages are spread over this at shutdown

	// Classes are what miners bear, by what their software calls itself.
	Classes pool.MinerClasses

	// RequiredExtensions are those that a connection must negotiate before it may mine; nil on a
	// port for everybody. What is not served here cannot be required.
	RequiredExtensions []uint16

	PowerReport  time.Duration // how often a device with the power extension reports
	PowerDeadMan time.Duration // declared in PowerHello.Ack: orders are refreshed more often
	ServerByte   byte          // first byte of every extranonce prefix: differs between servers of a pool
}

// DefaultConfig suits a site of thousands of ASICs on one machine.
func DefaultConfig() Config {
	return Config{
		SharesPerMinute:    12,
		OpeningShares:      150,
		SharesPerSecond:    20_000,
		MinDifficulty:      1,
		MaxDifficulty:      maxDifficulty,
		AckEvery:           16,
		AckAfter:           time.Second,
		Gather:             5 * time.Millisecond,
		MaxSessions:        50_000,
		MaxPerAddress:      20_000,
		MaxHandshakes:      10_000,
		HandshakeRate:      1000,
		HandshakeBurst:     20_000,
		OpenRate:           1000,
		OpenBurst:          200_000,
		MaxBacklog:         256 << 20,
		MaxChannels:        2_000,
		MaxAllChannels:     200_000,
		MaxAccountChannels: 100_000,
		MaxAddressChannels: 100_000,
		MaxNames:           4096,
		MaxAllNames:        200_000,
		HandshakeTimeout:   5 * time.Second,
		OpenTimeout:        60 * time.Second,
		JobWithin:          30 * time.Second,
		DrainFor:           2 * time.Second,
		PowerReport:        2 * time.Second,
		PowerDeadMan:       60 * time.Second,
		Classes:            pool.DefaultMinerClasses(),
	}
}

// Validate lists every fault at once.
func (c *Config) Validate() error {
	var errs []error
	must := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	c.checkDifficulty(must)
	if err := c.Classes.Validate(); err != nil {
		errs = append(errs, err)
	}
	must(c.HandshakeRate >= 0.001 && c.HandshakeRate <= 1e9,
		"handshakes per address and second are %v: 0.001 to 1e9 is accepted", c.HandshakeRate)
	must(c.OpenRate >= 0.001 && c.OpenRate <= 1e9,
		"channels asked for per address and second are %v: 0.001 to 1e9 is accepted", c.OpenRate)
	must(c.AckEvery >= 1 && c.AckEvery <= 10_000, "ack every is %d: 1 to 10000 is accepted", c.AckEvery)
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"ack after", c.AckAfter},
		{"handshake timeout", c.HandshakeTimeout},
		{"open timeout", c.OpenTimeout},
		{"job within", c.JobWithin},
		{"power report", c.PowerReport},
		{"power dead man", c.PowerDeadMan},
	} {
		must(d.d > 0 && d.d <= time.Hour, "%s is %v: above 0 to 1h is accepted", d.name, d.d)
	}
	must(c.Gather >= 0 && c.Gather <= 10*time.Millisecond, "gather is %v: 0 to 10ms is accepted", c.Gather)
	must(c.DrainFor >= 0 && c.DrainFor <= 10*time.Minute, "drain is %v: 0 to 10m is accepted", c.DrainFor)
	for _, n := range []struct {
		name string
		n    int
	}{
		{"sessions", c.MaxSessions},
		{"sessions per address", c.MaxPerAddress},
		{"handshakes per address", c.MaxHandshakes},
		{"handshakes per address at once", c.HandshakeBurst},
		{"channels asked for per address at once", c.OpenBurst},
		{"bytes of backlog", c.MaxBacklog},
		{"channels per session", c.MaxChannels},
		{"channels", c.MaxAllChannels},
		{"channels per account", c.MaxAccountChannels},
		{"channels per address", c.MaxAddressChannels},
		{"names per channel", c.MaxNames},
		{"names", c.MaxAllNames},
	} {
		must(n.n >= 1, "largest number of %s is %d: 1 or more is accepted", n.name, n.n)
	}
	for _, e := range c.RequiredExtensions {
		must(slices.Contains(served, e), "required extension 0x%04x: 0x%04x is accepted", e, served)
	}
	return errors.Join(errs...)
}

// maxDifficulty is 2^63 hashes a share: more would not fit the 64 bits that work is counted in.
const maxDifficulty = 1 << 31

func (c *Config) checkDifficulty(must func(ok bool, format string, args ...any)) {
	must(c.SharesPerMinute > 0 && c.SharesPerMinute <= 6000,
		"shares per minute is %v: above 0 to 6000 is accepted", c.SharesPerMinute)
	must(c.OpeningShares >= 0 && c.OpeningShares <= 6000,
		"opening shares is %v: 0 to 6000 is accepted", c.OpeningShares)
	must(c.SharesPerSecond >= 1 && c.SharesPerSecond <= 1e6,
		"shares per second is %v: 1 to 1000000 is accepted", c.SharesPerSecond)
	must(c.MinDifficulty > 0 && c.MinDifficulty <= maxDifficulty,
		"minimum difficulty is %v: above 0 to 2147483648 is accepted", c.MinDifficulty)
	must(c.MaxDifficulty >= c.MinDifficulty && c.MaxDifficulty <= maxDifficulty,
		"maximum difficulty is %v: the minimum, %v, to 2147483648 is accepted",
		c.MaxDifficulty, c.MinDifficulty)
}

// difficulty is what all channels share.
func (c *Config) difficulty() *pool.DifficultyConfig {
	return &pool.DifficultyConfig{
		SharesPerMinute: c.SharesPerMinute, OpeningShares: c.OpeningShares,
		Floor:   pool.TargetForHashes(c.MinDifficulty * 0x1p32),
		Ceiling: pool.TargetForHashes(c.MaxDifficulty * 0x1p32),
		Budget:  pool.NewShareBudget(c.SharesPerSecond),
	}
}

// shards is how many groups the sessions are split into: each has its own
// goroutines, so a broadcast uses every core.
func shards() int { return max(2, runtime.GOMAXPROCS(0)) }

// Device is what a miner says of itself in SetupConnection. Its strings are untrusted.
type Device struct {
	Vendor, Hardware, Firmware, ID string
	Address                        string
}

// roundsToPowers reports whether the device rounds difficulties above 1 to powers of two. The reference
// implementation's translator does, and what it rounds up is lost to its miners' credit.
func (d *Device) roundsToPowers() bool {
	return strings.EqualFold(d.Vendor, "SRI") && strings.Contains(strings.ToLower(d.Hardware), "translator")
}

// Authorizer decides whose work a channel does. Its error is told to the
// miner as unknown-user; the connection stays.
type Authorizer interface {
	Authorize(ctx context.Context, identity string, d Device) (pool.WorkerID, error)
}

// Crediter makes accepted work durable. After an error nothing of the batch is acknowledged and
// its sessions are closed.
type Crediter interface {
	Credit(ctx context.Context, credits []pool.Credit) error
}

// Submitter takes found blocks. It must not block: sending happens elsewhere.
type Submitter interface {
	SubmitBlock(ctx context.Context, b *pool.Block) error
}

// Rooms are the neighbours that a server talks to. All are needed.
type Rooms struct {
	Feed      *pool.Feed
	Assembler *pool.Assembler
	Registry  *fleet.Registry
	Authorize Authorizer
	Credit    Crediter
	Blocks    Submitter
	// Solo reads identities that say whom the coinbase pays; see pool.ParseSolo. It may be nil: then
	// nobody mines for himself.
	Solo func(identity string) (pool.Payout, pool.WorkerID, error)
	// Sessions signs the ids by which Stratum V1 miners come back to their extranonce; nil: the ids of
	// this server end with it.
	Sessions *pool.SessionKey
	// Identity is the certificate that a handshake starting now presents; it may be rotated.
	Identity func() *noise.Identity
}
