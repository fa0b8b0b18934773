package governor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/storage"
)

const (
	// termsStream holds what has been used of owners' terms, in the book's journal. A record is what has
	// changed since the one before it, or all.
	termsStream = "governor-terms"
	// wholeEvery is how many records may follow one that says all.
	wholeEvery = 64
	// longestStep is how much time between two looks counts as reduced.
	longestStep = time.Minute
	day         = 24 * time.Hour
)

// Owner is what the owner of an account's machines lets us do with them.
type Owner struct {
	Kept   bool          // they are not reduced
	Hours  time.Duration // in a calendar month at the site that each may be reduced; 0: any time
	Least  unit.Msat     // a kWh: below it neither a tariff nor a lease's price reduces them; 0: any price
	Cycles int           // pauses within 24 h of each at most; 0: as the worker says
}

func (o *Owner) validate() error {
	var errs []error
	if o.Hours < 0 || o.Hours > 744*time.Hour {
		errs = append(errs, fmt.Errorf("hours a month is %v: 0 (any time) to 744h is accepted", o.Hours))
	}
	if o.Least < 0 || o.Least > fleet.MaxTariff {
		errs = append(errs, fmt.Errorf("least price is %d msat a kWh: 0 to %d is accepted",
			int64(o.Least), int64(fleet.MaxTariff)))
	}
	if o.Cycles < 0 || o.Cycles > fleet.MaxCycles {
		errs = append(errs, fmt.Errorf("cycles a day is %d: 0 (as the worker says) to %d is accepted",
			o.Cycles, fleet.MaxCycles))
	}
	return errors.Join(errs...)
}

// usage is what has been used of a worker's terms.
type usage struct {
	Pauses []int64 `json:"pauses,omitempty"` // Unix seconds of those that still count
	Month  string  `json:"month,omitempty"`  // of Seconds, "2026-03" at the site
	Used   float64 `json:"used,omitempty"`   // seconds reduced in that month
	Asleep bool    `json:"asleep,omitempty"` // by our order

	changed bool // since it was last written
	savedAt float64
}

// terms are a worker's own and its owner's.
type terms struct {
	owner   Owner
	cycles  int // within 24 h; 0: any number
	account pool.AccountID
	byHand  bool // pinned by an operator at run time
	usage   usage
}

func (g *Governor) takeTerms(w *worker) {
	account, _, _ := pool.ParseIdentity(string(w.ID)) // validated
	w.terms.account = account
	w.terms.owner = g.cfg.Owners[string(account)]
	w.terms.cycles = w.Cycles
	if c := w.terms.owner.Cycles; c > 0 && (w.Cycles == 0 || c < w.Cycles) {
		w.terms.cycles = c
	}
}

// termsOf is what the owner does not let us do now.
func (g *Governor) termsOf(w *worker, now time.Time) fleet.Terms {
	t := &w.terms
	price := w.feeder.site.tariff.price
	kept := t.owner.Kept || w.MustRun || t.spent()
	return fleet.Terms{
		KeepFull:      kept || t.owner.Least > 0 && t.owner.Least > max(price, g.cfg.LeasePrice),
		KeepFromPrice: kept || t.owner.Least > price,
		KeepAwake:     t.worn(now),
	}
}

// spent says whether the hours of the month are used up.
func (t *terms) spent() bool {
	return t.owner.Hours > 0 && t.usage.Used >= t.owner.Hours.Seconds()
}

// worn says whether as many pauses as are allowed began within 24 h.
func (t *terms) worn(now time.Time) bool {
	n := len(t.usage.Pauses)
	return t.cycles > 0 && n >= t.cycles && now.Unix()-t.usage.Pauses[n-t.cycles] < int64(day/time.Second)
}

// countPause notes an order that changes from or to sleep.
func (w *worker) countPause(asleep bool, now time.Time) {
	u := &w.terms.usage
	if u.Asleep == asleep || w.terms.cycles == 0 {
		u.Asleep = asleep
		return
	}
	u.Asleep, u.changed = asleep, true
	if asleep {
		u.Pauses = append(u.Pauses, now.Unix())
		u.Pauses = u.Pauses[max(0, len(u.Pauses)-w.terms.cycles):]
	}
}

// useHours accounts the time since the last look to workers that are reduced by order.
func (g *Governor) useHours(now time.Time) {
	passed := min(now.Sub(g.usedAt), longestStep)
	first := g.usedAt.IsZero()
	g.usedAt = now
	if first || passed <= 0 {
		return
	}
	for _, st := range g.sites {
		if len(st.limited) == 0 {
			continue
		}
		zone := st.Zone
		if zone == nil {
			zone = time.UTC
		}
		month := now.In(zone).Format("2006-01")
		for _, w := range st.limited {
			w.useHour(month, passed)
		}
	}
}

func (w *worker) useHour(month string, passed time.Duration) {
	u := &w.terms.usage
	if u.Month != month {
		u.changed = u.changed || u.Used > 0
		u.Month, u.Used, u.savedAt = month, 0, 0
	}
	if !w.ordered() || !w.reduced() || w.feeder.arm != fleet.Act {
		return
	}
	u.Used += passed.Seconds()
	u.changed = u.changed || u.Used-u.savedAt >= longestStep.Seconds() || w.terms.spent()
}

