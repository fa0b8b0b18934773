package fleet

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/unit"
)

// Bounds of a configuration, enforced by Validate.
const (
	MaxSites   = 1_000
	MaxFeeders = 10_000
	MaxWorkers = 1_000_000
	MaxPoints  = 64 // of one curve
	MaxID      = 40 // bytes of a SiteID or FeederID
	MaxCycles  = 96 // pauses of one worker within 24 h that can be told apart
)

const (
	maxWatts    = 10_000 * unit.Megawatt
	maxHashrate = unit.Hashrate(1e21)
	maxDwell    = 24 * time.Hour
)

// Validate checks a whole configuration and lists every fault at once, each with the name of
// what is wrong and what is accepted. Feeder identities are unique over all sites.
func Validate(sites []Site, workers []Worker) error {
	v := validation{feeders: map[FeederID]*Feeder{}, largest: map[FeederID]*domain{}}
	v.fleetSize(sites, workers)
	seen := map[SiteID]bool{}
	for i := range sites {
		v.site(&sites[i], seen)
	}
	ids := make(map[pool.WorkerID]bool, len(workers))
	for i := range workers {
		v.worker(&workers[i], ids)
	}
	v.branches(sites, workers)
	for i := range sites {
		for j := range sites[i].Feeders {
			f := &sites[i].Feeders[j]
			v.covers(fmt.Sprintf("feeder %q", f.ID), f.Reserve, f.Overload.Watts, v.largest[f.ID])
		}
	}
	return errors.Join(v.faults...)
}

// Validate lists every fault of a curve.
func (c Curve) Validate() error {
	var v validation
	v.curve("curve", c)
	return errors.Join(v.faults...)
}

// validation collects faults.
type validation struct {
	faults  []error
	feeders map[FeederID]*Feeder
	largest map[FeederID]*domain
}

func (v *validation) faultf(format string, args ...any) {
	v.faults = append(v.faults, fmt.Errorf(format, args...))
}

func (v *validation) fleetSize(sites []Site, workers []Worker) {
	if len(sites) > MaxSites {
		v.faultf("%d sites: at most %d are accepted", len(sites), MaxSites)
	}
	if len(workers) > MaxWorkers {
		v.faultf("%d workers: at most %d are accepted", len(workers), MaxWorkers)
	}
	n := 0
	for i := range sites {
		n += len(sites[i].Feeders)
	}
	if n > MaxFeeders {
		v.faultf("%d feeders: at most %d are accepted", n, MaxFeeders)
	}
}

func (v *validation) site(s *Site, seen map[SiteID]bool) {
	name := fmt.Sprintf("site %q", s.ID)
	v.id(name, string(s.ID))
	if seen[s.ID] {
		v.faultf("%s is there twice", name)
	}
	seen[s.ID] = true
	if len(s.Name) > 200 {
		v.faultf("%s: name has %d bytes: at most 200 are accepted", name, len(s.Name))
	}
	if len(s.Feeders) == 0 {
		v.faultf("%s has no feeder: one or more are needed", name)
	}
	for i := range s.Feeders {
		v.feeder(s.ID, &s.Feeders[i])
	}
}

func (v *validation) feeder(site SiteID, f *Feeder) {
	name := fmt.Sprintf("feeder %q", f.ID)
	v.id(name, string(f.ID))
	if v.feeders[f.ID] != nil {
		v.faultf("%s is there twice: identities are unique over all sites", name)
	}
	v.feeders[f.ID], v.largest[f.ID] = f, &domain{}
	if f.Site != site {
		v.faultf("%s: site is %q, but it is listed under %q", name, f.Site, site)
	}
	v.watts(name, "limit", f.Limit, 1, maxWatts)
	v.watts(name, "reserve", f.Reserve, 0, max(0, f.Limit-1))
	v.watts(name, "declared base load", f.Base, 0, max(0, f.Limit))
	v.watts(name, "heat", f.Heat, 0, max(0, f.Limit))
	v.watts(name, "restore", f.Restore, 0, max(0, f.Limit))
	v.watts(name, "overload watts", f.Overload.Watts, 0, max(0, f.Limit))
	v.span(name, "overload time", f.Overload.For)
	v.span(name, "notice", f.Notice)
	if f.Overload.Watts > 0 && f.Overload.For <= 0 {
		v.faultf("%s: overload of %v is allowed for 0 s: a time above 0 is needed", name, f.Overload.Watts)
	}
	if f.Arm > Act {
		v.faultf("%s: arm is %d: observe, advise or act is accepted", name, f.Arm)
	}
}

