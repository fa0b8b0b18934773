package governor

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// MeterState says how far a meter can be believed.
type MeterState uint8

// States of a meter, each with its own consequence. A lost meter is not a lost load.
const (
	// ratioStands is by how much a first ratio of meter and words may move while it stands for ratioFor.
	ratioStands = 0.01
	ratioFor    = 15 * time.Second
)

const (
	// MeterOK: read, fresh and consistent.
	MeterOK MeterState = iota
	// MeterUnread: never read yet. Nothing is ordered on its feeder.
	MeterUnread
	// MeterStale: its newest reading is older than Stale. Nobody returns, nothing is proven.
	MeterStale
	// MeterLost: stale for Lost. What it measured counts as the most that it may be, and the feeder has no
	// capacity for tenants.
	MeterLost
	// MeterInconsistent: its energy counter and its watts have told different things for a minute. One of
	// both is wrong, and it counts as stale.
	MeterInconsistent
	// MeterReversed is how people are shown a meter that runs backwards. What counts is that it was never
	// read, or since when it was not.
	MeterReversed
)

// String is the state in a word.
func (s MeterState) String() string {
	words := [...]string{"ok", "unread", "stale", "lost", "inconsistent", "reversed"}
	if int(s) >= len(words) {
		return "unknown"
	}
	return words[s]
}

// MeterStatus is one meter for people.
type MeterStatus struct {
	Name   string
	Role   fleet.Role
	Tenant string
	State  MeterState
	Watts  unit.Watts // of the newest reading
	At     time.Time  // when it was taken; zero before the first
	Detail string     // what is wrong and what to do; empty if nothing is
}

const (
	// disagreement is the share of the larger by which two ways of telling the same watts may differ, and
	// disagreeFor how long before that means something (power.md 4.11).
	disagreement = 0.05
	disagreeFor  = time.Minute
	// counterLeast is the energy over which a counter is compared with watts: a kilowatt-hour, because
	// counters tick in hundredths of one.
	counterLeast = float64(unit.KWh)
)

// counterCheck compares a meter's energy counter with its watts.
type counterCheck struct {
	from, last fleet.Reading
	joules     float64 // by watts, since from
	bad        bool
}

// take takes a reading in.
func (c *counterCheck) take(r fleet.Reading) {
	gap := r.At.Sub(c.last.At)
	switch {
	case !r.At.After(c.last.At) || r.Energy == 0:
		return
	case c.last.At.IsZero() || gap > longestGap || r.Energy < c.from.Energy: // it was away, or exchanged
		*c = counterCheck{from: r, last: r, bad: c.bad}
		return
	}
	c.joules += float64(r.Watts+c.last.Watts) / 2 * gap.Seconds()
	c.last = r
	counted := float64(r.Energy - c.from.Energy)
	if r.At.Sub(c.from.At) < disagreeFor || max(counted, c.joules) < counterLeast {
		return
	}
	bad := apart(counted, c.joules)
	*c = counterCheck{from: r, last: r, bad: bad}
}

// apart says that two figures differ by more than what means nothing.
func apart(a, b float64) bool {
	most := max(a, b)
	return most-min(a, b) > disagreement*most
}

// judge says how far the meter can be believed now, and why not.
func (m *meter) judge(cfg *Config, now time.Time) (fleet.Reading, MeterState, string) {
	r, fault := m.last()
	m.counter.take(r)
	age := now.Sub(r.At)
	why := ""
	if fault != nil {
		why = ": " + fault.Error()
	}
	switch {
	case r.At.IsZero() && errors.Is(fault, fleet.ErrReversed):
		return r, MeterUnread, fmt.Sprintf("meter %s%s", m.Name, why)
	case r.At.IsZero() && fault != nil:
		return r, MeterUnread, fmt.Sprintf("meter %s was never read%s", m.Name, why)
	case r.At.IsZero():
		return r, MeterUnread, fmt.Sprintf("meter %s was not read yet", m.Name)
	case age > cfg.Lost:
		return r, MeterLost, fmt.Sprintf("meter %s is lost since %s, %s%s",
			m.Name, r.At.UTC().Format("15:04:05 UTC"), m.instead(), why)
	case age > cfg.Stale:
		return r, MeterStale, fmt.Sprintf("meter %s: last reading is %.0f s old%s",
			m.Name, age.Seconds(), why)
	case m.counter.bad:
		return r, MeterInconsistent, fmt.Sprintf("meter %s: its energy counter and its watts disagree by "+
			"more than 5 %%: check its registers, scale and current transformers", m.Name)
	}
	if m.Words {
		return r, MeterOK, "what its machines say of themselves, with a derating; no meter"
	}
	return r, MeterOK, ""
}

// status is a copy for people.
func (m *meter) status(cfg *Config, now time.Time) MeterStatus {
	s := MeterStatus{Name: m.Name, Role: m.Role, Tenant: m.Tenant}
	var r fleet.Reading
	r, s.State, s.Detail = m.judge(cfg, now)
	s.Watts, s.At = r.Watts, r.At
	if _, fault := m.last(); errors.Is(fault, fleet.ErrReversed) && s.State != MeterOK {
		s.State = MeterReversed
	}
	return s
}

// instead says what counts while the meter is lost.
func (m *meter) instead() string {
	if m.carriedBy != "" {
		return m.carriedBy + " counts in its place"
	}
	if m.Branch != "" {
		return "what is below it counts at its worst, with the declared base load"
	}
	return "its branch counts in full"
}

