package audit

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// figures are what a subject comes to.
func (f *fold) figures(s *subject) []Figure {
	list := []Figure{s.freedMeter()}
	if s.Kind == "span" {
		list = nil
	} else {
		list = append(list, f.freedDays(s))
	}
	list = append(list, s.foregone()...)
	list = append(list,
		known(Mined, s.mined, "J", methodMined),
		s.compliance(), s.setpointError(),
		known(OverLimit, s.over, "s", methodOver, in("worst_watts", "%d", rounded(s.overWorst))),
		known(Covered, s.covered, "s", methodCover,
			in("window_seconds", "%d", rounded(s.Until.Sub(s.Begin).Seconds())),
			in("readings", "%d", s.readings)),
	)
	if p, ok := f.proofs[s.Name+" "+string(s.Feeder)]; ok && s.Kind == "claim" && s.Tenant != "" {
		list = append(list, known(Delivered, float64(p.Delivered), "J", methodProof,
			in("proven", "%v", p.Free), in("gone", "%v", p.Gone)),
			known(Overrun, float64(p.Overrun), "J", methodProof))
	}
	return list
}

func (s *subject) freedMeter() Figure {
	if s.base.seconds == 0 || s.covered == 0 {
		return unknown(FreedMeter, "J", methodMeter, "no fresh readings of the 5 minutes before, or since")
	}
	return known(FreedMeter, s.freed, "J", methodMeter,
		in("baseline_watts", "%d", rounded(s.base.value())),
		in("baseline_from", "%s", s.Begin.Add(-before).Format(time.RFC3339)),
		in("baseline_until", "%s", s.Begin.Format(time.RFC3339)),
		in("baseline_readings", "%d", s.base.n),
		in("baseline_seconds", "%d", rounded(s.base.seconds)),
		in("covered_seconds", "%d", rounded(s.covered)))
}

// foregone are the hashes, the income and the energy not bought.
func (s *subject) foregone() []Figure {
	inputs := []Input{
		in("due_hashes", "%.6g", s.due), in("done_hashes", "%.6g", s.done),
		in("reduced_worker_seconds", "%d", rounded(s.reduced)),
		in("faulty_worker_seconds", "%d", rounded(s.faulty)),
		in("unmeasured_worker_seconds", "%d", rounded(s.unseen)),
	}
	if !s.whole {
		inputs = append(inputs, in("part", "its part of the feeder's claimed watts, reading by reading"))
	}
	peta := known(HashesLost, max(0, s.due-s.done)/1e15, "PH", methodForegone, inputs...)
	income := known(Foregone, max(0, s.msat), "msat", methodForegone, inputs...)
	switch {
	case s.readings == 0:
		income = unknown(Foregone, "msat", methodForegone, "no reading in the window")
		peta = unknown(HashesLost, "PH", methodForegone, "no reading in the window")
	case s.due == 0 && s.unseen > 0:
		why := "no reduced worker was ever measured at full power"
		income = unknown(Foregone, "msat", methodForegone, why)
		peta = unknown(HashesLost, "PH", methodForegone, why)
	case !s.priced && s.due > 0:
		income = unknown(Foregone, "msat", methodForegone, "no template told what a hash earns")
	}
	bought := known(NotBought, s.bought, "msat", methodPrice)
	if !s.tariff || s.base.seconds == 0 {
		bought = unknown(NotBought, "msat", methodPrice, "no tariff is known, or no baseline")
	}
	return []Figure{income, peta, bought}
}

func (s *subject) compliance() Figure {
	method := methodCompliance
	if s.cap > 0 {
		method = methodLimit
	}
	if s.judged == 0 {
		return unknown(Compliance, "ppm", method, "no fresh reading in the window")
	}
	return known(Compliance, 1e6*s.within/s.judged, "ppm", method,
		in("judged_seconds", "%d", rounded(s.judged)), in("within_seconds", "%d", rounded(s.within)),
		in("worst_excess_watts", "%d", rounded(max(0, s.worst))))
}

func (s *subject) setpointError() Figure {
	if s.judged == 0 {
		return unknown(SetpointMean, "W", methodError, "no fresh reading in the window")
	}
	return known(SetpointMean, s.offset/s.judged, "W", methodError,
		in("judged_seconds", "%d", rounded(s.judged)))
}

