package governor

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// Deratings by who says what a machine draws, thousandths of what it is counted on for.
const (
	derateEstimated = 100 // its curve: a nameplate, or somebody's declaration
	derateDevice    = 50  // its own word
	derateMeter     = 20  // the feeder's meter
)

// Headroom is what a feeder can deliver to tenants, term by term:
//
//	Firm = Limit - Reserve - Margin - Base - NotCounted - Asleep - NotFreed - Source - Failures
//	       - Elsewhere - Domain - Heat
//
// and never below 0.
type Headroom struct {
	Site    fleet.SiteID
	Feeder  fleet.FeederID
	State   HeadroomState
	Reason  string // why there is none, or not all; empty if nothing is to be done
	Command string // what to run about it; empty if nothing is to be run
	public  string // the reason as tenants are told it: what only an operator can do is left out

	Limit, Reserve, Margin, Base unit.Watts

	Workers    int         // on the feeder
	Counted    int         // of them
	Excluded   []Exclusion // the others, by reason
	NotCounted unit.Watts  // their full power
	Asleep     unit.Watts  // what those counted draw at their least
	Sheds      unit.Watts  // what those counted would free by their curves
	NotFreed   unit.Watts  // of that, by the measured low quantile of freed watts
	Source     unit.Watts  // of the rest, by who says what machines draw
	Failures   unit.Watts  // likewise, for orders that nothing comes of
	Elsewhere  unit.Watts  // likewise, of machines that mine elsewhere: only their word and the meter tell
	NoSession  int         // how many of those counted these are
	Domain     unit.Watts  // N-1: what the largest single control domain frees
	DomainName string      // whose that is
	Spareless  bool        // by configuration nobody's is taken off
	Heat       unit.Watts  // what is kept running for its heat beyond what stays on anyway

	Firm unit.Watts

	Declared time.Duration // notice, by configuration
	Shed     time.Duration // measured: p95 of the slowest kind counted; 0: not measured
	Capped   bool          // Shed is how long that kind is waited for: too few samples tell of longer
	Timed    int           // reductions of that kind that Shed is told by
	Proof    time.Duration // from there to the meter's proof
	Notice   time.Duration // the longer of declared and measured

	Measured []Measured // by kind of machine, those on this feeder
	ProvenAt time.Time  // the oldest proof of a worker counted; zero if none was measured
	Aging    int        // workers counted whose proof soon counts no more
	Findings []Finding  // of the last commissioning

	single bool // one control domain is all that is counted on
	lost   bool // no meter tells anything any more
	words  bool // only machines' own words tell what mining draws
}

// Exclusion is workers that are not counted on for one reason.
type Exclusion struct {
	Reason  string
	Workers int
	Watts   unit.Watts // full power
}

// HeadroomState says where a headroom comes from.
type HeadroomState uint8

// NotCommissioned is nothing measured yet, Commissioned is measured, Declared is trusted by configuration.
const (
	NotCommissioned HeadroomState = iota
	Commissioned
	Declared
)

// String is the state in words.
func (s HeadroomState) String() string {
	return [...]string{"not commissioned", "commissioned", "declared"}[min(s, Declared)]
}

// counted is one worker that capacity counts on.
type counted struct {
	least, sheds         unit.Watts
	freed, source, fails float64
	shed                 time.Duration
	by                   *kind // what tells it; nil: nothing was measured
}