func (v *validation) worker(w *Worker, ids map[pool.WorkerID]bool) {
	name := fmt.Sprintf("worker %q", w.ID)
	switch _, id, err := pool.ParseIdentity(string(w.ID)); {
	case err != nil:
		v.faultf("%s: %w", name, err)
	case id != w.ID:
		v.faultf("%s has no worker part: account.worker is accepted", name)
	}
	if ids[w.ID] {
		v.faultf("%s is there twice", name)
	}
	ids[w.ID] = true
	if v.feeders[w.Feeder] == nil {
		v.faultf("%s: feeder %q is not one of a site's", name, w.Feeder)
	}
	if !v.curve(name, w.Curve) {
		return
	}
	v.watts(name, "sleep", w.Sleep, 0, w.Curve[0].Watts-1)
	v.span(name, "min_run", w.MinRun)
	v.span(name, "min_off", w.MinOff)
	if w.Cycles < 0 || w.Cycles > MaxCycles {
		v.faultf("%s: cycles a day is %d: 0 (any number) to %d is accepted", name, w.Cycles, MaxCycles)
	}
	if w.Wear < 0 || w.Wear > 1e15 {
		v.faultf("%s: wear is %v: 0 to 1e12 sat is accepted", name, w.Wear)
	}
	if d := v.largest[w.Feeder]; d != nil {
		d.grow(w.Curve.Full().Watts, name)
	}
}

// curve reports whether the curve can be used at all.
func (v *validation) curve(name string, c Curve) bool {
	if len(c) == 0 || len(c) > MaxPoints {
		v.faultf("%s: curve has %d points: 1 to %d are accepted", name, len(c), MaxPoints)
		return false
	}
	before := len(v.faults)
	for i, p := range c {
		if p.Watts < 1 || p.Watts > maxWatts {
			v.faultf("%s: curve point %d has %d W: 1 W to %v is accepted", name, i+1, p.Watts, maxWatts)
		}
		if !(p.Hashrate > 0) || p.Hashrate > maxHashrate {
			v.faultf("%s: curve point %d has hashrate %v: above 0, at most %v is accepted",
				name, i+1, float64(p.Hashrate), maxHashrate)
		}
		if i > 0 && p.Watts <= c[i-1].Watts {
			v.faultf("%s: curve point %d has %v after %v: ascending watts are accepted",
				name, i+1, p.Watts, c[i-1].Watts)
		}
		if i > 0 && p.Hashrate < c[i-1].Hashrate {
			v.faultf("%s: curve point %d has less hashrate for more watts", name, i+1)
		}
	}
	return len(v.faults) == before
}

func (v *validation) id(name, id string) {
	if id == "" || len(id) > MaxID {
		v.faultf("%s: identity has %d bytes: 1 to %d are accepted", name, len(id), MaxID)
	}
	for i := range len(id) {
		c := id[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			v.faultf("%s: identity byte %d is %q: a-z 0-9 - _ are accepted", name, i+1, c)
			return
		}
	}
}

func (v *validation) watts(name, field string, w, least, most unit.Watts) {
	if w < least || w > most {
		v.faultf("%s: %s is %d W: %d to %d W is accepted", name, field, w, least, most)
	}
}

func (v *validation) span(name, field string, d time.Duration) {
	if d < 0 || d > maxDwell {
		v.faultf("%s: %s is %v: 0 to %v is accepted", name, field, d, maxDwell)
	}
}
