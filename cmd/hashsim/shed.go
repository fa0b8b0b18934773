package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/shed"
	"github.com/hashlease/hashlease/pool/node"
)

// shedCmd measures how fast a server frees power.
type shedCmd struct {
	Devices int     `default:"2000" help:"Simulated machines that mine over Stratum."`
	Shed    percent `default:"20%" help:"What is to be freed, of mining's power."`
	Fleet   string  `default:"in-band" help:"${fleets}"`
	Faulty  percent `default:"0%" help:"Machines that are deaf, mute, lie, or report wrong watts."`

	KillServer bool `help:"kill -9 in the middle, and start again."`
	NoGovernor bool `help:"Feeders only observe, or the server is gone at a blip: the check must fail."`
	Blip       bool `help:"In place of an order: a tenant is on, and every machine loses its power at once."`

	Hold   time.Duration `placeholder:"45s" help:"How long the order lasts; the fleet's own time without."`
	Return time.Duration `placeholder:"3m" help:"Longest wait for the power to be drawn again; likewise."`
	Table  bool          `help:"Wait until every machine is back, for the times of each firmware."`

	Server string `type:"existingfile" placeholder:"FILE" help:"hashlease: beside this, in PATH, or built."`
	Btcd   string `type:"existingfile" placeholder:"FILE" help:"btcd; otherwise that of go.mod is built."`
	Dir    string `type:"existingdir" placeholder:"DIR" help:"Keep everything here, not in a temporary one."`

	JSON bool `help:"Print one JSON object, nothing for people; progress is on standard error either way."`
}

// percent is a share that is written as "20%".
type percent float64

// UnmarshalText reads a number with a percent sign.
func (p *percent) UnmarshalText(b []byte) error {
	digits, ok := strings.CutSuffix(string(b), "%")
	v, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil {
		return fmt.Errorf("share %q: a number with %% is accepted, as 20%%", b)
	}
	*p = percent(v / 100)
	return nil
}

// Run measures and prints. It fails if a goal is missed.
func (c *shedCmd) Run(ctx context.Context, e *env) (err error) {
	cfg := (shed.Config{
		Devices: c.Devices, Shed: float64(c.Shed), Fleet: c.Fleet, Faulty: float64(c.Faulty),
		KillServer: c.KillServer, NoGovernor: c.NoGovernor, Hold: c.Hold, Return: c.Return,
		Blip: c.Blip, Table: c.Table, Server: c.Server, Btcd: c.Btcd, Dir: c.Dir, Progress: e.stderr,
	}).WithFleet()
	if err := cfg.Validate(); err != nil {
		return &usageError{err}
	}
	if cfg.Dir == "" {
		if cfg.Dir, err = os.MkdirTemp("", "hashsim-shed-"); err != nil {
			return err
		}
		defer os.RemoveAll(cfg.Dir) //nolint:errcheck // a temporary directory
	}
	if err := programs(ctx, e, &cfg); err != nil {
		return err
	}
	res, err := shed.Run(ctx, cfg)
	if err != nil {
		return err
	}
	if c.JSON {
		err = json.NewEncoder(e.stdout).Encode(res)
	} else {
		_, err = fmt.Fprint(e.stdout, shed.Text(res))
	}
	if err == nil && len(res.Missed) > 0 {
		err = fmt.Errorf("%d goals were missed: %s", len(res.Missed), res.Missed[0])
	}
	return err
}

// programs finds or builds what is measured and what it needs.
func programs(ctx context.Context, e *env, cfg *shed.Config) (err error) {
	progress := &printer{w: e.stderr}
	if cfg.Btcd == "" {
		if cfg.Btcd, err = node.BuildBtcd(ctx, func(s string) { progress.line("%s", s) }); err != nil {
			return fmt.Errorf("building btcd (--btcd FILE takes one that is there): %w", err)
		}
	}
	if cfg.Server != "" {
		return nil
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "hashlease")
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
			cfg.Server = beside
			return nil
		}
	}
	if path, err := exec.LookPath("hashlease"); err == nil {
		cfg.Server = path
		return nil
	}
	progress.line("building hashlease")
	cfg.Server = filepath.Join(cfg.Dir, "hashlease")
	build := exec.CommandContext(ctx, "go", "build", "-o", cfg.Server,
		"github.com/hashlease/hashlease/cmd/hashlease")
	if out, err := build.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("building hashlease (--server FILE takes one that is there): %w", err),
			errors.New(string(out)))
	}
	return nil
}
