package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/chaos"
	"github.com/hashlease/hashlease/stratum/stratumtest"
)

// chaosCmd lets peers misbehave beside honest ones.
type chaosCmd struct {
	Pool      string `placeholder:"ADDR" help:"A pool on this machine; without it a server is started."`
	Authority string `placeholder:"KEY" help:"The authority key of the pool, or any."`
	PID       int    `name:"pid" placeholder:"PID" help:"The pool's process, to measure its CPU and memory."`

	Honest  int           `default:"1000" help:"Miners."`
	Hostile int           `default:"1000" help:"Peers that misbehave; as many are idle in the control."`
	Rate    int           `default:"200" help:"Frames a second of each peer that floods."`
	For     time.Duration `default:"20s" help:"How long each of the two phases is measured."`
	Dir     string        `type:"existingdir" placeholder:"DIR" help:"For journals: the system's default."`

	Nice int `default:"0" help:"Priority of the idle or hostile peers' process: 0 (equal) to 19 (lowest)."`

	JSON bool `help:"Print one JSON object, nothing for people."`
}

// Run measures and prints. It fails if an honest peer lost its connection or an answer.
func (c *chaosCmd) Run(ctx context.Context, e *env) error {
	cfg := chaos.Config{
		PID: c.PID, Dir: c.Dir, Honest: c.Honest, Hostile: c.Hostile, Rate: c.Rate, For: c.For,
		Nice: c.Nice,
	}
	if c.Pool != "" {
		var at stratumtest.Endpoint
		if err := (&siteCmd{Pool: c.Pool, Authority: c.Authority}).endpoint(&at); err != nil {
			return &usageError{err}
		}
		cfg.Pool, cfg.Authority = at.Address, at.Authority
	}
	if err := cfg.Validate(); err != nil {
		return &usageError{err}
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program, to start it as the server: %w", err)
	}
	cfg.Spawn = func(ctx context.Context, dir string) *exec.Cmd {
		// Each share is acknowledged by itself: how long a batch gathers would hide who waits.
		cmd := exec.CommandContext(ctx, program, "load-target",
			"--dir", dir, "--stock", "10000", "--ack-every", "1")
		cmd.Stderr = e.stderr
		return cmd
	}
	cfg.SpawnHorde = func(ctx context.Context, h chaos.HordeConfig) *exec.Cmd {
		cmd := exec.CommandContext(ctx, program, "chaos-horde", "--address", h.Address,
			"--peers", strconv.Itoa(h.Peers), "--rate", strconv.Itoa(h.Rate),
			fmt.Sprintf("--idle=%t", h.Idle))
		cmd.Stderr = e.stderr
		return cmd
	}
	if !c.JSON {
		cfg.Progress = e.stderr
	}
	res, err := chaos.Run(ctx, cfg)
	if err != nil {
		return err
	}
	if c.JSON {
		err = json.NewEncoder(e.stdout).Encode(&res)
	} else {
		_, err = fmt.Fprint(e.stdout, chaos.Text(&res))
	}
	if err == nil && len(res.Failures) > 0 {
		err = fmt.Errorf("%d goals on counts were missed: %s", len(res.Failures), res.Failures[0])
	}
	return err
}

// chaosHordeCmd is the idle or hostile peers of chaos, in a process of their own, which ends with
// standard input.
type chaosHordeCmd struct {
	Address string `required:"" help:"Of the pool."`
	Peers   int    `required:"" help:"How many."`
	Rate    int    `required:"" help:"Frames a second of each that floods."`
	Idle    bool   `help:"They behave."`
}

// Run lets them come.
func (c *chaosHordeCmd) Run(ctx context.Context, e *env) error {
	return chaos.Horde(ctx, chaos.HordeConfig{
		Address: c.Address, Peers: c.Peers, Rate: c.Rate, Idle: c.Idle,
	}, os.Stdin, e.stdout)
}
