package governor

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// point is one place that is metered: by one meter, or by several that stand in for each other.
type point struct {
	meters []*meter // in the order of the configuration; there is one at least

	// By the newest look, guarded by Governor.mu.
	reading fleet.Reading // the highest of those that can be believed, at the oldest of their times
	state   MeterState    // of the one that can be believed most
	detail  string        // of the same

	// Whether those that can be believed disagree; guarded by Governor.mu.
	disputed bool
	turnedAt time.Time // since when they say otherwise than disputed does; zero: they do not
	text     string

	// Whose counter tells the energy, and up to when it is accounted; guarded by Governor.mu.
	carrier *meter
	upTo    time.Time
}

// addMeter gives a meter its point among those of a feeder or a branch.
func addMeter(points []*point, m *meter) []*point {
	for _, p := range points {
		if m.Group != "" && p.meters[0].Group == m.Group {
			p.meters = append(p.meters, m)
			return points
		}
	}
	return append(points, &point{meters: []*meter{m}})
}

func (p *point) role() fleet.Role { return p.meters[0].Role }
func (p *point) tenant() string   { return p.meters[0].Tenant }

// validateGroups checks that meters that stand in for each other measure the same.
func (c *Config) validateGroups() error {
	var errs []error
	groups := map[[3]string]*Meter{}
	for i := range c.Meters {
		m := &c.Meters[i]
		group := [3]string{string(m.Feeder), string(m.Branch), m.Group}
		first := groups[group]
		switch {
		case m.Group == "":
		case first == nil:
			groups[group] = m
		case first.Role != m.Role || first.Tenant != m.Tenant:
			errs = append(errs, fmt.Errorf("meter %d (%s): it is in one group with meter %s: the same role "+
				"and tenant are accepted", i+1, m.Name, first.Name))
		}
	}
	return errors.Join(errs...)
}

// doubt orders states by how little a meter in them can be believed.
func (s MeterState) doubt() int {
	return [...]int{MeterOK: 0, MeterStale: 1, MeterInconsistent: 2, MeterLost: 3, MeterUnread: 4}[s]
}

// readPoint takes the newest readings of a point. Of meters that stand in for each other the higher of those
// that can be believed counts; one that cannot is carried by the others. Events are told as about where.
func (g *Governor) readPoint(p *point, where Event, tolerance unit.Watts, now time.Time) {
	var believed extremes
	for i, m := range p.meters {
		r, state, detail := m.judge(&g.cfg, now)
		g.noteMeter(where, m, state, detail, now)
		if state == MeterOK {
			believed.take(m, r.Watts)
		}
		switch better := state.doubt() - p.state.doubt(); {
		case i == 0 || better < 0:
			p.reading, p.state, p.detail = r, state, detail
		case better == 0:
			p.reading.Watts = max(p.reading.Watts, r.Watts)
			if r.At.Before(p.reading.At) {
				p.reading.At = r.At
			}
		}
	}
	for _, m := range p.meters {
		m.carriedBy = ""
		if believed.high != nil && m.state != MeterOK {
			m.carriedBy = believed.high.Name
		}
	}
	if believed.high != believed.low { // two at least
		g.disputePoint(p, &believed, where, tolerance, now)
	}
}

// extremes are the meters of a point that show most and least.
type extremes struct {
	high, low   *meter
	most, least unit.Watts
}

func (e *extremes) take(m *meter, watts unit.Watts) {
	if e.high == nil || watts > e.most {
		e.high, e.most = m, watts
	}
	if e.low == nil || watts <= e.least {
		e.low, e.least = m, watts
	}
}

