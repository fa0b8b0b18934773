// Command sv2conform checks any Stratum V2 pool against the rules of the protocol, from outside. See
// docs/sv2-conformance.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/hashlease/hashlease/stratum/conformance"
	"github.com/hashlease/hashlease/stratum/noise"
)

const about = "Check a Stratum V2 pool, rule by rule. Exit 0: all rules that apply passed, 1: one failed, " +
	"2: the command line or the pool's control is wrong, or the pool cannot be reached."

// cli is the command line.
type cli struct {
	Pool string `arg:"" optional:"" help:"HOST:PORT or stratum2+tcp://HOST:PORT/AUTHORITY of the pool."`

	Authority string        `placeholder:"KEY" help:"The pool's authority key; without it, none is checked."`
	User      string        `default:"conformance.rig" help:"An account.worker that may open channels."`
	Rule      []string      `placeholder:"SV2-045,..." help:"Only these rules; SV2-04x is all of 040 to 049."`
	Control   string        `placeholder:"URL" help:"Where the pool can be steered, if it is made for tests."`
	Slow      bool          `help:"Sit out the pool's timeouts, which takes minutes."`
	Patience  time.Duration `default:"3s" help:"How long an answer may take."`
	Effort    float64       `default:"67108864" help:"Most hashes to grind for one share."`
	JSON      bool          `help:"Print one JSON object a rule."`
	List      bool          `help:"Print the rules and check nothing."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c cli
	if done, err := c.parse(args, stdout, stderr); done || err != nil {
		return fail(stderr, err)
	}
	p := &printer{w: stdout, json: c.JSON}
	if c.List {
		p.list(conformance.Rules())
		return fail(stderr, p.err)
	}
	pool, opts, err := c.config()
	if err != nil {
		return fail(stderr, err)
	}
	if err := reach(ctx, pool.Address, opts.Patience); err != nil {
		return fail(stderr, err)
	}
	opts.Result = p.result
	results, err := conformance.Run(ctx, pool, opts)
	if err != nil {
		return fail(stderr, err)
	}
	p.end(results)
	if p.err != nil {
		return fail(stderr, p.err)
	}
	if p.counts[conformance.Fail] > 0 {
		return 1
	}
	return 0
}

// reach connects once: a pool that is not there would fail every rule, each for the same reason.
func reach(ctx context.Context, address string, patience time.Duration) error {
	dialer := net.Dialer{Timeout: patience}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("reaching the pool: %w; HOST:PORT of a running Stratum V2 server is expected", err)
	}
	return conn.Close()
}

// fail is the exit code for an error.
func fail(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintf(stderr, "sv2conform: %v\n", err)
	return 2
}

// parse reads the command line; done says that there is nothing more to do.
func (c *cli) parse(args []string, stdout, stderr io.Writer) (done bool, err error) {
	parser, err := kong.New(c, kong.Name("sv2conform"), kong.Writers(stdout, stderr),
		kong.Description(about), kong.Exit(func(int) { done = true }))
	if err != nil {
		return false, err
	}
	_, err = parser.Parse(args)
	if done {
		return true, nil // help was printed
	}
	return false, err
}

// config is what the flags say.
func (c *cli) config() (conformance.Pool, conformance.Options, error) {
	pool := conformance.Pool{User: c.User, Control: c.Control}
	opts := conformance.Options{Slow: c.Slow, Patience: c.Patience, Effort: c.Effort}
	var ok bool
	pool.Address, ok = strings.CutPrefix(c.Pool, "stratum2+tcp://")
	if host, key, found := strings.Cut(pool.Address, "/"); ok && found {
		pool.Address = host
		if c.Authority == "" {
			c.Authority = key
		}
	}
	if pool.Address == "" {
		return pool, opts, errors.New("no pool: HOST:PORT is expected")
	}
	if c.Patience <= 0 || c.Effort < 1 {
		return pool, opts, errors.New("patience and effort must be above 0")
	}
	if c.Authority != "" {
		key, err := noise.ParsePublicKey(c.Authority)
		if err != nil {
			return pool, opts, fmt.Errorf("authority %q: %w", c.Authority, err)
		}
		pool.Authority = &key
	}
	var err error
	opts.Only, err = numbers(c.Rule)
	return pool, opts, err
}

// numbers are the rules that patterns name.
func numbers(patterns []string) (list []int, err error) {
	for _, pattern := range patterns {
		digits := strings.ToLower(strings.TrimPrefix(strings.ToUpper(pattern), "SV2-"))
		before := len(list)
		for _, r := range conformance.Rules() {
			if matches(fmt.Sprintf("%03d", r.Number), digits) {
				list = append(list, r.Number)
			}
		}
		if len(list) == before {
			return nil, fmt.Errorf("no rule %s: --list prints them all", strconv.Quote(pattern))
		}
	}
	return list, nil
}

// matches compares digits with a pattern in which x stands for any.
func matches(number, pattern string) bool {
	if len(number) != len(pattern) {
		return false
	}
	for i := range len(number) {
		if pattern[i] != 'x' && pattern[i] != number[i] {
			return false
		}
	}
	return true
}
