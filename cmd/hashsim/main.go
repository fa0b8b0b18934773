// Command hashsim is the other side of the wire: a simulated mining site (ASICs that speak real
// Stratum V1 and V2 and grind real SHA-256d at a declared scale, feeder meters over HTTP, tenants that draw
// what they lease), and what measures a pool.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/hashlease/hashlease/cmd/hashsim/load"
	"github.com/hashlease/hashlease/cmd/hashsim/shed"
)

const about = "Simulate what mines at a pool: a whole site over real Stratum."

// cli is the command line: each command is a struct with Run in a file of its own. Without a command's
// name the flags are those of site.
type cli struct {
	Site    siteCmd    `cmd:"" default:"withargs" help:"Simulate a site: ASICs, meters, tenants. Default."`
	Load    loadCmd    `cmd:"" help:"Measure a pool: shares, tips, memory, storms of reconnects."`
	Chaos   chaosCmd   `cmd:"" help:"Let peers of many kinds misbehave beside honest miners."`
	Shed    shedCmd    `cmd:"" help:"Measure how fast and how exactly a server frees power."`
	Poll    pollCmd    `cmd:"" help:"Measure what it costs a server to ask machines on their own interfaces."`
	Devices devicesCmd `cmd:"" help:"Serve an emulated machine of every vendor's interface on loopback."`

	LoadTarget loadTargetCmd `cmd:"" hidden:"" help:"The server that load measures."`
	ChaosHorde chaosHordeCmd `cmd:"" hidden:"" help:"The peers beside the honest ones of chaos."`
	Vardiff    vardiffCmd    `cmd:"" help:"Compare difficulty rules on statistical miners."`
}

// env is where a command prints.
type env struct {
	stdout, stderr io.Writer
}

// usageError is a wrong command line that a command found itself.
type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program: 0 after a clean end, 1 after a failure, 2 for a wrong command line.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	e := &env{stdout: stdout, stderr: stderr}
	failures := &printer{w: stderr}
	helped, status := false, 0
	command, err := parse(args, e,
		kong.BindTo(ctx, (*context.Context)(nil)),
		// --help prints and calls Exit, and parsing goes on: what it returns then does not matter.
		kong.Exit(func(code int) { helped, status = true, code }),
	)
	if helped {
		return status
	}
	if err != nil {
		failures.line("hashsim: %v", err)
		return 2
	}
	err = command.Run()
	if err == nil {
		return 0
	}
	failures.line("hashsim: %v", err)
	if _, usage := errors.AsType[*usageError](err); usage {
		return 2
	}
	return 1
}

// parse reads the command line.
func parse(args []string, e *env, options ...kong.Option) (*kong.Context, error) {
	parser, err := kong.New(&cli{}, append(options,
		kong.Name("hashsim"), kong.Description(about), kong.Writers(e.stdout, e.stderr), kong.Bind(e),
		kong.Vars{
			"measures": strings.Join(load.Measures(), ", "),
			"fleets": "What is curtailed: " + strings.Join(shed.Fleets(), ", ") +
				" (docs/hashsim.md says what each is made of).",
		},
	)...)
	if err != nil {
		return nil, err
	}
	return parser.Parse(args)
}
