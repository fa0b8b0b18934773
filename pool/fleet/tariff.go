package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// Bounds of a tariff.
const (
	MaxTariffWindows = 100
	// MaxTariff is the most that a kWh may cost, or pay, in msat.
	MaxTariff unit.Msat = 1e15
)

// dayMinutes is a day of a clock on the wall.
const dayMinutes = 24 * 60

// Tariff is what a kWh costs by the clock on the wall at a site. Its zero value is free power.
type Tariff struct {
	Flat    unit.Msat // outside of all windows
	Windows []TariffWindow
}

// TariffWindow is a price for some hours of some weekdays.
type TariffWindow struct {
	Days  [7]bool   // by time.Weekday: on which it begins
	From  int       // minutes after midnight, on the clock on the wall
	Until int       // likewise, up to 1440; at or before From: it ends on the next day
	Price unit.Msat // a kWh
}

// PriceFeed tells what a kWh costs now.
type PriceFeed interface {
	Price(ctx context.Context) (Quote, error)
}

// Quote is what a feed says.
type Quote struct {
	Price unit.Msat // a kWh
	At    time.Time // when that was said
}

// Validate lists every fault of a tariff: prices, times, and windows that overlap.
func (t *Tariff) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if t.Flat < 0 || t.Flat > MaxTariff {
		fault("flat price is %d msat: 0 to %d is accepted", int64(t.Flat), int64(MaxTariff))
	}
	if len(t.Windows) > MaxTariffWindows {
		fault("%d windows: at most %d are accepted", len(t.Windows), MaxTariffWindows)
		return errors.Join(errs...)
	}
	var taken [7 * dayMinutes]uint8 // 1 + the window
	for i := range t.Windows {
		w := &t.Windows[i]
		if err := w.validate(); err != nil {
			fault("window %d: %w", i+1, err)
			continue
		}
		if other := w.mark(&taken, uint8(i+1)); other > 0 {
			fault("windows %d and %d overlap: one price at a time is accepted", other, i+1)
		}
	}
	return errors.Join(errs...)
}

func (w *TariffWindow) validate() error {
	var errs []error
	if w.Days == [7]bool{} {
		errs = append(errs, errors.New("it has no day: one or more are needed"))
	}
	if w.From < 0 || w.From >= dayMinutes || w.Until < 0 || w.Until > dayMinutes || w.From == w.Until {
		errs = append(errs, fmt.Errorf("from minute %d until minute %d of the day: 0 to %d, and another end "+
			"than start, is accepted", w.From, w.Until, dayMinutes))
	}
	if w.Price < -MaxTariff || w.Price > MaxTariff {
		errs = append(errs, fmt.Errorf("price is %d msat: %d to %d is accepted",
			int64(w.Price), int64(-MaxTariff), int64(MaxTariff)))
	}
	return errors.Join(errs...)
}

// mark takes the window's minutes of the week; it returns whose they were already, 0 if nobody's.
func (w *TariffWindow) mark(taken *[7 * dayMinutes]uint8, n uint8) (other uint8) {
	length := w.Until - w.From
	if length <= 0 {
		length += dayMinutes
	}
	for d, on := range w.Days {
		for m := 0; on && m < length; m++ {
			at := &taken[(d*dayMinutes+w.From+m)%len(taken)]
			if *at > 0 {
				other = *at
			}
			*at = n
		}
	}
	return other
}

// covers says whether the window is open at a minute of a day.
func (w *TariffWindow) covers(day time.Weekday, minute int) bool {
	if w.Until > w.From {
		return w.Days[day] && minute >= w.From && minute < w.Until
	}
	before := (day + 6) % 7
	return w.Days[day] && minute >= w.From || w.Days[before] && minute < w.Until
}

// At is the price of a kWh at an instant, by the clock on the wall of a zone (nil: UTC). An hour that the
// clock shows twice has one price twice; one that it passes over has none.
func (t *Tariff) At(now time.Time, zone *time.Location) unit.Msat {
	local := now.In(orUTC(zone))
	minute := local.Hour()*60 + local.Minute()
	for i := range t.Windows {
		if t.Windows[i].covers(local.Weekday(), minute) {
			return t.Windows[i].Price
		}
	}
	return t.Flat
}

// Next is the first instant after now at which the price is another one, and that price; a zero time
// if it never is.
func (t *Tariff) Next(now time.Time, zone *time.Location) (time.Time, unit.Msat) {
	zone = orUTC(zone)
	price := t.At(now, zone)
	var next time.Time
	try := func(at time.Time) {
		sooner := next.IsZero() || at.Before(next)
		if at.After(now) && sooner && t.At(at, zone) != price {
			next = at
		}
	}
	local := now.In(zone)
	for day := -1; day <= 8; day++ {
		for i := range t.Windows {
			for _, minute := range []int{t.Windows[i].From, t.Windows[i].Until} {
				wall := time.Date(local.Year(), local.Month(), local.Day()+day, 0, minute, 0, 0, time.UTC)
				forEachInstant(wall, zone, try)
			}
		}
	}
	for at, n := now, 0; n < 4; n++ { // turns of the clock
		_, turn := at.In(zone).ZoneBounds()
		if turn.IsZero() || turn.Sub(now) > 9*24*time.Hour {
			break
		}
		try(turn)
		at = turn
	}
	return next, t.At(next, zone)
}

// forEachInstant calls f for every instant at which the clock of a zone shows what a clock of UTC shows at
// wall: none, one, or two.
func forEachInstant(wall time.Time, zone *time.Location, f func(time.Time)) {
	var first time.Time
	for _, near := range []time.Duration{-26 * time.Hour, 26 * time.Hour} {
		_, offset := wall.Add(near).In(zone).Zone()
		at := wall.Add(-time.Duration(offset) * time.Second)
		if _, there := at.In(zone).Zone(); there == offset && !at.Equal(first) {
			first = at
			f(at)
		}
	}
}

func orUTC(zone *time.Location) *time.Location {
	if zone == nil {
		return time.UTC
	}
	return zone
}
