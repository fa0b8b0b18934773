package main

import (
	"context"
	"errors"
	"time"
)

//nolint:revive // tags are one line
type demoCmd struct {
	For    time.Duration `help:"Run this long, then stop; without it until Ctrl-C." placeholder:"90s"`
	JSON   bool          `name:"json" help:"Print one JSON object of results at the end and nothing else on standard output."`
	Dir    string        `help:"Keep everything in this directory; without it in a temporary one." type:"path" placeholder:"DIR"`
	Btcd   string        `help:"A btcd program to use instead of building ours." type:"path" placeholder:"PATH"`
	Miners int           `help:"Simulated ASICs." default:"200"`
}

// Run runs the demo until the time is over or the context ends.
func (c *demoCmd) Run(context.Context, *env) error { return errors.New("not built in yet") }
