package audit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// fold works a report out of records, one by one in the order of the log.
type fold struct {
	q        Query
	zone     *time.Location
	feeders  map[fleet.FeederID]*feederFold
	subjects map[string]*subject
	workers  map[pool.WorkerID]*Worker
	proofs   map[string]Record // the newest of each claim
	limits   []Record          // of the whole site
	report   Report
}

// feederFold is what is known of a feeder.
type feederFold struct {
	last     Record // the newest reading; no kind before the first
	recent   []pair // of the last minutes
	subjects []*subject
	episode  *subject
	episodes int
	quarters map[int64]Record
	leads    map[string]ahead // claims that are ordered for and not due yet
}

// ahead is a claim whose power is ordered free and does not have to be yet.
type ahead struct {
	due   time.Time
	watts unit.Watts
}

// dueOf is when the power of a claim has to be free: at its start, or, where no order could come before,
// after the feeder's notice.
func dueOf(r *Record) time.Time {
	if r.Order.IsZero() || !r.Order.Before(r.From) {
		return r.From.Add(time.Duration(r.Millis) * time.Millisecond)
	}
	return r.From
}

// lead follows claims until they are due, whatever is asked for: their watts are in the bound before.
func (ff *feederFold) lead(r *Record) {
	delete(ff.leads, r.Claim)
	if due := dueOf(r); r.State == "set" && r.At.Before(due) {
		ff.leads[r.Claim] = ahead{due, r.Watts}
	}
}

// leading are the watts of claims that are not due at an instant.
func (ff *feederFold) leading(at time.Time) (sum unit.Watts) {
	for name, l := range ff.leads {
		if !at.Before(l.due) {
			delete(ff.leads, name)
			continue
		}
		sum += l.watts
	}
	return sum
}

func newFold(q Query) *fold {
	return &fold{
		q: q, zone: q.location(), feeders: map[fleet.FeederID]*feederFold{},
		subjects: map[string]*subject{}, workers: map[pool.WorkerID]*Worker{}, proofs: map[string]Record{},
		report: Report{Query: q, Rules: Rules},
	}
}

func (f *fold) feeder(id fleet.FeederID) *feederFold {
	ff := f.feeders[id]
	if ff == nil {
		ff = &feederFold{quarters: map[int64]Record{}, leads: map[string]ahead{}}
		f.feeders[id] = ff
		if f.spans() {
			f.subject(id, "span", string(id), f.q.From).Until = f.q.Until
		}
		for i := range f.limits {
			f.limitOn(id, &f.limits[i])
		}
	}
	return ff
}

// spans says whether all of a span is asked for.
func (f *fold) spans() bool { return f.q.Claim == "" && f.q.Limit == 0 }

// subject finds or makes one. Its key is its kind, name and feeder.
func (f *fold) subject(id fleet.FeederID, kind, name string, begin time.Time) *subject {
	key := kind + " " + name + " " + string(id)
	s := f.subjects[key]
	if s == nil {
		s = &subject{whole: kind != "claim"}
		s.Kind, s.Name, s.Feeder, s.Begin, s.From, s.needed = kind, name, id, begin, begin, begin
		f.subjects[key] = s
		s.idle = true
	}
	if s.idle {
		s.idle = false
		ff := f.feeder(id)
		ff.subjects = append(ff.subjects, s)
	}
	return s
}

// add takes the next record.
func (f *fold) add(r *Record) {
	inside := !r.At.Before(f.q.From) && r.At.Before(f.q.Until)
	switch r.Kind {
	case Gap:
		if inside {
			f.report.Missing += r.Missing
		}
	case Started:
		if inside {
			f.report.Restarts++
		}
	default:
		if r.Site == f.q.Site {
			f.addHere(r, inside)
		}
	}
}

func (f *fold) addHere(r *Record, inside bool) {
	switch r.Kind {
	case Reading:
		f.reading(r)
	case Interval:
		f.feeder(r.Feeder).quarters[r.From.Unix()] = *r
	case Claim:
		f.claim(r)
	case LimitSet:
		f.limit(r)
	case Proof:
		if f.spans() && inside || f.q.about(r.Claim) {
			f.proofs[r.Claim+" "+string(r.Feeder)] = *r
		}
	case Order, Acked, Failed, Evidence:
		if inside && f.concerns(r.Feeder) {
			f.worker(r)
		}
	default:
	}
}

// concerns says whether anything that was asked for is on the feeder now.
func (f *fold) concerns(id fleet.FeederID) bool {
	ff := f.feeders[id]
	return ff != nil && len(ff.subjects) > 0
}

func (f *fold) claim(r *Record) {
	f.feeder(r.Feeder).lead(r)
	if !f.spans() && !f.q.about(r.Claim) {
		return
	}
	begin := r.From
	if !r.Order.IsZero() && r.Order.Before(begin) {
		begin = r.Order
	}
	s := f.subject(r.Feeder, "claim", r.Claim, begin)
	switch r.State {
	case "set":
		if s.readings == 0 {
			s.Begin, s.From, s.needed = begin, r.From, dueOf(r)
		}
		s.Tenant, s.Watts, s.Until = r.Tenant, r.Watts, r.Until
	case "removed":
		if r.At.Before(s.Until) {
			s.Until = r.At
		}
	}
}

