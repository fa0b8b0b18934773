package simtest

import (
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

// domains are the faults of one control domain at a time on a site.
func (w *world) domains(s *site) {
	r := s.rng
	w.in(time.Duration(r.ExpFloat64()*float64(w.cfg.FaultEvery)), func() { w.domains(s) })
	f := s.feeders[r.IntN(len(s.feeders))]
	if !w.claimDomain(f, 5*time.Minute) {
		return
	}
	switch r.IntN(6) {
	case 0:
		w.result.Faults["switch down"]++
		w.switchDown(f, 48)
	case 1:
		w.result.Faults["PDU trip"]++
		w.trip(f, f.pdu())
	case 2:
		w.result.Faults["meter lost"]++
		f.meters[r.IntN(len(f.meters))].lose(time.Duration(5+r.IntN(280)) * time.Second)
	case 3:
		w.crash()
	default:
		w.overrun(f)
	}
}

// claimDomain says whether no other domain of the site is failing, and takes the site's turn.
func (w *world) claimDomain(f *feeder, span time.Duration) bool {
	s, now := w.siteOf(f), time.Now()
	if now.Before(s.failing) || now.Before(f.causeUntil) || w.cfg.FaultEvery == 0 {
		return false
	}
	s.failing = now.Add(span)
	return true
}

// pdu is how many machines hang on one: what the reserve and the overload bear, of 24 to 96.
func (f *feeder) pdu() int {
	most := int(0.9 * float64(f.Reserve+f.Overload.Watts) / f.largest)
	return min(most, 24+f.rng.IntN(73), len(f.devices))
}

// some are n machines beside each other.
func (f *feeder) some(n int) []*device {
	n = min(n, len(f.devices))
	at := f.rng.IntN(len(f.devices) - n + 1)
	return f.devices[at : at+n]
}

// switchDown cuts machines off the network; they go on as they are.
func (w *world) switchDown(f *feeder, n int) {
	some := f.some(n)
	for _, d := range some {
		d.cut++
		d.lose()
	}
	w.in(time.Duration(60+f.rng.IntN(200))*time.Second, func() {
		for _, d := range some {
			d.cut--
			d.connect()
		}
	})
}

// trip cuts the power of machines, and gives it back.
func (w *world) trip(f *feeder, n int) {
	span := time.Duration(10+f.rng.IntN(60)) * time.Second
	for _, d := range f.some(n) {
		d.trip(span + time.Duration(d.rng.IntN(1e9)))
	}
}

// crash kills the server, and starts another one after a while.
func (w *world) crash() {
	if w.server.dead || w.killing {
		return
	}
	w.result.Faults["server killed"]++
	span := time.Duration(1+w.rng.IntN(150)) * time.Second
	for _, s := range w.sites {
		s.failing = time.Now().Add(span + 5*time.Minute)
	}
	w.killing = true
	w.in(span, func() { w.starting = true })
}

// wide are faults beyond one control domain. Their feeders are answered for by cause until a while after.
func (w *world) wide(s *site) {
	r := s.rng
	w.in(time.Duration(r.ExpFloat64()*float64(w.cfg.WideEvery)), func() { w.wide(s) })
	f := s.feeders[r.IntN(len(s.feeders))]
	switch r.IntN(4) {
	case 0:
		for _, f := range s.feeders {
			w.because(f, "site-wide power blip")
			for _, d := range f.devices {
				d.trip(time.Second + time.Duration(d.rng.IntN(1e9)))
			}
		}
	case 1:
		w.because(f, "container trip")
		w.trip(f, 150+r.IntN(151))
	case 2:
		w.because(f, "PDU trip while the server is down")
		w.crash()
		w.trip(f, f.pdu())
	case 3:
		w.because(f, "tenant overruns while a meter is lost")
		f.meters[r.IntN(len(f.meters))].lose(3 * time.Minute)
		w.overrun(f)
	}
}

func (w *world) because(f *feeder, cause string) {
	w.result.Faults[cause]++
	f.cause, f.causeUntil = cause, time.Now().Add(recovery)
	s := w.siteOf(f)
	s.failing = f.causeUntil
}

// reboots are machines that start anew by themselves: one in fifty a day.
func (w *world) reboots() {
	mean := 86400 / 0.02 / float64(len(w.devices))
	w.in(time.Duration(w.rng.ExpFloat64()*mean*float64(time.Second)), w.reboots)
	d := w.devices[w.rng.IntN(len(w.devices))]
	if w.rng.IntN(10) > 0 {
		w.result.Faults["machine reboots"]++
		d.trip(time.Duration(10+d.rng.IntN(30)) * time.Second)
		return
	}
	w.result.Faults["machine escapes to another pool"]++
	d.cut++
	d.lose()
	d.last.Mode = fleet.Free
	d.turn(d.full())
	w.in(time.Hour, func() {
		d.cut--
		d.connect()
	})
}
