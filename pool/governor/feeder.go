package governor

import (
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

const (
	// baseFall is how long it takes until a fallen base load is believed.
	baseFall = 30 * time.Second
	// settle is how long a base load that is derived from other meters must stand to be believed.
	settle = 3 * time.Second
)

// feeder is a feeder with what is known and ordered on it.
type feeder struct {
	fleet.Feeder
	site    *site
	above   []*branch  // nearest first
	held    unit.Watts // by its tenants: what was granted, or drawn
	meters  []*meter
	points  []*point // the same, by what they measure
	workers []*worker
	full    unit.Watts // of all workers, by their curves

	arm       fleet.Arm
	now       figures
	base      unit.Watts // smoothed: quick to rise, slow to fall
	baseAt    time.Time  // reading behind base
	recent    window     // of base loads
	excess    unit.Watts // see fleet.FeederState
	excessAt  time.Time  // reading behind excess
	unseen    unit.Watts // see lookAhead
	lacks     bool       // a claim has begun, and the meters leave no room for it
	plan      fleet.FeederPlan
	short     bool
	tokens    float64   // watts that may be restored now
	tokensAt  time.Time // when tokens were last added
	reducedAt time.Time // when the last reduction left for a device
	touched   bool      // an order was made in this process
	settledAt time.Time // when an order was last found to have taken effect
	calmSince time.Time // since when every claim is proven; the last change of that
	history   sampleRing
	capacity  capacity
	ceiling   unit.Watts // by limits from outside; 0: none
	advice    advice     // while it is not armed to act
	audit     witness
	tally     tally
	rests     bool // see resting

	dispute dispute
	doubt   doubt

	backups   []*worker // that were found to have backup pools, and people do not know yet
	backupsAt time.Time // when they were last told

	commission   *commission  // under way; nil if there is none
	commissioned commissioned // the last one, as it is kept
	still        bool         // nothing is on its way
	bulk         *passage     // of a dispatch that is followed at the meter
	judged       time.Time    // up to when reductions were looked at for that
	calmMining   unit.Watts   // mining when it was last still
	readAt       time.Time
	readEvery    time.Duration // between two readings of all meters, smoothed

	saidStopped   int // by price, as people were last told
	saidStoppedAt time.Time
	saidAging     bool // that proofs soon count no more
	saidBroken    int  // owners' terms, likewise
	saidBrokenAt  time.Time
	saidCold      bool

	overrun  map[string]Overrun   // by tenant: who draws more than it holds
	judgedAt map[string]time.Time // by tenant: the reading behind that
}

// figures are one look at a feeder's meters.
type figures struct {
	total, mining, base unit.Watts
	tenant              unit.Watts
	tenants             []fleet.TenantDraw
	outside             unit.Watts // feeder less tenants
	at, newest          time.Time  // oldest and newest reading behind them
	metered             bool       // mining can be told at all
	derived             bool       // base is total less the others
	fresh               bool       // no reading is stale
	read                bool       // every meter was read at least once
	lost                bool       // a meter that mining is told by has been stale for long
	trouble             string     // why not
}

func newFeeder(f fleet.Feeder, history int) *feeder {
	return &feeder{
		Feeder: f, arm: f.Arm, base: f.Base, history: sampleRing{size: history},
		overrun: map[string]Overrun{}, judgedAt: map[string]time.Time{},
	}
}

func (f *feeder) permille(n int64) unit.Watts { return f.Limit * unit.Watts(n) / 1000 }

func (f *feeder) margin(cfg *Config) unit.Watts { return f.permille(cfg.MarginPermille) }

// tolerance is what meters and curves may differ by without meaning anything.
func (f *feeder) tolerance() unit.Watts { return f.permille(5) }

// measure takes the newest readings together.
func (g *Governor) measure(f *feeder, now time.Time) {
	n := figures{fresh: true, read: true}
	var sum [4]unit.Watts
	var have [4]bool
	draws := map[string]int{}
	for _, p := range f.points {
		g.readPoint(p, Event{Feeder: f.ID}, f.tolerance(), now)
		r, state, detail, role := p.reading, p.state, p.detail, p.role()
		have[role] = true
		sum[role] += r.Watts
		n.read = n.read && !r.At.IsZero()
		n.readAt(r.At)
		stale := state != MeterOK
		if stale && (n.fresh || state == MeterLost) {
			n.fresh, n.trouble = false, detail
		}
		n.lost = n.lost || state == MeterLost && role != fleet.Base
		if role != fleet.Tenant {
			continue
		}
		i, ok := draws[p.tenant()]
		if !ok {
			i = len(n.tenants)
			draws[p.tenant()] = i
			n.tenants = append(n.tenants, fleet.TenantDraw{Tenant: p.tenant(), Metered: true})
		}
		n.tenants[i].Drawn += r.Watts
		n.tenants[i].Metered = n.tenants[i].Metered && !stale
	}
	n.resolve(sum, have, f.Base)
	if !n.metered {
		n.fresh, n.trouble = false, "no meter tells what mining draws"
	}
	if n.lost {
		n.mining = max(n.mining, f.worst(now)) // a lost meter is not a lost load
	}
	f.now = n
	f.smoothBase()
}

// readAt takes in when a reading was made.
func (n *figures) readAt(at time.Time) {
	if n.at.IsZero() || at.Before(n.at) {
		n.at = at
	}
	if at.After(n.newest) {
		n.newest = at
	}
}

// worst is the most that the feeder's mining may draw by what was ordered and confirmed.
func (f *feeder) worst(now time.Time) (sum unit.Watts) {
	for _, w := range f.workers {
		sum += w.worst(now)
	}
	return sum
}

// noteMeter tells people when a meter is lost or contradicts itself, and when it is well again.
func (g *Governor) noteMeter(where Event, m *meter, state MeterState, detail string, now time.Time) {
	was := m.state
	m.state = state
	bad := func(s MeterState) bool { return s == MeterLost || s == MeterInconsistent }
	switch {
	case bad(state) && was != state:
		where.Level, where.Message = Warn, detail
		g.event(now, where)
	case state == MeterOK && bad(was):
		where.Message = "meter " + m.Name + " is well again"
		g.event(now, where)
	}
}

// resolve tells the branches apart that have no meter of their own.
func (n *figures) resolve(sum [4]unit.Watts, have [4]bool, declared unit.Watts) {
	total, mining, base := sum[fleet.Total], sum[fleet.Mining], sum[fleet.Base]
	n.tenant = sum[fleet.Tenant]
	n.metered = have[fleet.Total] || have[fleet.Mining]
	switch {
	case have[fleet.Base]:
	case have[fleet.Total] && have[fleet.Mining]:
		base, n.derived = max(0, total-mining-n.tenant), true
	default:
		base = declared
	}
	if !have[fleet.Mining] && have[fleet.Total] {
		mining = max(0, total-base-n.tenant)
	}
	if !have[fleet.Total] {
		total = mining + base + n.tenant
	}
	n.total, n.mining, n.base, n.outside = total, mining, base, total-n.tenant
}

// smoothBase follows the base load. With a meter of its own: half of a rise at once, and all of it
// that half the reserve would not bear. Derived from meters that are not read in the same
// instant: only what has stood for settle. A fall is believed over baseFall.
func (f *feeder) smoothBase() {
	if !f.now.fresh || !f.now.at.After(f.baseAt) {
		return
	}
	gap := f.now.at.Sub(f.baseAt)
	first := f.baseAt.IsZero()
	f.baseAt = f.now.at
	raw := max(f.now.base, f.Feeder.Base)
	low, high := raw, raw
	if f.now.derived {
		low, high = f.recent.spread(raw, f.now.at)
	}
	switch {
	case first, !f.touched: // with machines on their way branches that are read apart do not add up
		f.base = raw
	case low > f.base && f.now.derived:
		f.base = low
	case low > f.base:
		rise := low - f.base
		f.base += max((rise+1)/2, rise-f.Reserve/2)
	case high < f.base:
		f.base -= unit.Watts(float64(f.base-high) * min(1, float64(gap)/float64(baseFall)))
	}
}

// window is what a figure was in the last few readings.
type window []struct {
	at    time.Time
	watts unit.Watts
}

// spread takes a reading in and gives the least and the most of the last settle.
func (w *window) spread(watts unit.Watts, at time.Time) (low, high unit.Watts) {
	kept := (*w)[:0]
	for _, r := range *w {
		if at.Sub(r.at) <= settle {
			kept = append(kept, r)
		}
	}
	*w = append(kept, struct {
		at    time.Time
		watts unit.Watts
	}{at, watts})
	low, high = watts, watts
	for _, r := range *w {
		low, high = min(low, r.watts), max(high, r.watts)
	}
	return low, high
}

// explain compares metered mining with what the workers' states add up to. When nothing is
// on its way, the difference is learnt: what is above is somebody who does not
// do as ordered, what is below can only be workers whose state is unknown.
func (f *feeder) explain(now time.Time) {
	if !f.resting(now) {
		f.sum(now) // orders may have been found to work since
	}
	f.still = f.tally.settled
	f.excess = max(f.excess, -f.tally.unknown)
	if !f.now.fresh || !f.now.at.After(f.settledAt) {
		return // a reading from before a change explains nothing
	}
	news := f.now.at.After(f.excessAt)
	f.excessAt = f.now.at
	f.learnExcess(f.now.mining-f.tally.model, news)
	f.lookAhead()
}

// lookAhead has the plan make room for all that a first proof counts. A return on its way counts there beside
// what the meter shows, which may show it already: of machines that say nothing, that is known only when
// three times their return has passed, and no claim should wait for it. The plan counts each machine once,
// and would leave the claim without room until then; and it counts those down that are told a second time.
// What is on its way down is not ordered twice. Once the claim is proven, returns find no room (restore).
func (f *feeder) lookAhead() {
	t := &f.tally
	switch {
	case !f.lacks:
		f.unseen = 0
	case f.now.fresh:
		f.unseen = max(0, f.now.mining+t.rising-t.drop-t.counted-f.excess)
	}
}

// learnExcess takes in that mining is metered e above what workers are believed to draw; news: by a
// reading that was not taken in before.
func (f *feeder) learnExcess(e unit.Watts, news bool) {
	t, mining, beyond := &f.tally, f.now.mining, max(0, f.excess)
	settled := t.settled
	switch {
	case f.doubt.trial != nil && e < f.excess+f.tolerance(): // who is tried counts in full, and may be it
	case settled && e < 0 && (f.excess <= 0 || news):
		f.excess = max(e, -t.unknown)
	case !news:
	case settled && f.excess < 0:
		f.excess = e
	case settled:
		f.excess += (e - f.excess) / 3
	case !t.falling && mining > t.counted+beyond:
		// Some return for half an hour. Once they are back the meter shows more, not less.
		f.excess = beyond + (mining-t.counted-beyond)/3
	case mining > t.worst+f.tolerance():
		f.excess = max(f.excess, mining-t.worst)
	}
}
