package simtest_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/governor/simtest"
)

var (
	long    = flag.Bool("sim.long", false, "run the long simulation (make sim)")
	seconds = flag.Int("sim.seconds", 1_000_000, "simulated seconds of the long one, both halves together")
	workers = flag.Int("sim.workers", 10_000, "workers of the long one")
	budget  = flag.Duration("sim.budget", 90*time.Minute, "longest real time of the long one")
	audited = flag.Bool("sim.audit", false, "keep and verify the evidence log; four times as slow")
	into    = flag.String("sim.into", "", "page whose table of the simulation is rewritten")
)

// wall is the real time, which time.Now is not in a bubble.
func wall() time.Duration {
	var t syscall.Timeval
	if syscall.Gettimeofday(&t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// Ensure that the rules hold over ten days and more, in two halves beside each other.
func TestSim_LongStory(t *testing.T) {
	if !*long {
		t.Skip("make sim runs it")
	}
	began := wall()
	halves := make([]*simtest.Result, 2)
	var wg sync.WaitGroup
	for i := range halves {
		cfg := simtest.Short(uint64(101+i)+*seed, *workers, time.Duration(*seconds/2)*time.Second)
		cfg.Sites, cfg.FaultEvery, cfg.WideEvery = 4, 30*time.Minute, 12*time.Hour
		cfg.ValidFor, cfg.Every, cfg.Tick = 20*time.Minute, time.Minute, 4*time.Second
		if *audited {
			cfg.Audit = t.TempDir()
		}
		told := began
		cfg.Progress = func(at time.Duration, r *simtest.Result) bool {
			now := wall()
			if now-told > 15*time.Second {
				told = now
				fmt.Fprintf(os.Stderr, "%5.0f s of %v, half %d: %s\n",
					(now - began).Seconds(), *budget, i+1, r.Line())
			}
			return now-began < *budget
		}
		// Ends with its half.
		wg.Go(func() { t.Run(fmt.Sprint(i+1), func(t *testing.T) { halves[i] = simulate(t, cfg) }) })
	}
	wg.Wait()
	if halves[0] == nil || halves[1] == nil {
		t.FailNow()
	}
	took := (wall() - began).Round(time.Second)
	for _, r := range halves {
		if err := r.Err(); err != nil {
			t.Error(err)
		}
	}
	sum := halves[0]
	sum.Add(halves[1])
	text := fmt.Sprintf("Simulated %s on %d cores in %v, seeds %d and %d, %.0f of %d s, budget %v.\n\n",
		time.Unix(0, int64(wall())).UTC().Format("2006-01-02 15:04 UTC"), runtime.NumCPU(), took,
		101+*seed, 102+*seed, sum.Span.Seconds(), *seconds, *budget) + sum.Text()
	t.Log("\n" + text)
	if *into != "" {
		rewrite(t, *into, text)
	}
}

// rewrite replaces what is between the markers of a page.
func rewrite(t *testing.T, file, text string) {
	t.Helper()
	const begin = "<!-- begin of the simulation: make sim writes it -->\n"
	const end = "<!-- end of the simulation -->\n"
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := bytes.Cut(page, []byte(begin))
	_, tail, ok2 := bytes.Cut(rest, []byte(end))
	if !ok1 || !ok2 {
		t.Fatalf("page %s lacks the lines %sand %s", file, begin, end)
	}
	out := string(head) + begin + "\n" + text + "\n" + end + string(tail)
	if err := os.WriteFile(file, []byte(out), 0o644); err != nil { //nolint:gosec // a page of the repository
		t.Fatal(err)
	}
}
