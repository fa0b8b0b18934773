package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/shed"
)

// pollCmd measures what it costs a server to ask machines on their own interfaces.
type pollCmd struct {
	Devices int           `default:"20000" help:"Simulated machines, which mine elsewhere."`
	Fleet   string        `default:"all" help:"Which machines: fast, antminer, mix or all, as in shed."`
	Shed    percent       `default:"10%" help:"Of their power, to be freed: who yields is asked more often."`
	Window  time.Duration `default:"1m" help:"Length of each of the two measurements."`

	Server string `type:"existingfile" placeholder:"FILE" help:"hashlease: beside this, in PATH, or built."`
	Btcd   string `type:"existingfile" placeholder:"FILE" help:"btcd; otherwise that of go.mod is built."`

	JSON bool `help:"Print one JSON object, nothing for people; progress is on standard error either way."`
}

// Run measures and prints. It fails if a goal is missed.
func (c *pollCmd) Run(ctx context.Context, e *env) (err error) {
	cfg := shed.PollConfig{Window: c.Window, Config: shed.Config{
		Devices: c.Devices, Fleet: c.Fleet, Shed: float64(c.Shed), Server: c.Server, Btcd: c.Btcd,
		Progress: e.stderr,
	}}
	if err := cfg.Validate(); err != nil {
		return &usageError{err}
	}
	if cfg.Dir, err = os.MkdirTemp("", "hashsim-poll-"); err != nil {
		return err
	}
	defer os.RemoveAll(cfg.Dir) //nolint:errcheck // a temporary directory
	if err := programs(ctx, e, &cfg.Config); err != nil {
		return err
	}
	res, err := shed.Poll(ctx, cfg)
	if err != nil {
		return err
	}
	if c.JSON {
		err = json.NewEncoder(e.stdout).Encode(res)
	} else {
		_, err = fmt.Fprint(e.stdout, shed.PollText(res))
	}
	if err == nil && len(res.Missed) > 0 {
		err = fmt.Errorf("%d goals were missed: %s", len(res.Missed), res.Missed[0])
	}
	return err
}