// totals are the figures of the whole query: of the claim's or limit's feeders together; of a span, its
// energy freed is that of its episodes, so that nothing counts twice where claims overlap.
func (f *fold) totals(list []*subject) []Figure {
	all := &subject{whole: true}
	var days, freedOf []*subject
	for _, s := range list {
		switch {
		case s.Kind == "episode":
			freedOf = append(freedOf, s)
		case f.spans() && s.Kind != "span":
		default:
			all.merge(s)
			if !f.spans() {
				freedOf = append(freedOf, s)
			}
		}
	}
	days = freedOf
	out := []Figure{sumFreed(freedOf), f.sumDays(days)}
	out = append(out, sumOfForegone(all, freedOf)...)
	return append(out,
		known(Mined, all.mined, "J", methodMined), all.compliance(), all.setpointError(),
		known(OverLimit, all.over, "s", methodOver, in("worst_watts", "%d", rounded(all.overWorst))),
		known(Covered, all.covered, "s", methodCover, in("readings", "%d", all.readings)))
}

// merge adds another subject's sums.
func (s *subject) merge(o *subject) {
	s.whole = s.whole && o.whole
	s.cap = max(s.cap, o.cap)
	s.covered += o.covered
	s.mined += o.mined
	s.due += o.due
	s.done += o.done
	s.msat += o.msat
	s.priced = s.priced || o.priced
	s.reduced += o.reduced
	s.faulty += o.faulty
	s.unseen += o.unseen
	s.judged += o.judged
	s.within += o.within
	s.worst = max(s.worst, o.worst)
	s.offset += o.offset
	s.over += o.over
	s.overWorst = max(s.overWorst, o.overWorst)
	s.readings += o.readings
}

func sumFreed(list []*subject) Figure {
	sum, n := 0.0, 0
	for _, s := range list {
		if s.base.seconds > 0 && s.covered > 0 {
			sum += s.freed
			n++
		}
	}
	if n == 0 && len(list) > 0 {
		return unknown(FreedMeter, "J", methodMeter, "no fresh readings of the 5 minutes before, or since")
	}
	return known(FreedMeter, sum, "J", methodMeter, in("spans", "%d", len(list)), in("told", "%d", n))
}

func sumOfForegone(all *subject, freedOf []*subject) []Figure {
	list := all.foregone()
	sum, tariff := 0.0, false
	for _, s := range freedOf {
		sum += s.bought
		tariff = tariff || s.tariff && s.base.seconds > 0
	}
	if tariff {
		list[2] = known(NotBought, sum, "msat", methodPrice)
	}
	return list
}

func (f *fold) sumDays(list []*subject) Figure {
	sum, n, why := 0.0, 0, "nothing was in force"
	for _, s := range list {
		d := f.freedDays(s)
		if d.Known {
			sum += float64(d.Value)
			n++
		} else if len(d.Inputs) > 0 {
			why = d.Inputs[0].Value
		}
	}
	if n < len(list) || n == 0 {
		return unknown(FreedDays, "J", methodDays,
			fmt.Sprintf("%d of %d spans can be told: %s", n, len(list), why))
	}
	return known(FreedDays, sum, "J", methodDays, in("spans", "%d", n))
}

// Rules of the baseline by days.
const (
	baselineDays = 10
	leastDays    = 5
	searchDays   = 45
	wholeSlot    = 810_000 // milliseconds of a quarter that must have been metered
)

