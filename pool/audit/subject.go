package audit

import (
	"math"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

const (
	// before is what a baseline by the meter is the mean of.
	before = 5 * time.Minute
	// longestGap is how far apart two readings may be and still be joined.
	longestGap = 90 * time.Second
	quarter    = 15 * time.Minute
)

// subject adds up what the readings show in its window.
type subject struct {
	Subject

	whole  bool       // the feeder's work is all its own; otherwise its part of the claimed watts is
	needed time.Time  // when its power has to be free
	cap    unit.Watts // of a limit: all that may be taken; 0 for none
	idle   bool       // its window is over
	based  bool
	base   mean // metered mining before

	covered, mined, freed   float64 // seconds, joules, joules
	bought                  float64 // msat of energy not bought
	tariff                  bool    // one was known
	due, done, msat         float64
	priced                  bool
	reduced, faulty, unseen float64 // worker-seconds
	judged, within, worst   float64 // seconds, watts
	offset                  float64 // watt-seconds of mining less orders
	over, overWorst         float64
	slots                   map[int64]*slot
	readings                int
}

// slot is what was metered in a quarter of an hour.
type slot struct{ seconds, joules float64 }

// mean is a time-weighted mean.
type mean struct {
	seconds, sum float64
	n            int
}

func (m *mean) value() float64 { return m.sum / m.seconds }

// pair is two readings, one after the other, of a feeder.
type pair struct {
	from, to time.Time
	joined   bool       // both are fresh, and close enough for a line between them
	watts    float64    // mining's mean
	leading  unit.Watts // of claims that are in the bound and do not have to be free yet
	r        *Record    // the later one
}

// overlap is how much of the pair lies in [from, until), in seconds.
func (p *pair) overlap(from, until time.Time) float64 {
	if from.Before(p.from) {
		from = p.from
	}
	if until.After(p.to) {
		until = p.to
	}
	return max(0, until.Sub(from).Seconds())
}

// add takes the pair into account as far as it lies in the window.
func (s *subject) add(p *pair, recent []pair) {
	sec := p.overlap(s.Begin, s.Until)
	if sec <= 0 {
		return
	}
	if !s.based {
		s.based = true
		s.baseOn(recent)
		s.baseOn([]pair{*p}) // the part of it that is before
	}
	s.readings++
	s.addWork(p, sec/p.to.Sub(p.from).Seconds(), sec)
	if !p.joined {
		return
	}
	s.covered += sec
	s.mined += p.watts * sec
	if s.base.seconds > 0 {
		freed := (s.base.value() - p.watts) * sec
		s.freed += freed
		s.bought += freed / float64(unit.KWh) * float64(p.r.Tariff)
	}
	s.tariff = s.tariff || p.r.Tariff != 0
	s.fill(p)
	s.judge(p)
	if p.r.Total > p.r.Limit {
		s.over += sec
		s.overWorst = max(s.overWorst, float64(p.r.Total-p.r.Limit))
	}
}

// baseOn is the mean of the last minutes before the window.
func (s *subject) baseOn(recent []pair) {
	for i := range recent {
		sec := recent[i].overlap(s.Begin.Add(-before), s.Begin)
		if recent[i].joined && sec > 0 {
			s.base.seconds += sec
			s.base.sum += recent[i].watts * sec
			s.base.n++
		}
	}
}

// addWork adds the subject's part of the work that was not done.
func (s *subject) addWork(p *pair, share, sec float64) {
	part := share
	if !s.whole && p.r.Watts > 0 {
		part *= min(1, float64(s.Watts)/float64(p.r.Watts))
	}
	s.due += p.r.Due * part
	s.done += p.r.Done * part
	s.msat += (p.r.Due - p.r.Done) * part * p.r.Price
	s.priced = s.priced || p.r.Price > 0
	s.reduced += float64(p.r.Reduced) * sec
	s.faulty += float64(p.r.Faulty) * sec
	s.unseen += float64(p.r.Unmeasured) * sec
}

// fill spreads metered mining over quarters of an hour.
func (s *subject) fill(p *pair) {
	if s.slots == nil {
		s.slots = map[int64]*slot{}
	}
	for at := p.from.Truncate(quarter); at.Before(p.to); at = at.Add(quarter) {
		begin, end := at, at.Add(quarter)
		if begin.Before(s.Begin) {
			begin = s.Begin
		}
		if end.After(s.Until) {
			end = s.Until
		}
		if sec := p.overlap(begin, end); sec > 0 {
			q := s.slots[at.Unix()]
			if q == nil {
				q = &slot{}
				s.slots[at.Unix()] = q
			}
			q.seconds += sec
			q.joules += p.watts * sec
		}
	}
}

// judge compares metered power with what it had to be, from the moment that it had to.
func (s *subject) judge(p *pair) {
	sec := p.overlap(s.needed, s.Until)
	if sec <= 0 || s.cap == 0 && p.r.Bound == 0 {
		return
	}
	shown, most := float64(p.r.Mining), float64(p.r.Bound+p.leading)+float64(p.r.Limit)/200
	if s.cap > 0 {
		shown, most = float64(p.r.Total), float64(s.cap)*1.005
	}
	s.judged += sec
	if shown <= most {
		s.within += sec
	}
	s.worst = max(s.worst, shown-most)
	s.offset += float64(p.r.Mining-p.r.Ordered) * sec
}

// rounded is v to the nearest whole number, halves away from zero, within what an integer holds.
func rounded(v float64) int64 {
	v = math.Round(v)
	switch {
	case math.IsNaN(v):
		return 0
	case v >= math.MaxInt64:
		return math.MaxInt64
	case v <= math.MinInt64:
		return math.MinInt64
	}
	return int64(v)
}
