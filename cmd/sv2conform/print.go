package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/hashlease/hashlease/stratum/conformance"
)

// printer writes results as they come.
type printer struct {
	w      io.Writer
	json   bool
	counts map[conformance.Status]int
	err    error // first failed write
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// object is a rule or a result for programs.
type object struct {
	Rule     string             `json:"rule"`
	Mark     conformance.Mark   `json:"mark"`
	Sentence string             `json:"sentence"`
	Source   string             `json:"source"`
	Status   conformance.Status `json:"status,omitempty"`
	Detail   string             `json:"detail,omitempty"`
	Took     *float64           `json:"took_ms,omitempty"`
}

func (p *printer) object(o object) {
	b, err := json.Marshal(o)
	if err != nil {
		p.err = err
		return
	}
	p.line("%s", b)
}

// result prints one line as soon as a rule is through.
func (p *printer) result(r conformance.Result) {
	if p.counts == nil {
		p.counts = map[conformance.Status]int{}
	}
	p.counts[r.Status]++
	took := float64(r.Took.Microseconds()) / 1000
	if p.json {
		p.object(object{
			r.Rule.ID(), r.Rule.Mark, r.Rule.Sentence, r.Rule.Source, r.Status, r.Detail, &took,
		})
		return
	}
	p.line("%s  %-4s  %-6s  %s   %.0f ms", r.Rule.ID(), r.Status, r.Rule.Mark, r.Rule.Sentence, took)
	if r.Detail != "" && r.Status != conformance.Pass {
		p.line("               %s", r.Detail)
	}
}

// end prints the sum.
func (p *printer) end(results []conformance.Result) {
	if p.json {
		return
	}
	p.line("\n%d rules: %d passed, %d failed, %d do not apply", len(results),
		p.counts[conformance.Pass], p.counts[conformance.Fail], p.counts[conformance.NotApplicable])
	for _, r := range results {
		if r.Status == conformance.Fail {
			p.line("failed: %s %s: %s", r.Rule.ID(), r.Rule.Sentence, r.Detail)
		}
	}
}

// list prints what there is.
func (p *printer) list(rules []*conformance.Rule) {
	for _, r := range rules {
		if p.json {
			p.object(object{Rule: r.ID(), Mark: r.Mark, Sentence: r.Sentence, Source: r.Source})
			continue
		}
		p.line("%s  %-6s  %s  (%s)", r.ID(), r.Mark, r.Sentence, r.Source)
	}
}