// headroomOf adds up what the feeder can deliver.
func (g *Governor) headroomOf(f *feeder, now time.Time) Headroom {
	h := Headroom{
		Site: f.Site, Feeder: f.ID,
		Limit: f.Limit, Reserve: f.Reserve, Margin: f.margin(&g.cfg), Base: f.base,
		lost: f.now.lost, words: f.wordsAlone(), Workers: len(f.workers),
		Declared: f.Notice, Findings: f.commissioned.Findings, Spareless: f.NoSpare,
	}
	kinds := g.kindsOn(f, now)
	out, domains := map[string]*Exclusion{}, domains{}
	var notFreed, source, failures, elsewhere float64
	for _, w := range f.workers {
		c, why := g.countOn(w, kinds, now)
		if why != "" {
			h.exclude(out, why, w)
			continue
		}
		h.Counted++
		h.Asleep += c.least
		h.Sheds += c.sheds
		free := float64(c.sheds) * c.freed
		notFreed += float64(c.sheds) - free
		source += free * c.source
		failures += free * c.fails
		if w.minesElsewhere(now) {
			h.NoSession++
			elsewhere += free * float64(g.cfg.ElsewherePermille) / 1000
		}
		domains.add(&h, w, unit.Watts(free*(1-c.source-c.fails)))
		h.awaits(&c)
		if g.aging(w, now) {
			h.Aging++
		}
		if !w.provenAt.IsZero() && (h.ProvenAt.IsZero() || w.provenAt.Before(h.ProvenAt)) {
			h.ProvenAt = w.provenAt
		}
	}
	h.single = domains.n == 1
	up := func(v float64) unit.Watts { return unit.Watts(math.Ceil(v)) }
	h.NotFreed, h.Source, h.Failures = up(notFreed), up(source), up(failures)
	h.Elsewhere = up(elsewhere)
	h.Heat = max(0, f.Heat-h.NotCounted-h.Asleep-h.NotFreed)
	h.list(out, kinds)
	h.sum()
	g.noticeOf(f, &h)
	h.explain(f)
	return h
}

// awaits has the notice cover what a counted worker takes.
func (h *Headroom) awaits(c *counted) {
	if c.shed > h.Shed {
		h.Shed, h.Capped, h.Timed = c.shed, c.by.Capped, c.by.Timed
	}
}

// domains are what fails together: the workers behind one branch, or one worker alone.
type domains struct {
	n        int
	branches map[fleet.BranchID]unit.Watts
}

// add counts what a worker surely frees, and keeps the largest domain in h.
func (d *domains) add(h *Headroom, w *worker, sure unit.Watts) {
	if w.Branch == "" {
		d.n++
		if sure > h.Domain {
			h.Domain, h.DomainName = sure, string(w.ID)
		}
		return
	}
	if d.branches == nil {
		d.branches = map[fleet.BranchID]unit.Watts{}
	}
	if _, known := d.branches[w.Branch]; !known {
		d.n++
	}
	d.branches[w.Branch] += sure
	if sum := d.branches[w.Branch]; sum > h.Domain {
		h.Domain, h.DomainName = sum, "branch "+string(w.Branch)
	}
}

// sum is the formula.
func (h *Headroom) sum() {
	stays := h.Base + h.NotCounted + h.Asleep + h.NotFreed
	if h.Spareless {
		h.Domain, h.DomainName = 0, noSpare
	}
	h.Firm = max(0, h.Limit-h.Reserve-h.Margin-stays-h.Source-h.Failures-h.Elsewhere-h.Domain-h.Heat)
	if h.Counted == 0 || h.lost || h.words {
		h.Firm = 0 // what is free by chance may be gone by the next second: nobody could make room again
	}
}

func (h *Headroom) exclude(out map[string]*Exclusion, why string, w *worker) {
	e := out[why]
	if e == nil {
		e = &Exclusion{Reason: why}
		out[why] = e
	}
	e.Workers++
	e.Watts += w.full()
	h.NotCounted += w.full()
}

// list puts reasons and kinds in order.
func (h *Headroom) list(out map[string]*Exclusion, kinds map[ResponseKey]*kind) {
	for _, e := range out {
		h.Excluded = append(h.Excluded, *e)
	}
	slices.SortFunc(h.Excluded, func(a, b Exclusion) int {
		return cmp.Or(cmp.Compare(b.Workers, a.Workers), strings.Compare(a.Reason, b.Reason))
	})
	for _, k := range kinds {
		if k.known {
			h.Measured = append(h.Measured, k.Measured)
		}
	}
	sortMeasured(h.Measured)
}

// kind is what is measured of a kind of machine on one feeder.
type kind struct {
	Measured

	known    bool
	patience time.Duration // the longest of its workers'
}

func (g *Governor) kindsOn(f *feeder, now time.Time) map[ResponseKey]*kind {
	kinds := map[ResponseKey]*kind{}
	for _, w := range f.workers {
		k := kinds[w.kind()]
		if k == nil {
			k = &kind{}
			k.Measured, k.known = g.responses[w.kind()].measured(now.Add(-g.cfg.ProofAge), g.failing())
			kinds[w.kind()] = k
		}
		k.Workers++
		k.patience = max(k.patience, g.patience(w))
	}
	for _, k := range kinds {
		k.within(k.patience)
	}
	return kinds
}