func (f *fold) limit(r *Record) {
	if !f.spans() && f.q.Limit != r.Number {
		return
	}
	if r.Feeder != "" {
		f.limitOn(r.Feeder, r)
		return
	}
	for _, id := range slices.Sorted(maps.Keys(f.feeders)) {
		f.limitOn(id, r)
	}
	f.limits = append(f.limits, *r) // for feeders that are still to come
}

// limitOn takes a limit for one feeder. What a whole site's means for it, its bound shows.
func (f *fold) limitOn(id fleet.FeederID, r *Record) {
	s := f.subject(id, "limit", strconv.FormatUint(r.Number, 10), r.From)
	switch r.State {
	case "set":
		if s.readings == 0 && !r.Order.IsZero() && r.Order.Before(r.From) {
			s.Begin = r.Order
		}
		s.Watts, s.Until = r.Watts, r.Until
		if r.Feeder != "" {
			s.cap = max(1, r.Watts)
		}
	case "cleared":
		if r.At.Before(s.Until) {
			s.Until = r.At
		}
	}
}

func (f *fold) reading(r *Record) {
	ff := f.feeder(r.Feeder)
	last := ff.last
	ff.last = *r
	gap := r.At.Sub(last.At)
	if last.Kind == "" || gap <= 0 {
		return
	}
	f.report.Readings++
	p := pair{
		from: last.At, to: r.At, joined: last.Fresh && r.Fresh && gap <= longestGap,
		watts: float64(last.Mining+r.Mining) / 2, leading: ff.leading(r.At), r: r,
	}
	if f.spans() {
		f.episode(ff, &p)
	}
	for _, s := range ff.subjects {
		s.add(&p, ff.recent)
	}
	ff.subjects = slices.DeleteFunc(ff.subjects, func(s *subject) bool {
		s.idle = s.Until.Before(p.from)
		return s.idle
	})
	if ff.episode != nil {
		ff.episode.add(&p, ff.recent)
	}
	n := 0
	for n < len(ff.recent) && p.to.Sub(ff.recent[n].to) > 2*before {
		n++
	}
	ff.recent = append(slices.Delete(ff.recent, 0, n), p)
	ff.recent[len(ff.recent)-1].r = nil
}

// episode begins one when anything is in force, and ends it when nothing is any more.
func (f *fold) episode(ff *feederFold, p *pair) {
	force := p.r.Watts > 0 || p.r.Ceiling > 0 || p.r.Reduced > 0
	inside := !p.from.Before(f.q.From) && p.to.Before(f.q.Until)
	switch {
	case force && inside && ff.episode == nil:
		ff.episodes++
		s := f.subject(p.r.Feeder, "episode", fmt.Sprint(ff.episodes), p.from)
		s.Until = f.q.Until
		ff.subjects = slices.DeleteFunc(ff.subjects, func(o *subject) bool { return o == s })
		ff.episode = s
	case !force && ff.episode != nil:
		ff.episode.Until = p.from
		ff.episode = nil
	}
}

// worker counts what was ordered of a worker.
func (f *fold) worker(r *Record) {
	w := f.workers[r.Worker]
	if w == nil {
		w = &Worker{Worker: r.Worker, Feeder: r.Feeder, Stable: rounded(r.Stable), Evidence: "none"}
		f.workers[r.Worker] = w
	}
	switch r.Kind {
	case Order:
		w.Orders++
	case Failed:
		w.Failures++
	case Evidence:
		if strength(r.State) > strength(w.Evidence) {
			w.Evidence = r.State
		}
		if r.Warn {
			w.Stuck++
		}
	default:
	}
}

// strength orders steps of evidence by how much they prove.
func strength(step string) int {
	for e := fleet.NoOrder; e <= fleet.MeterConfirmed; e++ {
		if e.String() == step {
			return int(e)
		}
	}
	return 0
}

// done is the report of all that was added.
func (f *fold) done() Report {
	for _, ff := range f.feeders {
		if ff.episode != nil && ff.last.At.Before(ff.episode.Until) {
			ff.episode.Until = ff.last.At // it goes on: this is how far it is known
		}
	}
	list := slices.Collect(maps.Values(f.subjects))
	list = slices.DeleteFunc(list, func(s *subject) bool {
		outside := !s.Begin.Before(f.q.Until) || !s.Until.After(f.q.From)
		return !s.Until.After(s.Begin) || f.spans() && outside
	})
	slices.SortFunc(list, func(a, b *subject) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.Begin.Compare(b.Begin),
			cmp.Compare(a.Feeder, b.Feeder), cmp.Compare(a.Name, b.Name))
	})
	r := f.report
	r.Figures = f.totals(list)
	r.Subjects, r.Workers = []Subject{}, []Worker{}
	for _, s := range list[:min(len(list), maxSubjects)] {
		s.Figures = f.figures(s)
		r.Subjects = append(r.Subjects, s.Subject)
	}
	for _, id := range slices.Sorted(maps.Keys(f.workers)) {
		if len(r.Workers) == maxWorkers {
			r.More = len(f.workers) - maxWorkers
			break
		}
		r.Workers = append(r.Workers, *f.workers[id])
	}
	return r
}

// rank orders subjects by their kind.
func rank(s *subject) int { return slices.Index([]string{"span", "claim", "limit", "episode"}, s.Kind) }
