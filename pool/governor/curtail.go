package governor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

const (
	maxCurtail = 24 * time.Hour
	// proofTime is how long a curtailment may take to show at the meters before its shortfall is named.
	proofTime = 60 * time.Second
)

// Curtail lowers a site's mining for a while. It reports the preview first; unless it is a dry run it
// then orders, durably, and reports what the meters say until they prove it or the shortfall is named in
// the last report. The curtailment stays in force until its duration ends, whoever listens.
func (g *Governor) Curtail(ctx context.Context, c Curtailment, report func(CurtailUpdate) error) error {
	st, err := g.checkCurtailment(c)
	if err != nil {
		return err
	}
	if c.DryRun {
		p, _ := g.preview(st, c)
		return report(CurtailUpdate{Preview: &p})
	}
	p, cur, err := g.startCurtailment(ctx, st, c)
	if err != nil {
		return err
	}
	if err := report(CurtailUpdate{Preview: &p}); err != nil {
		return err
	}
	return g.follow(ctx, cur, report)
}

// checkCurtailment lists what is wrong with a wish.
func (g *Governor) checkCurtailment(c Curtailment) (*site, error) {
	i := slices.IndexFunc(g.sites, func(s *site) bool { return s.ID == c.Site })
	switch {
	case i < 0:
		return nil, g.noSite(c.Site)
	case c.Watts <= 0:
		return nil, fmt.Errorf("watts is %d: above 0 is accepted", c.Watts)
	case c.For <= 0 || c.For > maxCurtail:
		return nil, fmt.Errorf("duration is %v: above 0, at most %v is accepted", c.For, maxCurtail)
	}
	if c.DryRun {
		return g.sites[i], nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.ready {
		return nil, refuse(ErrEarly, "what tenants hold is not known yet: nothing is ordered before")
	}
	for _, f := range g.sites[i].feeders {
		if f.arm == fleet.Act {
			return g.sites[i], nil
		}
	}
	return nil, refuse(ErrState, "no feeder of site %q is armed to act: see hashlease site arm", c.Site)
}

// preview plans a wish over all feeders of the site together, from the present state.
func (g *Governor) preview(st *site, c Curtailment) (Preview, map[fleet.FeederID]unit.Watts) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	s, caps := g.wholeSite(st, c, now)
	plan := fleet.MakePlan(&s, caps, now)
	var p Preview
	claims := map[fleet.FeederID]unit.Watts{}
	for _, sp := range plan.Setpoints {
		w := g.byWorker[sp.Worker]
		p.Workers = append(p.Workers, PreviewWorker{
			Worker: sp.Worker, Feeder: w.feeder.ID, From: w.order.Watts, To: sp.Watts,
		})
		claims[w.feeder.ID] += w.order.Watts - sp.Watts
		p.Freed += w.order.Watts - sp.Watts
	}
	p.Cost = plan.Feeders[0].Cost - unit.Msat(float64(st.tariff.price)*float64(p.Freed)/1000)
	for id := range claims {
		for _, cl := range g.claims {
			if cl.cap.Feeder == id && cl.counts(now) {
				p.Claims = append(p.Claims, cl.cap.Claim)
			}
		}
		f := g.byFeeder[id]
		claims[id] += max(0, f.plan.Bound-f.margin(&g.cfg)-f.excess-f.plan.Present)
	}
	slices.Sort(p.Claims)
	return p, claims
}

// wholeSite is a snapshot in which the site is one feeder whose bound is what it draws less the wish:
// workers may only go down from where they are.
func (g *Governor) wholeSite(st *site, c Curtailment, now time.Time) (fleet.Snapshot, []fleet.Cap) {
	one := &fleet.Feeder{ID: "site"}
	s := fleet.Snapshot{MsatPerHash: g.price(), Feeders: []fleet.FeederState{{Feeder: one, SleepFirst: true}}}
	for _, f := range st.feeders {
		for _, w := range f.workers {
			state := w.state(now)
			copied := w.Worker
			copied.Feeder = one.ID
			switch w.order.Mode {
			case fleet.Paused:
				state.Reachable = false
			case fleet.Capped:
				copied.Curve = cutAt(copied.Curve, w.order.Watts)
				state.Mode = fleet.Free
			case fleet.Free:
			}
			// A wish does not break owners' terms as a limit may.
			terms := g.termsOf(w, now)
			state.Reachable = state.Reachable && (f.arm == fleet.Act || c.DryRun) && !terms.KeepFull
			state.Capability.CanPause = state.Capability.CanPause && !terms.KeepAwake
			state.Worker = &copied
			if state.Reachable && !copied.Pinned {
				one.Limit += copied.Curve.Full().Watts
			} else {
				one.Limit += state.Draw
			}
			s.Workers = append(s.Workers, state)
		}
	}
	wish := fleet.Cap{Feeder: one.ID, Claim: "wish", Watts: c.Watts, From: now, Until: now.Add(c.For)}
	return s, []fleet.Cap{wish}
}

// cutAt is a curve whose full power is w.
func cutAt(c fleet.Curve, w unit.Watts) fleet.Curve {
	cut := fleet.Curve{}
	for _, p := range c {
		if p.Watts < w {
			cut = append(cut, p)
		}
	}
	return append(cut, fleet.Point{Watts: w, Hashrate: c.At(w)})
}

