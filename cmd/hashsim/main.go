// Command hashsim is a simulated mining site: ASICs that speak real Stratum V2 and grind real
// SHA-256d at a declared scale, feeder meters over HTTP, tenants that draw what they lease.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/hashlease/hashlease/cmd/hashsim/sim"
	"github.com/hashlease/hashlease/pool/unit"
)

// cli is the command line.
type cli struct {
	Pool      string        `help:"Pool to mine at, HOST:PORT or stratum2+tcp://HOST:PORT/AUTHORITY." placeholder:"ADDR"`
	Authority string        `help:"The pool's authority key; without one any server is accepted." placeholder:"KEY"`
	Config    string        `help:"Take pool, feeders, workers, meters and scale from a server's configuration file." type:"existingfile" placeholder:"FILE"`
	Miners    int           `help:"Number of ASICs of the demonstration site (without --config)." default:"200"`
	Extended  int           `help:"Let every n-th ASIC open an extended channel; 0 lets none."`
	Meters    string        `help:"Where the meters listen, HOST:PORT (default: what --config says, or 127.0.0.1:9100)." placeholder:"ADDR"`
	Class     float64       `help:"Largest relative error of a meter." default:"0.001"`
	Scale     float64       `help:"Hashes of a device for one that is really ground (default: what --config says, or 4e10)."`
	Seed      uint64        `help:"Of the meters' errors." default:"1"`
	For       time.Duration `help:"End after this long; 0 runs until interrupted."`
	Every     time.Duration `help:"How often a line of progress is printed." default:"5s"`
	JSON      bool          `help:"Print one JSON object at the end in place of lines for people."`
	Verbose   bool          `help:"Log what miners and tenants see to standard error." short:"v"`
	Tenant    tenantFlags   `embed:"" prefix:"tenant-"`
}

type tenantFlags struct {
	Name   string        `help:"A tenant with a meter on every feeder." placeholder:"NAME"`
	GRPC   string        `name:"grpc" help:"The server's gRPC port, where the tenant follows its leases." placeholder:"ADDR"`
	Key    string        `help:"The tenant's API key." env:"HASHLEASE_KEY" placeholder:"KEY"`
	CA     string        `name:"ca" help:"The server's authority in PEM; without it plaintext, to loopback only." placeholder:"FILE"`
	Watts  unit.Watts    `help:"Lease this much (0: only draw what others lease for the tenant)." default:"0"`
	Site   string        `help:"Where." default:"north"`
	For    time.Duration `help:"How long a slot is." default:"60s"`
	Notice time.Duration `help:"How long before its start it is asked for." default:"15s"`
	Every  time.Duration `help:"Ask again this often; 0 asks once."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program: 0 after a clean end, 1 after a failure, 2 for a wrong command line.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c cli
	parser, err := kong.New(&c, kong.Name("hashsim"), kong.Writers(stdout, stderr),
		kong.Description("Simulate a mining site: real Stratum V2, real SHA-256d at a declared scale, real meters over HTTP."))
	if err == nil {
		_, err = parser.Parse(args)
	}
	var cfg sim.Config
	if err == nil {
		cfg, err = c.config(stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "hashsim:", err)
		return 2
	}
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	if err := c.simulate(ctx, cfg, stdout); err != nil {
		fmt.Fprintln(stderr, "hashsim:", err)
		return 1
	}
	return 0
}

// simulate runs the site, with progress, until the context ends.
func (c *cli) simulate(ctx context.Context, cfg sim.Config, stdout io.Writer) error {
	s, err := sim.New(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // awaited below
	if !c.JSON {
		c.begin(stdout, s, cfg)
	}
	tick := time.NewTicker(max(c.Every, 100*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if !c.JSON {
				progress(stdout, s)
			}
		case err := <-ended:
			if err == nil || errors.Is(err, context.Canceled) {
				return c.end(stdout, s)
			}
			return err
		}
	}
}

func (c *cli) begin(w io.Writer, s *sim.Sim, cfg sim.Config) {
	full := 200 * unit.TeraHash
	fmt.Fprintf(w, "%d ASICs on %d feeders, mining at %s\n", len(cfg.Plan.Workers), len(s.Truth().Feeders), cfg.Pool.Address)
	fmt.Fprintf(w, "scale 1 : %.3g (a device of %v really grinds %v)\n", s.Scale(), full, full/unit.Hashrate(s.Scale()))
	fmt.Fprintf(w, "meters  http://%s/v1/meters/FEEDER/{total,mining,base,tenant/NAME}, truth at /v1/truth\n\n", s.Addr())
	fmt.Fprintf(w, "%8s %7s %10s %10s %9s %9s %8s %6s  %s\n",
		"time", "mining", "hashrate", "power", "submitted", "acked", "rejected", "blocks", "feeders, % of limit")
}

func progress(w io.Writer, s *sim.Sim) {
	st, truth := s.Stats(), s.Truth()
	var rejected uint64
	for _, n := range st.Rejected {
		rejected += n
	}
	load := ""
	for _, f := range truth.Feeders {
		load += fmt.Sprintf(" %.1f", 100*f.Watts/float64(f.Limit))
	}
	fmt.Fprintf(w, "%7.0fs %3d/%3d %10v %10v %9d %9d %8d %6d %s\n", truth.Seconds, st.Mining, st.Miners,
		st.Hashrate, st.Watts, st.Submitted, st.Acked, rejected, st.Blocks, load)
}

// Result is what --json prints.
type Result struct {
	Scale  float64           `json:"scale"`
	Fleet  sim.Stats         `json:"fleet"`
	Truth  sim.Truth         `json:"truth"`
	Leases []sim.LeaseReport `json:"leases"`
}

func (c *cli) end(w io.Writer, s *sim.Sim) error {
	truth := s.Truth()
	if c.JSON {
		return json.NewEncoder(w).Encode(Result{s.Scale(), s.Stats(), truth, s.Leases()})
	}
	progress(w, s)
	fmt.Fprintf(w, "\n%-10s %10s %10s %12s %10s\n", "feeder", "limit", "highest", "over limit", "energy")
	for _, f := range truth.Feeders {
		fmt.Fprintf(w, "%-10s %10v %10v %10.2f s %10v\n",
			f.Feeder, f.Limit, unit.Watts(f.MaxWatts), f.SecondsOverLimit, unit.Joules(f.Energy))
	}
	for _, l := range s.Leases() {
		fmt.Fprintf(w, "lease %s %v: %s, %.1f s from start to ACTIVE\n", l.Name, l.Watts, l.State, l.ToActive)
	}
	return nil
}

// logger writes to w if asked to.
func (c *cli) logger(w io.Writer) *slog.Logger {
	if !c.Verbose {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
