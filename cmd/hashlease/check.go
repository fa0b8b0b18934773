package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
)

// Bounds of a check.
const (
	checkFor  = 10 * time.Second // for one thing that is tried
	checkSide = 16               // things tried at once
)

//nolint:revive // tags are one line
type checkCmd struct {
	Config string `help:"Configuration file; hashlease.toml if absent." default:"hashlease.toml" type:"path" placeholder:"FILE"`
	JSON   bool   `name:"json" help:"Print JSON for programs."`
}

// finding is what trying one thing showed.
type finding struct {
	What  string `json:"what"`
	OK    bool   `json:"ok"`
	Warn  bool   `json:"warn,omitempty"` // it works, but somebody must know
	Found string `json:"found"`
	Fix   string `json:"fix,omitempty"`
}

// probe tries one thing. It changes nothing.
type probe struct {
	what string
	try  func(ctx context.Context) (found string, err error)
}

// fixable is a failure together with what helps.
type fixable struct {
	error
	fix string
}

func (f *fixable) Unwrap() error { return f.error }

func fixf(err error, format string, args ...any) error {
	return &fixable{err, fmt.Sprintf(format, args...)}
}

// Run tries everything that the configuration names.
func (c *checkCmd) Run(ctx context.Context, e *env) error {
	findings, probes := c.plan()
	findings = append(findings, tryAll(ctx, probes)...)
	failed := 0
	for _, f := range findings {
		if !f.OK {
			failed++
		}
	}
	if err := printFindings(e, findings, c.JSON); err != nil {
		return err
	}
	if failed > 0 {
		e.notef("%d of %d failed.\n", failed, len(findings))
		return errReported
	}
	return nil
}

// plan reads the configuration: what is wrong with it already, and what is to be tried.
func (c *checkCmd) plan() ([]finding, []probe) {
	cfg, err := config.Read(c.Config)
	if err != nil {
		var out []finding
		for line := range strings.Lines(err.Error()) {
			out = append(out, finding{What: "configuration", Found: strings.TrimSpace(line)})
		}
		out[len(out)-1].Fix = "hashlease init writes one to start from"
		return out, nil
	}
	findings := []finding{{What: "configuration", OK: true, Found: c.Config}}
	if err := cfg.Validate(); err != nil {
		findings = nil
		for line := range strings.Lines(err.Error()) {
			if strings.HasPrefix(line, "payout:") {
				continue // has a probe of its own
			}
			findings = append(findings, finding{
				What: "configuration", Found: strings.TrimSpace(line), Fix: "edit " + c.Config,
			})
		}
	}
	findings = append(findings, warnings(&cfg)...)
	probes := []probe{
		{"configuration file", func(context.Context) (string, error) { return checkPrivate(c.Config) }},
		{"payout", func(context.Context) (string, error) { return checkPayout(&cfg) }},
		{"authority key", func(context.Context) (string, error) { return checkAuthority(&cfg) }},
		{"tls", func(context.Context) (string, error) { return checkTLS(&cfg, time.Now()) }},
		{"storage", func(context.Context) (string, error) { return checkStorage(&cfg) }},
	}
	probes = append(probes, portProbes(&cfg)...)
	probes = append(probes, nodeProbes(&cfg)...)
	probes = append(probes, priceProbes(&cfg)...)
	probes = append(probes, machineProbes(&cfg)...)
	return findings, append(probes, meterProbes(&cfg)...)
}

// tryAll runs the probes side by side and keeps their order.
func tryAll(ctx context.Context, probes []probe) []finding {
	out := make([]finding, len(probes))
	side := make(chan struct{}, checkSide)
	var wg sync.WaitGroup
	for i, p := range probes {
		side <- struct{}{}
		wg.Go(func() { // ends when the probe does, at its deadline at the latest
			defer func() { <-side }()
			ctx, cancel := context.WithTimeout(ctx, checkFor)
			defer cancel()
			out[i] = p.run(ctx)
		})
	}
	wg.Wait()
	return out
}

func (p probe) run(ctx context.Context) finding {
	found, err := p.try(ctx)
	if err == nil {
		return finding{What: p.what, OK: true, Found: found}
	}
	f := finding{What: p.what, Found: err.Error()}
	if known, ok := errors.AsType[*fixable](err); ok {
		f.Fix = known.fix
	}
	return f
}

func printFindings(e *env, findings []finding, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(e.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(findings)
	}
	t := newTable(e.stdout, "RESULT", "WHAT", "FOUND", "TO FIX IT")
	for _, f := range findings {
		result := "FAIL"
		switch {
		case f.Warn:
			result = "WARN"
		case f.OK:
			result = "OK"
		}
		t.row(result, f.What, f.Found, f.Fix)
	}
	return t.flush()
}