// startCurtailment makes a wish durable and puts it in force.
func (g *Governor) startCurtailment(
	ctx context.Context, st *site, c Curtailment,
) (Preview, curtailment, error) {
	g.saveMu.Lock()
	defer g.saveMu.Unlock()
	p, claims := g.preview(st, c)
	if len(claims) == 0 {
		return p, curtailment{}, refuse(ErrShort, "site %q: no worker can give way", c.Site)
	}
	now := time.Now()
	cur := curtailment{
		ID: g.saved.Counter + 1, Site: c.Site, Watts: c.Watts,
		From: now, Until: now.Add(c.For), Claims: claims,
	}
	g.mu.Lock()
	for id := range claims {
		cur.Baseline += g.byFeeder[id].now.mining
	}
	g.mu.Unlock()
	err := g.save(ctx, func(d *durable) {
		d.Counter = cur.ID
		d.Curtailments = append(d.Curtailments, cur)
	})
	if err != nil {
		return p, cur, fmt.Errorf("noting the curtailment: %w", err)
	}
	p.Claim = cur.name()
	g.mu.Lock()
	g.addCurtailment(cur)
	for id := range claims {
		if cl := g.claims[cur.claimName(id)]; cl != nil {
			g.noteClaim(cl, "set", now)
		}
	}
	g.event(now, Event{Site: c.Site, Claim: p.Claim, Message: fmt.Sprintf(
		"operator curtails %v for %v", c.Watts, c.For)})
	g.mu.Unlock()
	g.wake()
	return p, cur, nil
}

func (c *curtailment) name() string { return fmt.Sprintf("%s%d", operatorPrefix, c.ID) }

// claimName is the name of the curtailment's claim on one feeder.
func (c *curtailment) claimName(id fleet.FeederID) string { return c.name() + "/" + string(id) }

// addCurtailment puts the claims of a curtailment in force. The caller holds mu, or is New.
func (g *Governor) addCurtailment(c curtailment) {
	g.curtailed = append(g.curtailed, &regulated{curtailment: c})
	for id, watts := range c.Claims {
		if f := g.byFeeder[id]; f != nil && watts > 0 {
			name := c.claimName(id)
			g.claims[name] = g.newClaim(fleet.Cap{
				Feeder: id, Claim: name, Watts: watts, From: c.From, Until: c.Until,
			})
			f.calmSince = c.From
		}
	}
}

// endCurtailments forgets the claims of curtailments that are over.
func (g *Governor) endCurtailments(now time.Time) {
	g.curtailed = slices.DeleteFunc(g.curtailed, func(r *regulated) bool { return !now.Before(r.Until) })
	for name, c := range g.claims {
		if c.operator && !now.Before(c.cap.Until) {
			delete(g.claims, name)
			g.noteClaim(c, "ended", now)
			g.event(now, Event{Feeder: c.cap.Feeder, Claim: name, Message: "curtailment ended"})
		}
	}
}

// follow reports every second what the meters say of a curtailment.
func (g *Governor) follow(ctx context.Context, c curtailment, report func(CurtailUpdate) error) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		p := g.progress(&c, time.Now())
		if err := report(CurtailUpdate{Progress: &p}); err != nil || p.Done {
			return err
		}
	}
}

// progress is what the meters say of a curtailment now.
func (g *Governor) progress(c *curtailment, now time.Time) Progress {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := Progress{At: now, Baseline: c.Baseline, Elapsed: now.Sub(c.From)}
	newer := true
	var shed time.Duration
	for id := range c.Claims {
		f := g.byFeeder[id]
		p.Mining += f.now.mining
		newer = newer && f.now.fresh && f.now.at.After(f.reducedAt) && f.now.at.After(c.From)
		for _, w := range f.workers {
			shed = max(shed, w.shedIn())
		}
	}
	freed := c.Baseline - p.Mining
	missing := c.Watts - freed
	switch {
	case newer && missing <= c.Watts/100:
		p.Proven, p.Done = true, true
		p.Message = fmt.Sprintf("%v freed at the meter", freed)
	case !now.Before(c.Until):
		p.Done, p.Message = true, "ended before the meters showed it"
	case p.Elapsed > proofTime+2*shed:
		p.Done, p.Message = true, g.shortfall(c, freed)
	case newer && g.corrects(c.ID):
		p.Message = fmt.Sprintf("%v freed; more is being ordered: %v is missing", max(0, freed), missing)
	default:
		p.Message = fmt.Sprintf("%v freed so far", max(0, freed))
	}
	return p
}

// shortfall says how much is missing and who is to blame.
func (g *Governor) shortfall(c *curtailment, freed unit.Watts) string {
	var stuck []string
	unreachable := 0
	for id := range c.Claims {
		for _, w := range g.byFeeder[id].workers {
			if w.stuck {
				stuck = append(stuck, string(w.ID))
			} else if w.actuator == nil {
				unreachable++
			}
		}
	}
	slices.Sort(stuck)
	more := ""
	if len(stuck) > 10 {
		stuck, more = stuck[:10], " ..."
	}
	return fmt.Sprintf("only %v of %v freed: stuck: %s%s; out of reach: %d",
		max(0, freed), c.Watts, orNone(strings.Join(stuck, ", ")), more, unreachable)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
