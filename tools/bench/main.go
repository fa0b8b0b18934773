// Command bench runs the benchmarks that have goals, prints what they measured
// against them, and writes it as JSON lines for other programs.
//
// It asserts no speed: machines differ. It fails if a listed benchmark is missing or fails itself.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	o := options{stdout: os.Stdout, stderr: os.Stderr}
	flag.StringVar(&o.root, "root", ".", "directory of the module that is measured")
	flag.StringVar(&o.out, "out", "", "file for JSON lines")
	flag.StringVar(&o.benchtime, "benchtime", "0.5s", "time of one run, as go test takes it")
	flag.IntVar(&o.count, "count", 3, "runs of each; the median is taken")
	flag.Parse()
	if err := o.run(ctx, goals); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

type options struct {
	root, out, benchtime string
	count                int
	stdout, stderr       io.Writer
}

// result is one line of JSON.
type result struct {
	Name    string  `json:"name"`
	Value   float64 `json:"value"`
	Unit    string  `json:"unit"`
	Goal    float64 `json:"goal"`
	Better  string  `json:"better"` // "lower" or "higher"
	Command string  `json:"command"`
}

// met says whether the goal was reached.
func (r result) met() bool {
	if r.Better == "higher" {
		return r.Value >= r.Goal
	}
	return r.Value <= r.Goal
}

func (o *options) run(ctx context.Context, goals []goal) error {
	began := time.Now()
	var results []result
	for _, pkg := range packagesOf(goals) {
		mine := slices.DeleteFunc(slices.Clone(goals), func(g goal) bool { return g.pkg != pkg })
		args := o.args(pkg, mine)
		command := shell(args)
		fmt.Fprintln(o.stderr, command) //nolint:errcheck // progress
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir, cmd.Stderr = o.root, o.stderr
		output, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("measuring %s: %w\n%s", pkg, err, output)
		}
		rs, err := pick(parse(string(output)), mine, command)
		if err != nil {
			return fmt.Errorf("measuring %s: %w", pkg, err)
		}
		results = append(results, rs...)
	}
	if err := o.print(results); err != nil {
		return err
	}
	took := time.Since(began).Round(time.Second)
	fmt.Fprintf(o.stderr, "medians of %d runs, %v in all\n", o.count, took) //nolint:errcheck // progress
	return o.write(results)
}

// packagesOf are the packages with goals, in the order of the table.
func packagesOf(goals []goal) (pkgs []string) {
	for _, g := range goals {
		if !slices.Contains(pkgs, g.pkg) {
			pkgs = append(pkgs, g.pkg)
		}
	}
	return pkgs
}

// args runs all wanted benchmarks of one package.
func (o *options) args(pkg string, goals []goal) []string {
	var names []string
	for _, g := range goals {
		if top, _, _ := strings.Cut(g.bench, "/"); !slices.Contains(names, top) {
			names = append(names, top)
		}
	}
	return []string{
		"test", "-run=^$", "-bench=^(" + strings.Join(names, "|") + ")$", "-benchmem",
		"-benchtime=" + o.benchtime, fmt.Sprintf("-count=%d", o.count), pkg,
	}
}

// shell writes a go command as it can be pasted.
func shell(args []string) string {
	words := []string{"go"}
	for _, a := range args {
		if strings.ContainsAny(a, "^$()|") {
			a = "'" + a + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// pick takes the goals' values from what was measured.
func pick(measured map[string]map[string][]float64, goals []goal, command string) ([]result, error) {
	var out []result
	var missing []error
	for _, g := range goals {
		values := measured[g.bench][g.metric]
		if len(values) == 0 {
			missing = append(missing, fmt.Errorf("no benchmark %s gave %s", g.bench, g.metric))
			continue
		}
		slices.Sort(values)
		out = append(out, result{
			Name: g.name, Value: values[len(values)/2] * g.scale(), Unit: g.unit, Goal: g.goal,
			Better: g.better(), Command: command,
		})
	}
	return out, errors.Join(missing...)
}

func (o *options) print(results []result) error {
	var text strings.Builder
	text.WriteString("WHAT\tMEASURED\tGOAL\tUNIT\tMET\t\n")
	for _, r := range results {
		bound, met := "<=", "yes"
		if r.Better == "higher" {
			bound = ">="
		}
		if !r.met() {
			met = "no"
		}
		fmt.Fprintf(&text, "%s\t%s\t%s %s\t%s\t%s\t\n",
			r.Name, number(r.Value), bound, number(r.Goal), r.Unit, met)
	}
	w := tabwriter.NewWriter(o.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	if _, err := io.WriteString(w, text.String()); err != nil {
		return err
	}
	return w.Flush()
}

// number writes three digits or more, without an exponent.
func number(f float64) string {
	switch {
	case f == 0 || f >= 100:
		return fmt.Sprintf("%.0f", f)
	case f >= 10:
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.3f", f)
}

func (o *options) write(results []result) error {
	if o.out == "" {
		return nil
	}
	f, err := os.Create(o.out)
	if err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	enc := json.NewEncoder(f)
	for _, r := range results {
		if err = enc.Encode(r); err != nil {
			break
		}
	}
	return errors.Join(err, f.Close())
}
