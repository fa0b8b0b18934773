package conformance

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashlease/hashlease/stratum/noise"
)

// Pool is where the pool under test is.
type Pool struct {
	Address   string           // host and port
	Authority *noise.PublicKey // nil: any, and rules about the certificate do not apply
	User      string           // an identity that may open channels
	Control   string           // URL of its control; "" if it has none
}

// Options say how to run.
type Options struct {
	Only     []int         // numbers of the rules to run; all if empty
	Slow     bool          // sit out timeouts of the pool however long they are
	Patience time.Duration // how long an answer may take; 0: 3 s
	Parallel int           // rules at one time; 0: 8
	Effort   float64       // most hashes for one share; 0: 2^26
	Result   func(Result)  // called with each result as it is known, one at a time
}

// Status is how a rule fared.
type Status string

// The statuses.
const (
	Pass          Status = "pass"
	Fail          Status = "fail"
	NotApplicable Status = "n/a"
)

// Result is what became of a rule.
type Result struct {
	Rule   *Rule
	Status Status
	Detail string // what was expected and what came, or why the rule does not apply
	Took   time.Duration
}

// shortWait is the longest timeout of a pool that is sat out without being asked to.
const shortWait = 3 * time.Second

// assumed are timeouts of a pool that has no control: long enough for any, and sat out only on request.
var assumed = map[string]time.Duration{
	WaitHandshake: 30 * time.Second, WaitOpen: 2 * time.Minute, WaitAck: time.Minute,
}

// run is one run over a pool.
type run struct {
	pool    Pool
	opts    Options
	control *Control
	passive []*Rule // those with a Frame

	mu     sync.Mutex
	frames int            // guarded by mu: seen
	broken map[int]string // guarded by mu: first fault of a Frame rule, by number
}

// Run checks the rules and returns their results by number. The error is about the run itself: a pool
// that cannot be reached fails the rules.
func Run(ctx context.Context, pool Pool, opts Options) ([]Result, error) {
	if opts.Patience == 0 {
		opts.Patience = 3 * time.Second
	}
	if opts.Parallel == 0 {
		opts.Parallel = 8
	}
	if opts.Effort == 0 {
		opts.Effort = 1 << 26
	}
	r := &run{pool: pool, opts: opts, broken: map[int]string{}}
	for _, rule := range Rules() {
		if rule.Frame != nil {
			r.passive = append(r.passive, rule)
		}
	}
	if pool.Control != "" {
		c, err := NewControl(ctx, pool.Control)
		if err != nil {
			return nil, err
		}
		r.control = c
	}
	return r.all(ctx), ctx.Err()
}

// all runs what may run together, then what needs the pool for itself, and last asks what all
// those frames showed.
func (r *run) all(ctx context.Context) []Result {
	var results []Result
	var mu sync.Mutex
	done := func(res Result) {
		mu.Lock()
		defer mu.Unlock()
		results = append(results, res)
		if r.opts.Result != nil {
			r.opts.Result(res)
		}
	}
	var alone, last []*Rule
	var wg sync.WaitGroup
	slots := make(chan struct{}, r.opts.Parallel)
	for _, rule := range Rules() {
		switch {
		case len(r.opts.Only) > 0 && !slices.Contains(r.opts.Only, rule.Number):
		case rule.Frame != nil:
			last = append(last, rule)
		case rule.Alone:
			alone = append(alone, rule)
		case rule.Waits != "":
			wg.Go(func() { done(r.one(ctx, rule)) }) // ends with the check, which hardly does anything
		default:
			slots <- struct{}{}
			wg.Go(func() { // ends with the check
				defer func() { <-slots }()
				done(r.one(ctx, rule))
			})
		}
	}
	wg.Wait()
	for _, rule := range append(alone, last...) {
		done(r.one(ctx, rule))
	}
	slices.SortStableFunc(results, func(a, b Result) int { return a.Rule.Number - b.Rule.Number })
	return results
}

// one runs a rule.
func (r *run) one(ctx context.Context, rule *Rule) Result {
	if why := r.excused(rule); why != "" {
		return Result{Rule: rule, Status: NotApplicable, Detail: why}
	}
	began := time.Now()
	t := &T{run: r, rule: rule, address: r.pool.Address, status: Pass}
	var cancel context.CancelFunc
	t.ctx, cancel = context.WithTimeout(ctx, time.Minute+2*r.timeout(rule.Waits))
	defer cancel()
	if rule.Check != nil {
		t.perform(rule.Check)
	}
	if rule.Frame != nil && t.status != NotApplicable {
		r.judgeFrames(t)
	}
	return Result{Rule: rule, Status: t.status, Detail: t.detail, Took: time.Since(began)}
}

// perform runs a check in a goroutine of its own, which Failf and NA end.
func (t *T) perform(check func(*T)) {
	over := make(chan struct{})
	go func() { // ends with the check
		defer close(over)
		defer func() {
			for _, f := range slices.Backward(t.cleanups) {
				f()
			}
		}()
		check(t)
	}()
	<-over
}

// excused says why a rule cannot be asked of this pool.
func (r *run) excused(rule *Rule) string {
	if !rule.observable() {
		if rule.Reason != "" {
			return rule.Reason
		}
		return "not to be seen from outside: tests of our own server show it"
	}
	for _, verb := range rule.Needs {
		if !r.control.Has(verb) {
			return fmt.Sprintf("needs a control that offers %q", verb)
		}
	}
	if rule.Waits == "" || r.opts.Slow {
		return ""
	}
	if _, known := r.known(rule.Waits); !known || r.timeout(rule.Waits) > shortWait {
		return fmt.Sprintf("waits for the pool's %s timeout: run it with --slow", rule.Waits)
	}
	return ""
}

// known is a timeout that the control tells.
func (r *run) known(name string) (time.Duration, bool) {
	if r.control == nil {
		return 0, false
	}
	ms, ok := r.control.Timeouts[name]
	return time.Duration(ms) * time.Millisecond, ok
}

// timeout is a timeout of the pool, known or assumed; 0 for no name.
func (r *run) timeout(name string) time.Duration {
	if d, ok := r.known(name); ok {
		return d
	}
	return assumed[name]
}

// observe shows a frame to the rules that hold for all of them.
func (r *run) observe(f *Frame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frames++
	for _, rule := range r.passive {
		if _, broken := r.broken[rule.Number]; broken {
			continue
		}
		if err := rule.Frame(f); err != nil {
			r.broken[rule.Number] = fmt.Sprintf("%v: %v", f, err)
		}
	}
}

func (r *run) judgeFrames(t *T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if fault, broken := r.broken[t.rule.Number]; broken {
		t.status, t.detail = Fail, fault
	} else if t.status == Pass {
		t.detail = fmt.Sprintf("%d frames", r.frames)
	}
}
