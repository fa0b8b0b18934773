package governor

import (
	"time"

	"github.com/hashlease/hashlease/pool/audit"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

const (
	// readingBusy and readingIdle are how often a feeder's figures are noted: while something is in force
	// that they could be evidence for, and otherwise.
	readingBusy = time.Second
	readingIdle = time.Minute
	// quarter is what baselines over days are made of. Every time zone begins on one.
	quarter = 15 * time.Minute
)

// witness is what the next records of a feeder are about.
type witness struct {
	lookedAt  time.Time // work was last counted
	readingAt time.Time // the last reading was noted
	busy      bool      // at the last look
	claimed   bool      // watts are, or were and are not known to be given back
	fresh     bool
	spoken    bool // fresh was noted before

	scale                       float64 // hashes for each hash of the curves
	due, done                   float64 // hashes since readingAt, see audit.Record
	reduced, faulty, unmeasured int

	quarter time.Time // begin of the present one
	joules  float64   // mining in it
	covered time.Duration
	inForce bool // anything, at any time of it
}

// note hands a record to the log, if there is one. It never blocks.
func (g *Governor) note(r audit.Record) {
	if g.cfg.Audit != nil {
		g.cfg.Audit(r)
	}
}

// witness notes what has become of orders, and what the meters show, at the end of each look.
func (g *Governor) witness(caps []fleet.Cap, now time.Time) {
	if g.cfg.Audit == nil {
		return
	}
	price := 0.0
	if g.cfg.MsatPerHash != nil {
		price = g.cfg.MsatPerHash()
	}
	for _, f := range g.feeders {
		f.audit.claimed = false
	}
	for _, c := range g.claims {
		ended := !now.Before(c.cap.Until)
		if !now.Before(c.cap.Begins()) && !(ended && (c.gone || c.off)) {
			g.byFeeder[c.cap.Feeder].audit.claimed = true
		}
	}
	for _, f := range g.feeders {
		g.witnessFeeder(f, caps, price, now)
	}
	g.witnessBranches(now)
}

func (g *Governor) witnessFeeder(f *feeder, caps []fleet.Cap, price float64, now time.Time) {
	a := &f.audit
	a.scale = g.cfg.HashScale
	span := now.Sub(a.lookedAt)
	second := a.lookedAt.IsZero() || span >= time.Second-g.cfg.Tick/2
	orders := g.witnessWorkers(f, second, span, now)
	turned := f.now.fresh != a.fresh
	if turned || !a.spoken && f.now.read {
		g.noteMeters(f, now)
	}
	busy := orders || f.ceiling > 0 || f.site.stop != nil || a.claimed
	if second {
		g.passQuarter(f, busy, span, now)
		a.lookedAt = now
	}
	every := readingIdle
	if busy {
		every = readingBusy
	}
	if busy != a.busy || turned || second && now.Sub(a.readingAt) >= every-g.cfg.Tick/2 {
		g.noteReading(f, caps, price, now)
		a.busy = busy
	}
}

// witnessWorkers notes what has become of orders and, every second, adds up the work. It says whether any
// order is in force that lowers a worker, or on its way.
func (g *Governor) witnessWorkers(f *feeder, second bool, span time.Duration, now time.Time) (orders bool) {
	a := &f.audit
	if second {
		a.reduced, a.faulty, a.unmeasured = 0, 0, 0
	}
	for _, w := range f.workers {
		if w.evidence != w.noted || w.stuck != w.notedStuck {
			g.noteEvidence(w, now)
		}
		orders = orders || w.ordered() && (w.reduced() || !w.settled)
		if second {
			w.count(now, span, a)
		}
	}
	return orders
}

// noteReading notes a feeder's figures, and the work since the reading before.
func (g *Governor) noteReading(f *feeder, caps []fleet.Cap, price float64, now time.Time) {
	a := &f.audit
	var ordered unit.Watts
	for _, w := range f.workers {
		ordered += w.order.Watts
	}
	g.note(audit.Record{
		At: now, Kind: audit.Reading, Site: f.Site, Feeder: f.ID, State: f.arm.String(), Read: f.now.at,
		Total: f.now.total, Mining: f.now.mining, Base: f.now.base, Tenants: f.now.tenant,
		Limit: f.Limit, Bound: f.plan.Bound, Ordered: ordered, Ceiling: f.ceiling,
		Watts: f.claimed(caps, now), Fresh: f.now.fresh,
		Due: a.due, Done: a.done, Price: price, Tariff: f.site.tariff.price,
		Reduced: a.reduced, Faulty: a.faulty, Unmeasured: a.unmeasured,
	})
	a.due, a.done, a.readingAt = 0, 0, now
}

// passQuarter adds up what mining draws, and notes every quarter of an hour that is over.
func (g *Governor) passQuarter(f *feeder, busy bool, span time.Duration, now time.Time) {
	a := &f.audit
	begin := now.Truncate(quarter)
	if a.quarter.IsZero() {
		a.quarter = begin
	}
	if begin.After(a.quarter) {
		mean := unit.Watts(0)
		if a.covered > 0 {
			mean = unit.Watts(a.joules/a.covered.Seconds() + 0.5)
		}
		g.note(audit.Record{
			At: now, Kind: audit.Interval, Site: f.Site, Feeder: f.ID, From: a.quarter,
			Until: a.quarter.Add(quarter), Mining: mean, Millis: a.covered.Milliseconds(), Busy: a.inForce,
		})
		a.quarter, a.joules, a.covered, a.inForce = begin, 0, 0, false
	}
	a.inForce = a.inForce || busy
	if f.now.fresh && span > 0 && span <= readingIdle {
		a.joules += float64(f.now.mining) * span.Seconds()
		a.covered += span
	}
}

func (g *Governor) noteMeters(f *feeder, now time.Time) {
	a := &f.audit
	a.fresh, a.spoken = f.now.fresh, true
	r := audit.Record{
		At: now, Kind: audit.MeterState, Site: f.Site, Feeder: f.ID, State: "fresh", Read: f.now.at,
		Fresh: f.now.fresh,
	}
	if !f.now.fresh {
		r.State, r.Text = "not fresh", f.now.trouble
	}
	g.note(r)
}

// noteOrder notes an order as it is made.
func (g *Governor) noteOrder(w *worker, now time.Time) {
	w.noted, w.notedStuck = w.evidence, w.stuck
	if g.cfg.Audit == nil {
		return
	}
	sp := &w.order
	g.note(audit.Record{
		At: now, Kind: audit.Order, Site: w.feeder.Site, Feeder: w.Feeder, Worker: w.ID,
		State: sp.Mode.String(), Number: uint64(sp.Command), Term: sp.Term, Watts: sp.Watts, Before: w.from,
		Hashrate: float64(sp.Hashrate) * g.cfg.HashScale, Stable: w.measured.stable,
		Millis: sp.Ramp.Milliseconds(), Hold: sp.FailHold,
	})
}

// noteSent notes a device's answer to an order, or that it could not be told.
func (g *Governor) noteSent(w *worker, sp *fleet.Setpoint, ack fleet.Ack, err error) {
	r := audit.Record{
		At: time.Now(), Kind: audit.Acked, Site: w.feeder.Site, Feeder: w.Feeder, Worker: w.ID,
		State: sp.Mode.String(), Number: uint64(sp.Command), Term: sp.Term,
	}
	if err != nil {
		r.Kind, r.Text = audit.Failed, err.Error()
	} else {
		r.Watts, r.Hashrate, r.Millis = ack.Planned, float64(ack.Hashrate), ack.Eta.Milliseconds()
	}
	g.note(r)
}

// noteEvidence notes how far an order is now known to have taken effect.
func (g *Governor) noteEvidence(w *worker, now time.Time) {
	w.noted, w.notedStuck = w.evidence, w.stuck
	if !w.ordered() {
		return
	}
	r := audit.Record{
		At: now, Kind: audit.Evidence, Site: w.feeder.Site, Feeder: w.Feeder, Worker: w.ID,
		State: w.evidence.String(), Number: uint64(w.order.Command), Term: w.order.Term,
		Watts: w.order.Watts, Warn: w.stuck,
	}
	if w.speaks {
		r.Said, r.Read = w.reported, w.reportedAt
	}
	if w.stuck {
		r.Text = "stuck"
	}
	g.note(r)
}

// noteClaim notes what becomes of a claim: "set", "removed" or "ended".
func (g *Governor) noteClaim(c *claim, state string, now time.Time) {
	if g.cfg.Audit == nil {
		return
	}
	r := audit.Record{
		At: now, Kind: audit.Claim, Feeder: c.cap.Feeder, Claim: c.cap.Claim, Tenant: c.cap.Tenant,
		State: state, Order: c.cap.Order, From: c.cap.From, Until: c.cap.Until, Watts: c.cap.Watts,
	}
	if f := g.byFeeder[c.cap.Feeder]; f != nil {
		r.Site = f.Site
		if r.Order.IsZero() || !r.Order.Before(r.From) {
			r.Millis = f.Notice.Milliseconds() // it begins at once: the watts cannot be there at its start
		}
	}
	g.note(r)
}

// noteProof notes what meters say of a claim when that changes.
func (g *Governor) noteProof(f *feeder, c *claim, now time.Time) {
	if g.cfg.Audit == nil {
		return
	}
	p := &c.proof
	g.note(audit.Record{
		At: now, Kind: audit.Proof, Site: f.Site, Feeder: f.ID, Claim: p.Claim, Tenant: c.cap.Tenant,
		Text: p.Reason, Read: p.At, Number: p.Seq, Watts: c.cap.Watts, Tenants: p.Drawn,
		Delivered: p.Delivered, Overrun: p.Overrun, Freed: p.Freed, Free: p.Free, Gone: p.Gone,
	})
}

// noteLimit notes a limit from outside: "set" or "cleared". The caller holds mu.
func (g *Governor) noteLimit(l *Limit, state string, now time.Time) {
	r := audit.Record{
		At: now, Kind: audit.LimitSet, Site: l.Site, Feeder: l.Feeder, State: state, Text: l.Reason,
		From: l.From, Until: l.Until, Number: l.ID, Watts: l.Watts,
	}
	if begin := g.orders(l); begin.Before(l.From) && now.Before(l.From) {
		r.Order = begin
		if begin.Before(now) {
			r.Order = now
		}
	}
	g.note(r)
}

// noteStop notes that an emergency stop begins ("stopped") or ends ("resumed").
func (g *Governor) noteStop(id fleet.SiteID, state, reason string, now time.Time) {
	g.note(audit.Record{At: now, Kind: audit.Stop, Site: id, State: state, Text: reason})
}

func (g *Governor) noteArm(f *feeder, now time.Time) {
	g.note(audit.Record{At: now, Kind: audit.Armed, Site: f.Site, Feeder: f.ID, State: f.arm.String()})
}

// noteEvent notes what people are told.
func (g *Governor) noteEvent(e *Event) {
	if g.cfg.Audit == nil {
		return
	}
	g.note(audit.Record{
		At: e.At, Kind: audit.Event, Site: e.Site, Feeder: e.Feeder, Worker: e.Worker, Claim: e.Claim,
		Text: e.Message, Number: e.Seq, Warn: e.Level == Warn,
	})
}

// noteStart notes what is in force when the governor starts. Claims of tenants come with the first set.
func (g *Governor) noteStart(now time.Time) {
	if g.cfg.Audit == nil {
		return
	}
	for _, f := range g.feeders {
		g.noteArm(f, now)
	}
	for i := range g.limits {
		g.noteLimit(&g.limits[i], "set", now)
	}
	for _, c := range g.claims {
		g.noteClaim(c, "set", now)
	}
	for _, st := range g.sites {
		if st.stop != nil {
			g.noteStop(st.ID, "stopped", st.stop.Reason, st.stop.At)
		}
	}
}