// Reasons why a worker is not counted on.
const (
	notPinned     = "pinned"
	notByTerms    = "kept by their owners' terms"
	notObeying    = "do not do as ordered"
	notReached    = "out of reach"
	notHolding    = "do not hold a reduction without us"
	notYielding   = "take no orders that free power"
	notProven     = "not commissioned"
	notProvenNow  = "commissioned too long ago"
	notMeasured   = "no measured answer of their model and firmware"
	oneDomainOnly = "one control domain is all that can give way, and N-1 keeps that back: when it fails, " +
		"nobody stands in"
	oneDomainSold = ". n_minus_1 = false on the feeder sells it all the same"
	wordsOnly     = "only its machines' own words tell what mining draws"
	nothingLeft   = "the limit leaves nothing beside what draws on and what is taken off"
)

// noSpare is whom N-1 stands in for where it is switched off.
const noSpare = "nobody: n_minus_1 = false"

// countOn says what the worker is counted on for, or why it is not.
func (g *Governor) countOn(w *worker, kinds map[ResponseKey]*kind, now time.Time) (c counted, why string) {
	if c.least, why = g.canYield(w, now); why != "" {
		return c, why
	}
	c.sheds = w.full() - c.least
	k := kinds[w.kind()]
	switch {
	case g.proven(w, now) && k.known:
		c.freed, c.fails, c.shed, c.source = k.Freed, k.Failing, k.Shed, derateDevice/1000.
		c.by = k
		if k.Metered {
			c.source = derateMeter / 1000.
		}
	case w.feeder.Trusted:
		c.freed, c.fails, c.source = 1, g.failing(), derateEstimated/1000.
	case w.provenAt.IsZero():
		return c, notProven
	case !g.proven(w, now):
		return c, notProvenNow
	default:
		return c, notMeasured
	}
	return c, ""
}

// canYield is the least that the worker may be brought to for as long as a lease lasts, or why it may not.
func (g *Governor) canYield(w *worker, now time.Time) (least unit.Watts, why string) {
	can := w.capability
	terms := g.termsOf(w, now)
	switch {
	case w.Pinned:
		return 0, notPinned
	case terms.KeepFull:
		return 0, notByTerms
	case w.stuck, w.lies:
		return 0, notObeying
	case w.actuator == nil && (w.lostAt.IsZero() || now.Sub(w.lostAt) > outage):
		return 0, notReached
	case !can.HoldsAlone:
		return 0, notHolding
	case can.CanPause && (!terms.KeepAwake || w.order.Mode == fleet.Paused):
		return w.Sleep, ""
	case can.CanCap:
		return max(w.Curve[0].Watts, can.Min), ""
	}
	return 0, notYielding
}

// agingMost is how long before a proof counts no more that is said, at most.
const agingMost = 3 * 24 * time.Hour

// aging says that the worker's proof soon counts no more: in a tenth of its age, or in three days.
func (g *Governor) aging(w *worker, now time.Time) bool {
	left := g.cfg.ProofAge - now.Sub(w.provenAt)
	return !w.provenAt.IsZero() && !w.feeder.Trusted && left < min(agingMost, g.cfg.ProofAge/10)
}

func (h *Headroom) agingWords() string {
	return fmt.Sprintf("what was measured of %d of %d workers soon counts no more", h.Aging, h.Workers)
}

// tellAging warns before tenants' capacity falls because proofs have become old.
func (g *Governor) tellAging(f *feeder, h *Headroom, now time.Time) {
	if aging := h.Aging > 0; aging != f.saidAging {
		f.saidAging = aging
		if aging {
			says := h.agingWords() + ": " + commissionCommand(f)
			g.event(now, Event{Level: Warn, Feeder: f.ID, Message: says})
		}
	}
}

// noticeOf is from the first order to the meter's proof: the measured reduction, orders spread over a
// bulk, and two readings that show it.
func (g *Governor) noticeOf(f *feeder, h *Headroom) {
	h.Notice = f.Notice
	if h.Shed == 0 {
		return
	}
	h.Proof = g.cfg.Spread + 2*(g.cfg.MeterEvery+g.cfg.Tick) + f.readEvery
	if measured := (h.Shed + h.Proof).Round(time.Second); measured > h.Notice {
		h.Notice = measured
	}
}