// disputePoint notes that meters of one point differ or agree, and tells people once either has stood for a
// minute.
func (g *Governor) disputePoint(p *point, e *extremes, where Event, tolerance unit.Watts, now time.Time) {
	differ := e.most-e.least > tolerance && apart(float64(e.most), float64(e.least))
	if differ {
		p.text = fmt.Sprintf("meters %s and %s stand in for each other and disagree: %v and %v",
			e.high.Name, e.low.Name, e.most, e.least)
	}
	switch {
	case differ == p.disputed:
		p.turnedAt = time.Time{}
	case p.turnedAt.IsZero():
		p.turnedAt = now
	case now.Sub(p.turnedAt) >= disagreeFor:
		p.disputed, p.turnedAt = differ, time.Time{}
		where.Message = fmt.Sprintf("meters %s and %s agree again", e.high.Name, e.low.Name)
		if differ {
			where.Level, where.Message = Warn, p.text+"; the higher counts"
		}
		g.event(now, where)
	}
}

// disputedPoint is what is said of the first of the feeder's points whose meters disagree; empty if none do.
func (f *feeder) disputedPoint() string {
	for _, p := range f.points {
		if p.disputed {
			return p.text
		}
	}
	return ""
}

// account adds the energy since the last reading to the tenant's claims: by the counter of one of its meters,
// and by that of another from where it stopped being believed.
func (p *point) account(claims []*claim) {
	if p.carrier == nil || p.carrier.state != MeterOK {
		p.choose()
	}
	if r, _ := p.carrier.last(); r.At.After(p.carrier.accounted.At) {
		p.take(claims, p.carrier.accounted, r)
	}
	for _, m := range p.meters {
		r, _ := m.last()
		if m == p.carrier || r.At.Equal(m.followed) {
			continue
		}
		apart := r.At.Sub(p.upTo)
		if apart.Abs() <= joined && (p.carrier.state == MeterOK || m.accounted.At.IsZero()) {
			m.accounted, m.followed = moved(r, p.upTo), r.At // from here on it takes over, if it has to
		}
	}
}

// joined is how far apart readings of meters that stand in for each other may be and still be of one
// instant, but for the energy between them.
const joined = 5 * time.Second

// moved is what a meter would have read at another instant close by.
func moved(r fleet.Reading, at time.Time) fleet.Reading {
	if r.Energy > 0 {
		r.Energy = max(1, r.Energy+unit.Joules(float64(r.Watts)*at.Sub(r.At).Seconds()))
	}
	r.At = at
	return r
}

// choose finds who carries the energy on.
func (p *point) choose() {
	if p.carrier == nil {
		p.carrier = p.meters[0]
		for _, m := range p.meters { // as it was kept over a restart
			if m.accounted.At.After(p.upTo) {
				p.upTo = m.accounted.At
			}
		}
		for _, m := range p.meters {
			if m.accounted.At.Before(p.upTo) { // others have told more since
				m.accounted = fleet.Reading{}
			}
		}
	}
	for _, m := range p.meters {
		if m.state == MeterOK {
			p.carrier = m
			return
		}
	}
}

// take accounts what was drawn between two readings of the carrier. What the others would read now goes up by
// as much, so that whoever takes over does not tell it again.
func (p *point) take(claims []*claim, last, r fleet.Reading) {
	p.carrier.accounted, p.carrier.followed = r, r.At
	whole := r.At.Sub(last.At)
	p.upTo = r.At
	if last.At.IsZero() {
		return
	}
	byWatts := float64(r.Watts+last.Watts) / 2 * whole.Seconds()
	told := byWatts
	switch {
	case r.Energy > 0 && last.Energy > 0 && r.Energy >= last.Energy:
		if told = float64(r.Energy - last.Energy); whole > longestGap {
			byWatts = told
		}
		divide(claims, p.tenant(), span{last.At, r.At}, told, byWatts)
	case whole <= longestGap:
		divide(claims, p.tenant(), span{last.At, r.At}, byWatts, byWatts)
	}
	for _, m := range p.meters {
		if m == p.carrier || m.accounted.At.IsZero() {
			continue
		}
		if m.accounted.Energy > 0 {
			m.accounted.Energy += unit.Joules(math.Round(told))
		}
		m.accounted.At, m.accounted.Watts = r.At, r.Watts
	}
}
