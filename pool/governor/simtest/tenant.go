package simtest

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// lease is a tenant's claim with how it behaves.
type lease struct {
	f       *feeder
	tenant  int
	cap     fleet.Cap
	free    bool
	proven  bool   // free once at least
	reason  string // why it is not, by the newest proof
	drawing bool
}

// book is called now and then: a tenant takes some of what the feeder can deliver.
func (w *world) book(f *feeder) {
	r := f.rng
	w.in(time.Duration(r.ExpFloat64()*float64(15*time.Minute)), func() { w.book(f) })
	booked, busy := unit.Watts(0), [tenants]bool{}
	for _, l := range f.leases {
		booked += l.cap.Watts
		busy[l.tenant] = true
	}
	t := slices.Index(busy[:], false)
	room := f.firm - booked
	if t < 0 || room < f.Limit/100 || f.ceiling > 0 || w.server.dead {
		return
	}
	watts := unit.Watts(float64(room) * (0.1 + 0.7*r.Float64()))
	from := time.Now().Add(notice + time.Duration(r.IntN(300))*time.Second).Truncate(time.Second)
	span := time.Duration(5+r.IntN(55)) * time.Minute
	w.result.Leases++
	l := &lease{f: f, tenant: t, cap: fleet.Cap{
		Feeder: f.ID, Claim: fmt.Sprintf("l%d", w.result.Leases), Tenant: tenantName(t), Watts: watts,
		Order: from.Add(-notice), From: from, Until: from.Add(span),
	}}
	f.leases = append(f.leases, l)
	w.capsDirty = true
	late := time.Duration(0)
	if r.IntN(5) == 0 && w.claimDomain(f, 6*time.Minute+span) {
		w.result.Faults["tenant stays"]++
		late = time.Duration(30+r.IntN(270)) * time.Second
	}
	w.at(l.cap.Order, func() { f.turned = time.Now() })
	w.at(from, func() { w.serve(l) })
	if span > patience {
		w.at(from.Add(patience), func() { w.awaited(l) })
	}
	w.at(l.cap.Until.Add(late), func() {
		l.drawing, f.turned = false, time.Now()
		f.draws(t, 0)
	})
}

// serve lets the tenant begin as soon as the meter has proven its watts free.
func (w *world) serve(l *lease) {
	now := time.Now()
	switch {
	case !now.Before(l.cap.Until):
		return
	case !l.free:
		w.in(time.Second, func() { w.serve(l) })
		return
	}
	l.drawing = true
	w.result.Served++
	l.f.draws(l.tenant, float64(l.cap.Watts)*(0.9+0.1*l.f.rng.Float64()))
}

func (f *feeder) draws(tenant int, watts float64) {
	f.settle(time.Now())
	f.drawn[tenant] = watts
}

// overrun lets a tenant that draws take more than it holds, for a while or in spikes.
func (w *world) overrun(f *feeder) {
	i := slices.IndexFunc(f.leases, func(l *lease) bool {
		return l.drawing && time.Until(l.cap.Until) > 4*time.Minute
	})
	if i < 0 {
		return
	}
	l := f.leases[i]
	held := f.drawn[l.tenant]
	most := 0.8 * float64(f.Reserve+f.Overload.Watts)
	more := min(most, float64(l.cap.Watts)*(0.1+0.4*f.rng.Float64()))
	back := func() {
		if l.drawing {
			f.draws(l.tenant, held)
		}
	}
	up := func() {
		if l.drawing {
			f.draws(l.tenant, held+more)
		}
	}
	if f.rng.IntN(2) == 0 {
		w.result.Faults["tenant overruns"]++
		up()
		w.in(time.Duration(20+f.rng.IntN(160))*time.Second, back)
		return
	}
	w.result.Faults["tenant spikes"]++
	for n := range 5 {
		w.in(time.Duration(20*n)*time.Second, up)
		w.in(time.Duration(20*n+1+f.rng.IntN(3))*time.Second, back)
	}
}

// judgeProof holds a proof against the truth at the time of its reading.
func (w *world) judgeProof(p fleet.Proof) {
	f := w.byFeeder[p.Feeder]
	i := slices.IndexFunc(f.leases, func(l *lease) bool { return l.cap.Claim == p.Claim })
	if i < 0 {
		return
	}
	l := f.leases[i]
	fresh := p.Free && !l.free
	l.free, l.reason = p.Free, p.Reason
	if fresh {
		l.proven = true
		w.result.Proofs++
		w.judgeAge(&p)
		most := math.Inf(1)
		for _, s := range f.past {
			if d := s.at.Sub(p.At); d > -3*time.Second && d < 3*time.Second {
				most = min(most, f.excess(&s))
			}
		}
		if most > f.tolerance() && !math.IsInf(most, 1) {
			w.fault("proof", "feeder %s: %s of %v is proven free, and %.0f W are missing: %.0f are accepted",
				f.ID, p.Claim, l.cap.Watts, most, f.tolerance())
		}
	}
	if p.Gone {
		if f.drawn[l.tenant] > float64(l.cap.Watts)/50+100 {
			w.fault("gone", "feeder %s: %s is called gone and draws %.0f W", f.ID, p.Claim, f.drawn[l.tenant])
		}
		f.leases, f.turned = slices.Delete(f.leases, i, i+1), time.Now()
		w.capsDirty = true
	}
}

// excess is by how much the claims that are proven free are not, in truth.
func (f *feeder) excess(s *sight) float64 {
	held := s.drawn
	var granted [tenants]float64
	for _, l := range f.leases {
		if l.free {
			granted[l.tenant] += float64(l.cap.Watts)
		}
	}
	sum := s.outside
	for i := range held {
		sum += max(held[i], granted[i])
	}
	return sum - float64(f.Limit-f.Reserve)
}
