package governor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

const (
	// groupPermille is the most that a commissioning moves at once, thousandths of the feeder's limit.
	groupPermille = 20
	// overNoise is how many times the meter's noise a step must be to mean something, and amply so many that
	// its height is known to a few percent.
	overNoise, amplyOverNoise = 6, 20
	// patience is how long a commissioning waits for its feeder to be quiet before it gives up.
	patience = 5 * time.Minute
	// lookAhead is how far ahead it looks for claims that will need the watts.
	lookAhead = time.Minute
)

// Commissioning is an operator's wish that a feeder be proven and measured.
type Commissioning struct {
	Feeder fleet.FeederID
	Limit  unit.Watts // moved at once at most; 0: 2 % of the feeder's limit, and one worker at least
	DryRun bool       // say what would be done
}

// CommissionUpdate is one thing that happened: one field is set.
type CommissionUpdate struct {
	Plan    *CommissionPlan
	Note    string // what is waited for
	Group   *CommissionGroup
	Finding *Finding
	Result  *CommissionResult
}

// CommissionPlan is what a commissioning is about to do.
type CommissionPlan struct {
	Feeder  fleet.FeederID
	Limit   unit.Watts // moved at once at most
	Step    unit.Watts // aimed at
	Noise   unit.Watts // of the meter, one standard deviation
	Workers int
	Groups  int
	Skipped []Exclusion
	DryRun  bool
	Why     string // of a dry run that was not asked for
}

// CommissionGroup is one group that was put to sleep and woken.
type CommissionGroup struct {
	Number   int // from 1; groups that are split count on
	Left     int // groups still to come
	Kind     ResponseKey
	Workers  []pool.WorkerID
	Ordered  unit.Watts // by the curves
	Metered  unit.Watts // what the feeder's meter fell by
	Shed     time.Duration
	Return   time.Duration // 0: not seen yet when the next group began
	Proven   bool
	Verdict  string
	Duration time.Duration
}

// CommissionResult is how a commissioning ended.
type CommissionResult struct {
	Done     bool   // every worker was tried
	Message  string // why not, if not
	Proven   int
	Unproven int
	Findings []Finding
	Elapsed  time.Duration
	Headroom Headroom
}

// commission is one under way on a feeder.
type commission struct {
	wish   Commissioning
	asleep map[*worker]bool // who is to be at its minimum now
	group  map[*worker]bool // who takes part in the present step
}

func (c *commission) has(w *worker) bool { return c != nil && c.group[w] }

// commissionRun is the caller's side of it.
type commissionRun struct {
	g       *Governor
	f       *feeder
	c       *commission
	most    unit.Watts
	noise   unit.Watts
	step    unit.Watts
	queue   [][]*worker
	report  func(CommissionUpdate) error
	result  CommissionResult
	number  int
	suspect []verdict        // of the first groups, while nothing is proven
	held    []blamed         // single workers whose step did not show meanwhile: it may be the meter
	tried   map[*worker]bool // put to sleep by this run
	began   time.Time
}

// errStopped ends a commissioning with its reason.
type errStopped struct{ why string }

func (e *errStopped) Error() string { return e.why }

func stopped(format string, args ...any) error { return &errStopped{fmt.Sprintf(format, args...)} }

// Commission puts small groups of a feeder's workers to sleep and wakes them, one after the other, and
// proves by that who hangs on the feeder, that its meter shows it rightly, and how fast machines answer.
// It moves watts only where mining has room: it stops as soon as a tenant, a limit or an emergency stop
// needs them. When ctx or the report ends it, all that it put to sleep returns as returns always do. What
// was proven until then is durable.
func (g *Governor) Commission(
	ctx context.Context, wish Commissioning, report func(CommissionUpdate) error,
) error {
	r := &commissionRun{g: g, report: report, tried: map[*worker]bool{}, began: time.Now()}
	if err := r.begin(wish); err != nil {
		return err
	}
	defer r.end()
	if err := r.prepare(ctx); err != nil || r.c.wish.DryRun {
		return r.finish(ctx, err)
	}
	return r.finish(ctx, r.run(ctx))
}

