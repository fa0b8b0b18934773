package main

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/sim"
	"github.com/hashlease/hashlease/pool/unit"
)

// siteCmd simulates a mining site.
type siteCmd struct {
	Pool      string `placeholder:"ADDR" help:"HOST:PORT or stratum2+tcp://HOST:PORT/AUTHORITY to mine at."`
	Authority string `placeholder:"KEY" help:"The authority key of the pool, or any."`
	Config    string `placeholder:"FILE" type:"existingfile" help:"Simulate what a server's file describes."`

	Miners   int     `default:"200" help:"ASICs of the demonstration site (without --config), and Bitaxes."`
	Extended int     `help:"Every n-th ASIC opens an extended channel; 0: none does."`
	Dialect  string  `default:"mixed" enum:"v1,v2,mixed" help:"What ASICs speak: v1, v2, mixed (by vendor)."`
	Meters   string  `placeholder:"ADDR" help:"Where meters listen (127.0.0.1:9100, or as --config says)."`
	Class    float64 `default:"0.001" help:"Largest relative error of a meter."`
	Scale    float64 `help:"Hashes of a device for one that is really ground (4e10, or as --config says)."`
	Seed     uint64  `default:"1" help:"Of the meters' errors."`

	For     time.Duration `help:"End after this long; 0: when interrupted."`
	Every   time.Duration `default:"5s" help:"How often a line of progress is printed."`
	JSON    bool          `help:"Print one JSON object at the end, nothing for people."`
	Verbose bool          `short:"v" help:"Log what miners and tenants see to standard error."`

	Tenant tenantFlags `embed:"" prefix:"tenant-"`
}

// tenantFlags describe one tenant.
type tenantFlags struct {
	Name   string        `placeholder:"NAME" help:"A tenant with a meter on every feeder."`
	GRPC   string        `name:"grpc" placeholder:"ADDR" help:"The server's gRPC port, to follow its leases."`
	Key    string        `env:"HASHLEASE_KEY" placeholder:"KEY" help:"The tenant's API key."`
	CA     string        `name:"ca" placeholder:"FILE" help:"The server's authority, PEM, if not loopback."`
	Watts  unit.Watts    `default:"0" help:"Lease this much; 0: draw what others lease for it."`
	Site   string        `default:"north" help:"Where."`
	For    time.Duration `default:"60s" help:"How long a slot is."`
	Notice time.Duration `default:"15s" help:"How long before its start a slot is asked for."`
	Every  time.Duration `help:"Ask again this often; 0: once."`
}

// Run simulates the site until it is interrupted, or for --for.
func (c *siteCmd) Run(ctx context.Context, e *env) error {
	cfg, err := c.config(c.logger(e.stderr))
	if err != nil {
		return &usageError{err}
	}
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	return c.simulate(ctx, cfg, e.stdout)
}

// simulate runs the site, with progress, until the context ends.
func (c *siteCmd) simulate(ctx context.Context, cfg sim.Config, stdout io.Writer) error {
	s, err := sim.New(cfg)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // awaited below
	p := &printer{w: stdout, quiet: c.JSON}
	p.begin(s, cfg)
	tick := time.NewTicker(max(c.Every, 100*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.progress(s)
		case err := <-ended:
			if err != nil {
				return err
			}
			p.end(s)
			return p.err
		}
	}
}

// logger writes to w if asked to.
func (c *siteCmd) logger(w io.Writer) *slog.Logger {
	if !c.Verbose {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