// freedDays is the energy freed against the same quarters of an hour of the last eligible days.
func (f *fold) freedDays(s *subject) Figure {
	if s.covered == 0 {
		return unknown(FreedDays, "J", methodDays, "no fresh reading in the window")
	}
	ff := f.feeders[s.Feeder]
	slots := slices.Sorted(maps.Keys(s.slots))
	days := f.eligible(ff, s, slots)
	if len(days) < leastDays {
		return unknown(FreedDays, "J", methodDays, fmt.Sprintf(
			"%d eligible days in the last %d: at least %d are needed", len(days), searchDays, leastDays))
	}
	ratio, why := f.morning(ff, s, days)
	freed, base, seconds := 0.0, 0.0, 0.0
	for _, at := range slots {
		q := s.slots[at]
		b := ratio * f.usual(ff, days, time.Unix(at, 0))
		freed += b*q.seconds - q.joules
		base += b * q.seconds
		seconds += q.seconds
	}
	return known(FreedDays, freed, "J", methodDays,
		in("days", "%d", len(days)), in("first_day", "%s", days[len(days)-1].Format(time.DateOnly)),
		in("last_day", "%s", days[0].Format(time.DateOnly)),
		in("baseline_watts", "%d", rounded(base/seconds)),
		in("adjustment", "%.4f", ratio), in("adjusted_by", "%s", why))
}

// eligible lists the newest days before the window's first, of the same kind (working day or weekend),
// without any event, that have all the quarters needed.
func (f *fold) eligible(ff *feederFold, s *subject, slots []int64) []time.Time {
	y, m, d := s.Begin.In(f.zone).Date()
	weekend := isWeekend(time.Date(y, m, d, 12, 0, 0, 0, f.zone))
	var days []time.Time
	for back := 1; back <= searchDays && len(days) < baselineDays; back++ {
		day := time.Date(y, m, d-back, 12, 0, 0, 0, f.zone)
		if isWeekend(day) == weekend && f.quiet(ff, day) && f.has(ff, day, slots) {
			days = append(days, day)
		}
	}
	return days
}

func isWeekend(t time.Time) bool { return t.Weekday() == time.Saturday || t.Weekday() == time.Sunday }

// quiet says whether nothing was in force on the day, as far as it was noted.
func (f *fold) quiet(ff *feederFold, day time.Time) bool {
	y, m, d := day.Date()
	end := time.Date(y, m, d+1, 0, 0, 0, 0, f.zone)
	for at := time.Date(y, m, d, 0, 0, 0, 0, f.zone); at.Before(end); at = at.Add(quarter) {
		if ff.quarters[at.Unix()].Busy {
			return false
		}
	}
	return true
}

// on is the quarter of another day at the same time of the clock.
func (f *fold) on(day, at time.Time) int64 {
	y, m, d := day.Date()
	at = at.In(f.zone)
	return time.Date(y, m, d, at.Hour(), at.Minute(), 0, 0, f.zone).Unix()
}

func (f *fold) has(ff *feederFold, day time.Time, slots []int64) bool {
	for _, at := range slots {
		if ff.quarters[f.on(day, time.Unix(at, 0))].Millis < wholeSlot {
			return false
		}
	}
	return true
}

// usual is the mean metered mining of a quarter over the days.
func (f *fold) usual(ff *feederFold, days []time.Time, at time.Time) float64 {
	sum := 0.0
	for _, day := range days {
		sum += float64(ff.quarters[f.on(day, at)].Mining)
	}
	return sum / float64(len(days))
}

// morning is how the day itself compares with the days before, in the three hours that end an hour before.
func (f *fold) morning(ff *feederFold, s *subject, days []time.Time) (ratio float64, why string) {
	end := s.Begin.Add(-time.Hour).Truncate(quarter)
	sum, usual := 0.0, 0.0
	for at := end.Add(-3 * time.Hour); at.Before(end); at = at.Add(quarter) {
		q := ff.quarters[at.Unix()]
		if q.Millis < wholeSlot || q.Busy || !f.hasAll(ff, days, at) {
			return 1, "nothing: the hours before were not quiet, or not metered"
		}
		sum += float64(q.Mining)
		usual += f.usual(ff, days, at)
	}
	if usual <= 0 {
		return 1, "nothing: nothing was mined in the hours before"
	}
	return min(max(sum/usual, 0.8), 1.2), fmt.Sprintf("%s to %s",
		end.Add(-3*time.Hour).UTC().Format(time.RFC3339), end.UTC().Format(time.RFC3339))
}

func (f *fold) hasAll(ff *feederFold, days []time.Time, at time.Time) bool {
	for _, day := range days {
		if ff.quarters[f.on(day, at)].Millis < wholeSlot {
			return false
		}
	}
	return true
}