// explain says in words why there is none, and what to run.
func (h *Headroom) explain(f *feeder) {
	measured := slices.ContainsFunc(f.workers, func(w *worker) bool { return !w.provenAt.IsZero() })
	switch {
	case f.Trusted && h.ProvenAt.IsZero():
		h.State = Declared
	case measured:
		h.State = Commissioned
	}
	undone := h.undone()
	switch {
	case h.lost:
		h.Reason, h.public = "its meter is lost: "+f.now.trouble, "its meter is lost"
	case h.words:
		h.public = wordsOnly
		h.Reason = wordsOnly + ": a meter is needed, or devices_suffice = true in the configuration"
	case f.commission != nil:
		h.Reason = "it is being commissioned now"
	case undone > 0:
		h.Reason, h.Command = h.unproven(f, measured, undone), commissionCommand(f)
	case h.Aging > 0:
		h.Reason, h.Command = h.agingWords(), commissionCommand(f)
	case h.single && !h.Spareless:
		h.Reason, h.public = oneDomainOnly+oneDomainSold, oneDomainOnly
	case h.Firm == 0 && h.Counted > 0:
		h.Reason = nothingLeft
	}
	h.public = cmp.Or(h.public, h.Reason)
}

// unproven says why a commissioning is to be run, again or for the first time.
func (h *Headroom) unproven(f *feeder, measured bool, undone int) string {
	said := "nothing is sold of a feeder before it was commissioned"
	if measured {
		said = fmt.Sprintf("%d of %d workers are not, or no longer, commissioned", undone, h.Workers)
	}
	h.public = said
	switch c := &f.commissioned; {
	case c.Begun && c.Why != "":
		return "its commissioning stopped: " + c.Why + "; " + said
	case c.Begun:
		return "its commissioning was broken off; " + said
	}
	return said
}

// undone is how many workers only a commissioning is missing of.
func (h *Headroom) undone() (n int) {
	for _, e := range h.Excluded {
		if e.Reason == notProven || e.Reason == notProvenNow || e.Reason == notMeasured {
			n += e.Workers
		}
	}
	return n
}

// commissionCommand is the next step to a commissioned feeder.
func commissionCommand(f *feeder) string {
	if f.arm != fleet.Act {
		return "hashlease site arm " + string(f.ID) + " act"
	}
	return "hashlease site commission " + string(f.ID)
}

// toldOperators is the reason with what to run about it; empty if there is none.
func (h *Headroom) toldOperators() string {
	if h.Command == "" {
		return h.Reason
	}
	return h.Reason + ": " + h.Command
}

// Basis is the headroom in a sentence, for tenants: with every reason, and without what an operator would
// have to run or configure.
func (h *Headroom) Basis() string {
	var b strings.Builder
	if h.public != "" {
		b.WriteString(h.public + "; ")
	}
	fmt.Fprintf(&b, "limit %v - reserve %v - margin %v - base %v - not counted on %v - asleep %v - "+
		"not freed %v - source of watts %v - failures %v - N-1 %v; %d of %d workers not counted on; %v",
		h.Limit, h.Reserve, h.Margin, h.Base, h.NotCounted, h.Asleep,
		h.NotFreed, h.Source, h.Failures, h.Domain,
		h.Workers-h.Counted, h.Workers, h.State)
	if h.NoSession > 0 {
		fmt.Fprintf(&b, "; %v off for %d without a session here", h.Elsewhere, h.NoSession)
	}
	if h.Heat > 0 {
		fmt.Fprintf(&b, "; %v more kept for heat", h.Heat)
	}
	if h.Notice > h.Declared {
		fmt.Fprintf(&b, "; notice %v: 95 %% shed within %v, proof %v", h.Notice, h.Shed, h.Proof)
		if h.Capped {
			fmt.Fprintf(&b, " (%d samples tell no bound below the time after which who is late is replaced; "+
				"from %d on it is measured)", h.Timed, freeOf)
		}
	}
	return b.String()
}

// Headroom is what the feeders of a site can deliver, in their order; of all sites if id is empty.
func (g *Governor) Headroom(id fleet.SiteID) ([]Headroom, error) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if id != "" && g.siteNamed(id) == nil {
		return nil, g.noSite(id)
	}
	var out []Headroom
	for _, f := range g.feeders {
		if id == "" || f.Site == id {
			out = append(out, g.headroomOf(f, now))
		}
	}
	return out, nil
}
