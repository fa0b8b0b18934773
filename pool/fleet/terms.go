package fleet

import (
	"math"
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

const (
	// hysteresis is by how much of the tariff a change of state has to be worth it, either way.
	hysteresis = 0.03
	// breach is how many times its income a worker's watts count, if only by breaking its owner's terms they
	// can be freed: all others go first.
	breach = 1000
)

// Terms are what a worker's owner does not let us do now. They go before profit; the bound goes before them.
type Terms struct {
	KeepFull      bool // not to be reduced
	KeepAwake     bool // not to begin another pause; caps are open
	KeepFromPrice bool // not to be reduced because power is dear; claims may
}

func (t Terms) bind() bool { return t.KeepFull || t.KeepAwake }

// bar says whether the terms forbid the option to a worker in this state.
func (t Terms) bar(st *WorkerState, o *option) bool {
	return o.freed > 0 && (t.KeepFull || t.KeepAwake && o.mode == Paused && st.Mode != Paused)
}

// relaxed is what gives way so that the bound can be kept.
type relaxed uint8

const (
	relaxNothing relaxed = iota
	relaxSlow            // machines too slow for a claim that is about to begin
	relaxMinRun
	relaxTerms
)

// BreakEven is the tariff, msat a kWh, at which the worker earns at full power what its power costs, where
// one hash earns so many msat. 0 where that is not known.
func (w *Worker) BreakEven(msatPerHash float64) unit.Msat {
	full := w.Curve.Full()
	even := float64(full.Hashrate) * 3600 * msatPerHash / float64(full.Watts-w.Sleep) * 1000
	if !(even > 0) {
		return 0
	}
	return unit.Msat(min(even, 1e18))
}

// setTariff takes a feeder's tariff for claims that still have so long, and returns how long the plan will
// stand: a stop by price lasts as long as the price is expected to.
func (p *planner) setTariff(f *FeederState, left time.Duration) time.Duration {
	p.tariff = 0
	if p.price == 0 || f == nil || f.Tariff == 0 {
		return left
	}
	p.tariff = float64(f.Tariff) / 1000
	window := f.TariffFor
	if window <= 0 {
		window = time.Hour
	}
	left = max(left, window)
	p.dearFor = cyclesPerHour(left)
	return left
}

// bias is what is laid on an option beyond what it costs: a change of state has to be worth
// more than the hysteresis, and terms are broken last.
func (p *planner) bias(st *WorkerState, o *option) float64 {
	if p.tariff == 0 && p.relaxed < relaxTerms {
		return 0
	}
	w := st.Worker
	full := w.Curve.Full()
	b := 0.0
	if p.tariff != 0 {
		away := o.freed - int64(full.Watts-w.Draw(st.Mode, st.Watts))
		b = hysteresis * math.Abs(p.tariff) * math.Abs(float64(away))
	}
	if p.relaxed == relaxTerms && st.Terms.bar(st, o) {
		price := p.price
		if price == 0 {
			price = 1
		}
		b += breach * float64(full.Hashrate) * 3600 * price / float64(full.Watts) * float64(o.freed)
	}
	return b
}

// cheapest is the option that loses least, claims or not. Those that free less than it lose more:
// they have no place in a plan.
func (p *planner) cheapest(c *class) int32 {
	best := c.from
	if p.tariff == 0 {
		return best
	}
	forced := p.relaxed >= relaxMinRun && p.w.young
	for j := c.from + 1; j < c.to; j++ {
		o := &p.options[j]
		if o.lost < p.options[best].lost && !(forced && o.mode == Paused) {
			best = j
		}
	}
	return best
}

// keepWarm takes back stops by price below a feeder until its least heat is kept, those that save least
// first.
func (p *planner) keepWarm(n *node) {
	n.most = int64(n.full - n.feeder.Feeder.Heat)
	if p.tariff == 0 || n.feeder.Feeder.Heat == 0 {
		return
	}
	var byPrice, least int64
	for i := n.from; i < n.to; i++ {
		c := &p.workers[i]
		byPrice += p.options[c.from].freed
		least += p.options[c.listed].freed
	}
	if byPrice <= n.most {
		return
	}
	mark := len(p.segs)
	for i := n.from; i < n.to; i++ {
		c := &p.workers[i]
		c.from = c.listed
		p.hull(i, c.from)
	}
	segs := p.segs[mark:]
	slices.SortFunc(segs, func(a, b segment) int {
		if a.less(&b) {
			return -1
		}
		return 1
	})
	room := n.most - least
	for _, s := range segs {
		c := &p.workers[s.class]
		if s.slope < 0 && s.freed <= room && c.from == s.prev {
			c.from = s.option
			room -= s.freed
		}
	}
	p.segs = p.segs[:mark]
}

// accountTerms notes what the tariff does to a worker, and whether the plan breaks its owner's terms.
func (p *planner) accountTerms(fp *FeederPlan, c *class) {
	w, now := p.state(c).Worker, &p.options[c.base]
	saved := p.bias(p.state(c), now) - now.lost
	asleep := c.end == c.listed+1 && now.mode == Paused && saved > 0 && p.tariff > 0 // until MinOff is over
	if c.base != c.listed || asleep {
		fp.Stopped = append(fp.Stopped, w.ID)
		fp.Saved += unit.Msat(min(max(saved, 0), 1e15))
	}
	if o := &p.options[c.chosen]; p.relaxed == relaxTerms && p.state(c).Terms.bar(p.state(c), o) {
		fp.Broken = append(fp.Broken, w.ID)
	}
}
