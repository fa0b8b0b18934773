package simtest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
)

// Shape of branches, in thousandths.
const (
	pduPermille         = 980 // limit of a PDU, of its machines' full power by their curves
	pduOverPermille     = 250 // its overload allowance, of its limit
	transformerPermille = 940 // limit of a transformer, of those of its feeders: leases make it bind
	transformerReserve  = 10  // of its limit
	pduEach             = 3   // every third group of machines is behind a PDU that has a limit
	pduMost             = 24  // machines
)

// branch is a PDU or a transformer as it truly is, and the judge of it. It is guarded by its world's mu.
type branch struct {
	fleet.Branch
	w       *world
	feeders []*feeder // a transformer's, or the one that a PDU hangs on
	mining  float64   // of a PDU's machines
	unsure  float64   // share of what it draws that nobody can know: meters' class, or curves without one
	breaker
}

func (b *branch) total() float64 {
	if b.Kind == fleet.PDU {
		return b.mining
	}
	sum := 0.0
	for _, f := range b.feeders {
		sum += f.total()
	}
	return sum
}

// settle judges the time since the last change, as a feeder's does.
func (b *branch) settle(now time.Time) {
	total := b.total() * (1 - b.unsure)
	over, outside := b.pass(now, total, b.Limit, b.Overload)
	b.w.result.BranchOver += over.Seconds()
	if outside == 0 {
		return
	}
	for _, f := range b.feeders {
		if cause := f.blame(now); cause != "" {
			b.w.result.Wide[cause] += outside.Seconds()
			return
		}
	}
	b.w.fault("branch", "%v %s: %.0f W, limit %v, overload %v: %.2f s outside",
		b.Kind, b.ID, total, b.Limit, b.Overload.Watts, outside.Seconds())
}

// addPDUs puts some of a feeder's machines behind PDUs that cannot bear all of them in full.
func (w *world) addPDUs(s *site, f *feeder) {
	bears := int(0.8 * float64(f.Reserve+f.Overload.Watts) / f.largest)
	n := min(pduMost, bears)
	if n < 4 {
		return
	}
	for at := 0; at+n <= len(f.devices); at += pduEach * n {
		b := &branch{w: w, feeders: []*feeder{f}, breaker: breaker{settled: time.Now()}}
		b.ID, b.Kind = fleet.BranchID(fmt.Sprintf("%s-pdu%d", f.ID, at/n)), fleet.PDU
		var full float64
		for _, d := range f.devices[at : at+n] {
			d.pdu, d.worker.Branch = b, b.ID
			full += float64(d.worker.Curve.Full().Watts)
			b.mining += d.watts
		}
		b.Limit = unit.Watts(full * pduPermille / 1000)
		if b.unsure = 0.005; !metered(len(s.branches)) {
			b.unsure = 0.035
		}
		b.Overload = fleet.Overload{Watts: b.Limit * pduOverPermille / 1000, For: overFor}
		s.branches = append(s.branches, b)
	}
}

// addTransformer lets a site's feeders share less than what they bear together.
func (w *world) addTransformer(s *site) {
	t := &branch{w: w, feeders: s.feeders, unsure: 0.005, breaker: breaker{settled: time.Now()}}
	t.ID, t.Kind = fleet.BranchID(string(s.ID)+"-t"), fleet.Transformer
	var limit, largest unit.Watts
	for i, f := range s.feeders {
		f.top = t
		f.Branch = t.ID
		limit += f.Limit
		largest = max(largest, f.Reserve+f.Overload.Watts)
		s.Feeders[i] = f.Feeder
	}
	t.Limit = limit * transformerPermille / 1000
	t.Reserve = t.Limit * transformerReserve / 1000
	t.Overload = fleet.Overload{Watts: max(t.Limit*overPermille/1000, largest), For: overFor}
	s.branches = append(s.branches, t)
}

// metered says whether the n-th branch of a site has a meter, if it is a PDU.
func metered(n int) bool { return n%2 == 0 }

// branchMeters are meters of every transformer and every other PDU.
func (w *world) branchMeters() (list []governor.Meter) {
	for _, s := range w.sites {
		for i, b := range s.branches {
			if b.Kind == fleet.PDU && !metered(i) {
				continue
			}
			list = append(list, governor.Meter{
				Name: string(b.ID) + "-total", Branch: b.ID, Role: fleet.Total,
				Meter: &meter{w: w, truth: b.total, rng: rand.New(rand.NewPCG(w.cfg.Seed, uint64(5000+i)))},
			})
		}
	}
	return list
}