// wordsAlone says that nothing but machines' own words tells what the feeder's mining draws.
func (f *feeder) wordsAlone() bool {
	alone := false
	for _, m := range f.meters {
		switch {
		case m.Role == fleet.Total, m.Role == fleet.Mining && (!m.Words || m.Suffices):
			return false
		case m.Words:
			alone = true
		}
	}
	return alone
}

// dispute is whether two ways of telling a feeder's mining disagree, for how long, and by how much.
type dispute struct {
	open     bool
	turnedAt time.Time  // since when the figures say otherwise than open does; zero: they do not
	ratio    float64    // metered mining a watt of the machines' words while they agree; 0: unknown
	first    float64    // what it may be, if it stands
	firstAt  time.Time  // since when it does
	higher   unit.Watts // mining by who shows more, when both could be compared last
	of       unit.Watts // and by the meter
	text     string
}

// compare looks whether the branches of a feeder add up, and whether its machines' own words agree with its
// meter. What is above by a minute of disagreement is what counts, until they have agreed for as long.
func (g *Governor) compare(f *feeder, now time.Time) {
	d := &f.dispute
	if !f.now.fresh {
		return
	}
	text, higher, known := f.addsUp()
	if text == "" {
		var words bool
		text, higher, words = f.wordsAgree(now)
		known = known || words
	}
	disputed := text != ""
	switch {
	case !known: // nothing can be told while machines are on their way
	case disputed == d.open:
		d.turnedAt = time.Time{}
	case d.turnedAt.IsZero():
		d.turnedAt = now
	case now.Sub(d.turnedAt) >= disagreeFor:
		d.open, d.turnedAt = disputed, time.Time{}
		if disputed {
			g.event(now, Event{Level: Warn, Feeder: f.ID, Message: text + "; the higher counts"})
		} else {
			g.event(now, Event{Feeder: f.ID, Message: "meters and machines agree again"})
		}
	}
	if disputed {
		d.text, d.higher, d.of = text, higher, f.now.mining
	}
	if d.open {
		more := max(0, d.instead(f.now.mining, f.full)-f.now.mining)
		f.now.mining += more
		f.now.outside += more
	}
}

// instead is what counts for metered mining while a dispute is open: by as much more of it as when both could
// be compared last. What stood then would not fall while machines on their way do, and would have others give
// way for them as well.
func (d *dispute) instead(mining, full unit.Watts) unit.Watts {
	switch {
	case d.of <= 0:
		return d.higher
	case d.higher <= d.of:
		return mining
	}
	as := float64(mining) * float64(d.higher) / float64(d.of)
	return unit.Watts(min(as, float64(max(d.higher, full))))
}

// addsUp compares the meter of the whole with those of its parts, if they are there. It gives what mining
// is by the higher of both.
func (f *feeder) addsUp() (text string, mining unit.Watts, known bool) {
	n := &f.now
	parts := n.mining + n.base + n.tenant
	known = f.has(fleet.Total) && f.has(fleet.Mining) && f.has(fleet.Base)
	if !known || !apart(float64(n.total), float64(parts)) {
		return "", 0, known
	}
	return fmt.Sprintf("meters disagree: total %v, its parts %v (mining %v, base %v, tenants %v)",
		n.total, parts, n.mining, n.base, n.tenant), max(n.mining, n.total-n.base-n.tenant), true
}

func (f *feeder) has(role fleet.Role) bool {
	for _, m := range f.meters {
		if m.Role == role {
			return true
		}
	}
	return false
}

// wordsAgree compares metered mining with what machines say of themselves, if those that speak are half of it
// and nothing is under way. By how much their words are off as a rule is learnt meanwhile.
func (f *feeder) wordsAgree(now time.Time) (text string, mining unit.Watts, known bool) {
	words, spoken, settled := f.tally.words, f.tally.spoken, f.tally.settled
	d := &f.dispute
	if !settled || 2*spoken < f.full || words == 0 {
		return "", 0, false
	}
	ratio := float64(f.now.mining) / float64(words)
	d.learn(ratio, now)
	usual := d.ratio
	if usual == 0 {
		usual = 1
	}
	expected := float64(words) * usual
	gap := unit.Watts(expected) - f.now.mining
	if !apart(expected, float64(f.now.mining)) || max(gap, -gap) <= f.tolerance() {
		if d.ratio > 0 {
			d.ratio += (min(max(ratio, 0.75), 1.25) - d.ratio) / 600
		}
		return "", 0, true
	}
	return fmt.Sprintf("meter and machines disagree: mining is %v by the meter and %v by the machines' words",
		f.now.mining, unit.Watts(expected)), max(f.now.mining, unit.Watts(expected)), true
}

// learn takes a first ratio once it has stood for a while: machines' words are 5 to 20 % off, and those of
// the first instants after a start are of another time than the meter's.
func (d *dispute) learn(ratio float64, now time.Time) {
	if d.ratio != 0 || ratio < 0.75 || ratio > 1.25 {
		return
	}
	if d.first == 0 || math.Abs(ratio-d.first) > ratioStands {
		d.first, d.firstAt = ratio, now
	}
	if now.Sub(d.firstAt) >= ratioFor {
		d.ratio = ratio
	}
}

// meterStatus is a copy for people.
func (f *feeder) meterStatus(cfg *Config, now time.Time) []MeterStatus {
	out := make([]MeterStatus, 0, len(f.meters))
	for _, m := range f.meters {
		out = append(out, m.status(cfg, now))
	}
	return out
}
