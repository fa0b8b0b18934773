package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/load"
	"github.com/hashlease/hashlease/stratum/stratumtest"
)

// loadCmd measures a pool under load.
type loadCmd struct {
	Pool      string `placeholder:"ADDR" help:"A pool on this machine; without it a server is started."`
	Authority string `placeholder:"KEY" help:"The authority key of the pool, or any."`
	PID       int    `name:"pid" placeholder:"PID" help:"The pool's process, to measure its CPU time."`

	Dialect     string        `default:"v2" enum:"v1,v2" help:"What the load speaks: v1 or v2."`
	Connections []int         `default:"1000" help:"Numbers of connections, each measured by itself."`
	Measure     []string      `placeholder:"WHAT" help:"Some of ${measures}; all if not given."`
	Rate        float64       `default:"5000" help:"Shares a second, over all connections."`
	For         time.Duration `default:"8s" help:"How long shares are measured."`
	Idle        time.Duration `default:"60s" help:"How long connections are idle before they are weighed."`
	Tips        int           `default:"5" help:"New tips; figures are their medians."`
	Stock       int           `default:"10000" help:"Handshake keys made ahead for a storm of reconnects."`
	Dir         string        `type:"existingdir" placeholder:"DIR" help:"For journals; else the system's."`
	Profile     bool          `help:"Tell where the server's time went; profiles and journals stay in --dir."`

	JSON bool   `help:"Print one JSON object, nothing for people."`
	Into string `type:"existingfile" placeholder:"FILE" help:"Also replace the table between FILE's markers."`
}

// Run measures and prints.
func (c *loadCmd) Run(ctx context.Context, e *env) error {
	cfg, err := c.config()
	if err != nil {
		return &usageError{err}
	}
	if err := cfg.Validate(); err != nil {
		return &usageError{err}
	}
	if !c.JSON {
		cfg.Progress = e.stderr
	}
	res, err := load.Run(ctx, cfg)
	if err != nil {
		return err
	}
	if c.Into != "" {
		if err := load.Rewrite(c.Into, &res); err != nil {
			return err
		}
	}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(&res)
	}
	_, err = fmt.Fprint(e.stdout, load.Text(&res))
	return err
}

// config turns the command line into a measurement.
func (c *loadCmd) config() (load.Config, error) {
	cfg := load.DefaultConfig()
	cfg.PID, cfg.Connections, cfg.Rate, cfg.For, cfg.Idle = c.PID, c.Connections, c.Rate, c.For, c.Idle
	if cfg.Dialect = c.Dialect; c.Dialect == load.DialectV1 {
		cfg.Measure = load.V1Measures()
	}
	cfg.Tips, cfg.Stock, cfg.Dir, cfg.Profile = c.Tips, c.Stock, c.Dir, c.Profile
	cfg.Command = strings.Join(append([]string{"hashsim"}, os.Args[1:]...), " ")
	if len(c.Measure) > 0 {
		cfg.Measure = c.Measure
	} else if c.Pool != "" {
		cfg.Measure = []string{load.MeasureShares}
		if c.Dialect == load.DialectV1 {
			cfg.Measure = append(cfg.Measure, load.MeasureDepth)
		}
	}
	if c.Pool != "" {
		var at stratumtest.Endpoint
		if err := (&siteCmd{Pool: c.Pool, Authority: c.Authority}).endpoint(&at); err != nil {
			return cfg, err
		}
		cfg.Pool, cfg.Authority = at.Address, at.Authority
		return cfg, nil
	}
	program, err := os.Executable()
	if err != nil {
		return cfg, fmt.Errorf("finding this program, to start it as the server: %w", err)
	}
	cfg.Spawn = func(ctx context.Context, t load.TargetConfig) *exec.Cmd {
		cmd := exec.CommandContext(ctx, program, "load-target", "--dir", t.Dir,
			"--stock", strconv.Itoa(t.Stock), "--ack-every", strconv.Itoa(t.AckEvery))
		cmd.Stderr = os.Stderr
		return cmd
	}
	return cfg, nil
}

// loadTargetCmd is the server that load measures, in a process of its own. It takes its orders from
// standard input.
type loadTargetCmd struct {
	Dir      string `required:"" type:"existingdir" help:"For journals."`
	Stock    int    `help:"Handshake keys made ahead."`
	AckEvery int    `default:"16" help:"Shares to an acknowledgement."`
}

// Run serves until standard input ends.
func (c *loadTargetCmd) Run(ctx context.Context, e *env) error {
	return load.Target(ctx, load.TargetConfig{
		Dir: c.Dir, Stock: c.Stock, AckEvery: c.AckEvery,
		Log: slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}, os.Stdin, e.stdout)
}