// begin checks the wish and takes the feeder, or says why not.
func (r *commissionRun) begin(wish Commissioning) error {
	g := r.g
	f := g.byFeeder[wish.Feeder]
	switch {
	case f == nil:
		return g.noFeeder(wish.Feeder)
	case wish.Limit < 0 || wish.Limit > f.Limit:
		return refuse(ErrBound, "limit is %v: above 0, at most the feeder's %v is accepted",
			wish.Limit, f.Limit)
	}
	r.most = wish.Limit
	if r.most == 0 {
		r.most = max(f.permille(groupPermille), f.largest())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, o := range g.feeders {
		if o.commission != nil {
			return refuse(ErrState, "feeder %q is being commissioned: one at a time, because "+
				"a step must show on one meter alone", o.ID)
		}
	}
	if f.arm == fleet.Observe {
		return refuse(ErrState, "feeder %q is in observe, where no machine is ever told anything: "+
			"hashlease site arm %s act", f.ID, f.ID)
	}
	if !g.ready {
		return refuse(ErrEarly, "what tenants hold is not known yet: nothing is ordered before")
	}
	wish.DryRun = wish.DryRun || f.arm != fleet.Act
	r.f, r.c = f, &commission{wish: wish}
	if why := g.forbids(f, time.Now()); why != "" && !wish.DryRun {
		return refuse(ErrState, "%s", why)
	}
	f.commission = r.c
	return nil
}

// end gives the feeder back: the plan wakes whom the commissioning put to sleep.
func (r *commissionRun) end() {
	r.g.mu.Lock()
	if r.f.commission == r.c {
		r.f.commission = nil
	}
	r.g.mu.Unlock()
	r.g.wake()
}

// forbids says why nothing may be tried on the feeder now; empty if it may.
func (g *Governor) forbids(f *feeder, now time.Time) string {
	soon := now.Add(lookAhead)
	st := fleet.FeederState{Feeder: &f.Feeder, Base: f.base, Ceiling: f.ceiling}
	claimed := max(f.claimed(g.capsNow(now), now), f.claimed(g.capsNow(now), soon))
	needed := f.most(now) + f.margin(&g.cfg)/2 - st.Bound(claimed)
	switch {
	case f.site.stop != nil:
		return "the site is stopped: hashlease site resume " + string(f.Site)
	case !f.now.fresh:
		return f.now.trouble
	case f.now.total > f.Limit:
		return "the feeder is over its limit" + f.implausible()
	case f.arm != fleet.Act:
		return "the feeder is not armed to act: hashlease site arm " + string(f.ID) + " act"
	case needed <= f.tolerance(): // what the meter cannot tell is left to the rules of returning
	case f.ceiling > 0 && claimed == 0:
		return fmt.Sprintf("a limit from outside needs the watts: %v more than mining may draw. "+
			"hashlease site limit list says until when", needed)
	case claimed == 0:
		return fmt.Sprintf("mining has no room to return: all of it may draw %v more than its bound", needed)
	default:
		return fmt.Sprintf("tenants' claims need the watts: %v more than mining may draw beside them. "+
			"hashlease lease list says until when", needed)
	}
	return ""
}

// largest is the most that one worker can free.
func (f *feeder) largest() (most unit.Watts) {
	for _, w := range f.workers {
		if !w.Pinned {
			most = max(most, w.full()-w.minimum().Watts)
		}
	}
	return most
}

// most is what mining may draw with everybody awake.
func (f *feeder) most(now time.Time) unit.Watts {
	var s foreseen
	for _, w := range f.workers {
		most := max(w.full(), w.worst(now))
		s.worst += most
		s.said += most - w.full()
	}
	return s.with(f.excess)
}

// implausible says that the meter can hardly be right, whatever machines do.
func (f *feeder) implausible() string {
	var model unit.Watts
	known := true
	now := time.Now()
	for _, w := range f.workers {
		known = known && !w.unsure(now)
		model += w.order.Watts
	}
	if !known || model == 0 {
		return ""
	}
	if r := float64(f.now.mining) / float64(model); r > 2 {
		return fmt.Sprintf(", if its meter is right, which shows %v for mining where the "+
			"machines' states add up to %v: %s", f.now.mining, model, scaleWords(r))
	}
	return ""
}

// prepare measures the meter's noise and makes groups.
func (r *commissionRun) prepare(ctx context.Context) error {
	if !r.c.wish.DryRun { // machines on their way are no noise
		if err := r.awaitQuiet(ctx, nil); err != nil {
			return err
		}
	}
	if err := r.note("listening to the meter's noise"); err != nil {
		return err
	}
	before, err := r.listen(ctx, nil, time.Time{}, 0)
	if err != nil {
		return err
	}
	r.noise = max(1, before.noise)
	r.step = min(r.most, max(amplyOverNoise*r.noise, r.most/2))
	if overNoise*r.noise > r.most {
		return refuse(ErrState, "the meter's noise is %v: a step must be at least %v to be told "+
			"from it, and %v may be moved at once: allow more with --limit",
			r.noise, overNoise*r.noise, r.most)
	}
	p := r.group()
	p.Feeder, p.Limit, p.Step, p.Noise, p.DryRun = r.f.ID, r.most, r.step, r.noise, r.c.wish.DryRun
	if p.DryRun && r.f.arm != fleet.Act {
		p.Why = "the feeder is in advise: hashlease site arm " + string(r.f.ID) + " act"
	}
	if err := r.report(CommissionUpdate{Plan: p}); err != nil {
		return err
	}
	if p.Groups == 0 {
		return refuse(ErrShort, "nobody on feeder %q can be tried: %s", r.f.ID, p.excuses())
	}
	if r.c.wish.DryRun {
		return nil
	}
	r.noteBegun(p)
	return r.g.noteCommission(ctx, r.f, func(c *commissioned) { c.Begun, c.Why, c.Findings = true, "", nil })
}

// group makes groups of one kind each, as large as the step that is aimed at.
func (r *commissionRun) group() *CommissionPlan {
	r.g.mu.Lock()
	defer r.g.mu.Unlock()
	p := &CommissionPlan{}
	skipped := map[string]*Exclusion{}
	kinds := map[ResponseKey][]*worker{}
	var order []ResponseKey
	for _, w := range r.f.workers {
		if why := r.skip(w); why != "" {
			var h Headroom
			h.exclude(skipped, why, w)
			continue
		}
		if kinds[w.kind()] == nil {
			order = append(order, w.kind())
		}
		kinds[w.kind()] = append(kinds[w.kind()], w)
		p.Workers++
	}
	for _, k := range order {
		var group []*worker
		var sum unit.Watts
		for _, w := range kinds[k] {
			sheds := w.full() - w.minimum().Watts
			if len(group) > 0 && (sum >= r.step || sum+sheds > r.most) {
				r.queue, group, sum = append(r.queue, group), nil, 0
			}
			group, sum = append(group, w), sum+sheds
		}
		r.queue = append(r.queue, group)
	}
	var h Headroom
	h.list(skipped, nil)
	p.Groups, p.Skipped = len(r.queue), h.Excluded
	return p
}

// skip says why a worker cannot be tried; empty if it can.
func (r *commissionRun) skip(w *worker) string {
	sheds := w.full() - w.minimum().Watts
	switch {
	case w.Pinned:
		return notPinned
	case w.actuator == nil:
		return notReached
	case w.stuck:
		return notObeying
	case w.reduced():
		return "give way already"
	case sheds <= 0:
		return notYielding
	case sheds > r.most:
		return fmt.Sprintf("draw more alone than may be moved at once, %v: allow more with --limit", r.most)
	case sheds < overNoise*r.noise:
		return fmt.Sprintf("draw less alone than the meter can tell from its noise, %v", r.noise)
	}
	return ""
}

// excuses are why nobody is tried.
func (p *CommissionPlan) excuses() string {
	var all []string
	for _, x := range p.Skipped {
		all = append(all, many(x.Workers, "worker ", "workers ")+x.Reason)
	}
	if all == nil {
		return "it has no workers"
	}
	return strings.Join(all, "; ")
}

func (r *commissionRun) note(format string, args ...any) error {
	return r.report(CommissionUpdate{Note: fmt.Sprintf(format, args...)})
}

// run tries group after group, and names at last whom it held back.
func (r *commissionRun) run(ctx context.Context) error {
	err := r.tryAll(ctx)
	var why *errStopped
	if err == nil || errors.As(err, &why) {
		if failed := r.blameHeld(ctx); failed != nil {
			return failed
		}
	}
	return err
}

func (r *commissionRun) tryAll(ctx context.Context) error {
	for len(r.queue) > 0 {
		group := r.queue[0]
		r.queue = r.queue[1:]
		v, err := r.try(ctx, group)
		if err != nil {
			return err
		}
		if err := r.judge(ctx, &v); err != nil {
			return err
		}
	}
	return nil
}

// finish says how it ended.
func (r *commissionRun) finish(ctx context.Context, err error) error {
	var why *errStopped
	if err != nil && !errors.As(err, &why) {
		r.brokenOff(err)
		return err
	}
	r.end()
	g, res := r.g, &r.result
	if why != nil {
		res.Message = why.why
	}
	if !r.c.wish.DryRun {
		res.Done = err == nil
		if err := g.noteCommission(context.WithoutCancel(ctx), r.f, func(c *commissioned) {
			c.Begun, c.Why, c.Findings = !res.Done, res.Message, res.Findings
			if res.Done {
				c.At = time.Now()
			}
		}); err != nil {
			return err
		}
	}
	g.mu.Lock()
	r.sumUp(err, time.Now())
	g.mu.Unlock()
	return r.report(CommissionUpdate{Result: res})
}

// brokenOff tells of a commissioning that nobody listens to any more, if it has moved anybody.
func (r *commissionRun) brokenOff(err error) {
	if r.number == 0 {
		return
	}
	r.end()
	r.g.mu.Lock()
	defer r.g.mu.Unlock()
	r.sumUp(err, time.Now())
}

// sumUp finds what the commissioning came to, and tells of it. The caller holds mu.
func (r *commissionRun) sumUp(why error, now time.Time) {
	res := &r.result
	for _, w := range r.f.workers {
		if r.g.proven(w, now) {
			res.Proven++
		} else {
			res.Unproven++
		}
	}
	res.Elapsed, res.Headroom = now.Sub(r.began), r.g.headroomOf(r.f, now)
	if !r.c.wish.DryRun {
		r.tell(why, now)
	}
}

// commissionWants keeps those down that a commissioning has put to sleep.
func (f *feeder) commissionWants() {
	if f.commission == nil {
		return
	}
	for w := range f.commission.asleep {
		w.want = w.minimum()
	}
}

// find keeps a finding and tells of it.
func (r *commissionRun) find(f Finding) error {
	f.Feeder, f.At = r.f.ID, time.Now()
	r.result.Findings = append(r.result.Findings, f)
	r.g.mu.Lock()
	r.noteFound(&f)
	r.g.event(f.At, Event{
		Level: Warn, Feeder: r.f.ID, Worker: f.Worker, Message: "commissioning: " + f.Message,
	})
	r.g.mu.Unlock()
	return r.report(CommissionUpdate{Finding: &f})
}

func names(ws []*worker) []pool.WorkerID {
	ids := make([]pool.WorkerID, 0, len(ws))
	for _, w := range ws {
		ids = append(ids, w.ID)
	}
	slices.Sort(ids)
	return ids
}