// loadTerms takes over what the journal remembers of used terms, and pins.
func (g *Governor) loadTerms(ctx context.Context) error {
	for _, id := range g.saved.Pins {
		if w := g.byWorker[id]; w != nil {
			w.terms.byHand, w.Pinned = true, true
		}
	}
	if g.cfg.Journal == nil {
		return nil
	}
	last, err := g.cfg.Journal.Last(ctx, termsStream)
	if err != nil || last == 0 {
		return err
	}
	var newest usedTerms
	err = g.cfg.Journal.Replay(ctx, termsStream, last-1, func(_ storage.Seq, record []byte) error {
		return json.Unmarshal(record, &newest)
	})
	if err != nil {
		return fmt.Errorf("used terms: %w", err)
	}
	from := last - 1 - min(last-1, storage.Seq(newest.Since))
	return g.cfg.Journal.Replay(ctx, termsStream, from, func(_ storage.Seq, record []byte) error {
		var r usedTerms
		if err := json.Unmarshal(record, &r); err != nil {
			return fmt.Errorf("used terms: %w", err)
		}
		for id, u := range r.Used {
			if w := g.byWorker[id]; w != nil {
				u.savedAt = u.Used
				w.terms.usage = u
			}
		}
		return nil
	})
}

// usedTerms is a record of what has changed.
type usedTerms struct {
	Since uint64                  `json:"since"` // records after the one that says all; 0: this one does
	Used  map[pool.WorkerID]usage `json:"used"`
}

// keepTerms makes durable what has been used of terms since the last time.
func (g *Governor) keepTerms(ctx context.Context) error {
	if g.cfg.Journal == nil {
		return nil
	}
	since := g.termsKept % wholeEvery
	used := g.usedSince(since == 0)
	if used == nil {
		return nil
	}
	record, err := json.Marshal(usedTerms{since, used})
	if err != nil {
		return err
	}
	seq, err := g.cfg.Journal.Append(ctx, storage.Write{
		Stream: termsStream, Expect: storage.Any, Records: [][]byte{record},
	})
	if err != nil {
		return fmt.Errorf("keeping used terms: %w", err)
	}
	g.termsKept++
	g.mu.Lock()
	for id, u := range used {
		now := &g.byWorker[id].terms.usage
		now.savedAt = u.Used
		now.changed = now.Used != u.Used && now.Used-u.Used >= longestStep.Seconds() ||
			!slices.Equal(now.Pauses, u.Pauses) || now.Asleep != u.Asleep
	}
	g.mu.Unlock()
	if since > 0 {
		return nil
	}
	if err := g.cfg.Journal.Trim(ctx, termsStream, seq-1); err != nil {
		g.log.Warn("trimming the stream of used terms failed", slog.Any("error", err))
	}
	return nil
}

// usedSince is what has changed since the last record, with all the rest that is used if whole; nil if
// nothing has changed.
func (g *Governor) usedSince(whole bool) map[pool.WorkerID]usage {
	g.mu.Lock()
	defer g.mu.Unlock()
	used, changed := map[pool.WorkerID]usage{}, false
	for _, w := range g.workers {
		u := &w.terms.usage
		changed = changed || u.changed
		if u.changed || whole && (len(u.Pauses) > 0 || u.Used > 0) {
			used[w.ID] = usage{Pauses: slices.Clone(u.Pauses), Month: u.Month, Used: u.Used, Asleep: u.Asleep}
		}
	}
	if !changed {
		return nil
	}
	return used
}

// Pin is a worker that is left alone.
type Pin struct {
	Worker pool.WorkerID
	Feeder fleet.FeederID
	Site   fleet.SiteID
	ByHand bool // by an operator at run time, not by the configuration
}

// SetPin leaves a worker alone, or no longer, durably. A pinned worker that gives way now returns as soon as
// there is room: others give way in its place. What the configuration pins stays pinned.
func (g *Governor) SetPin(ctx context.Context, id pool.WorkerID, pinned bool) error {
	w := g.byWorker[id]
	if w == nil {
		return refuse(ErrUnknown, "there is no worker %q in the fleet", id)
	}
	g.saveMu.Lock()
	defer g.saveMu.Unlock()
	g.mu.Lock()
	was, byHand := w.Pinned, w.terms.byHand
	g.mu.Unlock()
	switch {
	case pinned && was:
		return nil
	case !pinned && was && !byHand:
		return refuse(ErrState, "worker %q is pinned by the configuration: take pinned = true out of it", id)
	case !pinned && !was:
		return refuse(ErrState, "worker %q is not pinned", id)
	}
	err := g.save(ctx, func(d *durable) {
		pins := slices.DeleteFunc(slices.Clone(d.Pins), func(p pool.WorkerID) bool { return p == id })
		if pinned {
			pins = append(pins, id)
		}
		d.Pins = pins
	})
	if err != nil {
		return fmt.Errorf("noting the pin of worker %q: %w", id, err)
	}
	message := "pinned: it is left alone"
	if !pinned {
		message = "no longer pinned: it may give way"
	}
	g.mu.Lock()
	w.Pinned, w.terms.byHand = pinned, pinned
	g.event(time.Now(), Event{Feeder: w.Feeder, Worker: id, Message: message})
	g.mu.Unlock()
	g.wake()
	return nil
}

// Pins are the workers that are left alone, by name.
func (g *Governor) Pins() []Pin {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []Pin
	for _, w := range g.workers {
		if w.Pinned {
			out = append(out, Pin{w.ID, w.Feeder, w.feeder.Site, w.terms.byHand})
		}
	}
	slices.SortFunc(out, func(a, b Pin) int { return strings.Compare(string(a.Worker), string(b.Worker)) })
	return out
}
