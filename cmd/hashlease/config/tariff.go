package config

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // zones of sites, on machines that have none of their own

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
)

// defaultCycles is how often a day a machine may pause, where the file does not say.
const defaultCycles = 4

// Tariff is what a site pays for power, in thousandths of a satoshi a kWh.
type Tariff struct {
	Flat    unit.Msat      `toml:"flat_msat_per_kwh"` // outside of all windows
	Windows []TariffWindow `toml:"window"`
	Feed    *PriceFeed     `toml:"feed"` // goes before the clock while it is there
}

// TariffWindow is a price for some hours of some weekdays, by the clock of the site's zone.
type TariffWindow struct {
	Days  []Weekday `toml:"days"` // on which it begins; none: every day
	From  ClockTime `toml:"from"`
	Until ClockTime `toml:"until"` // at or before from: on the next day
	Price unit.Msat `toml:"msat_per_kwh"`
}

// PriceFeed is a price of a kWh behind a URL.
type PriceFeed struct {
	URL      string          `toml:"url"`
	Path     string          `toml:"path"`  // to the number in the answer, as "data.0.price"
	Scale    float64         `toml:"scale"` // that it is multiplied by; 0: 1
	Currency device.Currency `toml:"currency"`
	BTC      float64         `toml:"btc_usd"` // USD that a bitcoin costs; 0: btc_usd_url tells
	BTCURL   string          `toml:"btc_usd_url"`
	BTCPath  string          `toml:"btc_usd_path"`
	Every    Duration        `toml:"every"`  // between two questions; 0: a minute
	Stale    Duration        `toml:"stale"`  // how old the last answer may be; 0: ten minutes
	Stands   Duration        `toml:"stands"` // how long a price is expected to stand; 0: an hour
}

// Owner is what the owner of an account's machines lets the operator do with them.
type Owner struct {
	Account     string    `toml:"account"`
	Curtailable *bool     `toml:"curtailable"`        // false: they are kept running; nil: true
	Hours       float64   `toml:"hours_per_month"`    // that each may be reduced; 0: any time
	Least       unit.Msat `toml:"min_msat_per_kwh"`   // below it no tariff and no lease reduces them
	Cycles      int       `toml:"max_cycles_per_day"` // of each; 0: as the worker says
}

// Weekday is a day of the week, as "mon".
type Weekday time.Weekday

var weekdays = [...]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// UnmarshalText reads "mon", "tue", ...
func (d *Weekday) UnmarshalText(b []byte) error {
	i := slices.Index(weekdays[:], string(b))
	if i < 0 {
		return fmt.Errorf("day %.20q: one of %s is accepted", b, strings.Join(weekdays[:], ", "))
	}
	*d = Weekday(i)
	return nil
}

// String is the day as UnmarshalText reads it.
func (d Weekday) String() string { return weekdays[((int(d)%7)+7)%7] }

// ClockTime is minutes after midnight on the clock on the wall, as "07:30".
type ClockTime int

// UnmarshalText reads "00:00" to "24:00".
func (t *ClockTime) UnmarshalText(b []byte) error {
	s := string(b)
	digits := len(s) == 5 && s[2] == ':' && strings.Trim(s[:2]+s[3:], "0123456789") == ""
	if digits {
		minutes := (int(s[0]-'0')*10+int(s[1]-'0'))*60 + int(s[3]-'0')*10 + int(s[4]-'0')
		if s[3] < '6' && minutes <= 24*60 {
			*t = ClockTime(minutes)
			return nil
		}
	}
	return fmt.Errorf("time %.20q: 00:00 to 24:00 is accepted", b)
}

// String is the time as UnmarshalText reads it.
func (t ClockTime) String() string { return fmt.Sprintf("%02d:%02d", int(t)/60, int(t)%60) }

// clock is the tariff without its feed.
func (s *Site) clock() fleet.Tariff {
	out := fleet.Tariff{Flat: s.Tariff}
	if s.Prices == nil {
		return out
	}
	out.Flat = cmp.Or(s.Prices.Flat, s.Tariff)
	for _, w := range s.Prices.Windows {
		window := fleet.TariffWindow{From: int(w.From), Until: int(w.Until), Price: w.Price}
		for _, d := range w.Days {
			window.Days[d] = true
		}
		if len(w.Days) == 0 {
			window.Days = [7]bool{true, true, true, true, true, true, true}
		}
		out.Windows = append(out.Windows, window)
	}
	return out
}

func (f *PriceFeed) device() device.PriceFeedConfig {
	return device.PriceFeedConfig{
		PriceSource: device.PriceSource{URL: f.URL, Path: f.Path, Scale: f.Scale}, Currency: f.Currency,
		Rate: f.BTC, RateFrom: device.PriceSource{URL: f.BTCURL, Path: f.BTCPath},
	}
}

// Open makes the feed; it does not connect.
func (f *PriceFeed) Open() (*device.PriceFeed, error) { return device.NewPriceFeed(f.device()) }

// zone is the site's clock.
func (s *Site) zone() (*time.Location, error) {
	if s.Zone == "Local" {
		return nil, errors.New("the zone Local is this machine's: a name as Europe/Berlin is accepted")
	}
	return time.LoadLocation(s.Zone)
}

// Tariffs are the sites' prices of power that are known.
func (c *Config) Tariffs() (map[fleet.SiteID]governor.Tariff, error) {
	m := map[fleet.SiteID]governor.Tariff{}
	for i := range c.Sites {
		s := &c.Sites[i]
		if s.Tariff == 0 && s.Prices == nil {
			continue
		}
		t := governor.Tariff{Tariff: s.clock()}
		if s.Prices != nil && s.Prices.Feed != nil {
			f := s.Prices.Feed
			feed, err := f.Open()
			if err != nil {
				return nil, fmt.Errorf("site %q: price feed: %w", s.ID, err)
			}
			t.Feed, t.Every, t.Stale = feed, time.Duration(f.Every), time.Duration(f.Stale)
			t.Stands = time.Duration(f.Stands)
		}
		m[s.ID] = t
	}
	return m, nil
}

// OwnersTerms are the terms by account.
func (c *Config) OwnersTerms() map[string]governor.Owner {
	m := make(map[string]governor.Owner, len(c.Owners))
	for _, o := range c.Owners {
		m[o.Account] = governor.Owner{
			Kept: o.Curtailable != nil && !*o.Curtailable, Least: o.Least, Cycles: o.Cycles,
			Hours: time.Duration(o.Hours * float64(time.Hour)),
		}
	}
	return m
}

// tariff lists every fault of a site's tariff and zone.
func (v *validation) tariff(s *Site) {
	if _, err := s.zone(); err != nil {
		v.faultf("site %q: zone: %q: a name as Europe/Berlin is accepted: %w", s.ID, s.Zone, err)
	}
	if s.Tariff < 0 || s.Tariff > fleet.MaxTariff {
		v.faultf("site %q: tariff_msat_per_kwh is %d: 0 to 1e15 is accepted", s.ID, s.Tariff)
	}
	if s.Prices == nil {
		return
	}
	if s.Tariff != 0 && s.Prices.Flat != 0 {
		v.faultf("site %q: tariff: flat_msat_per_kwh is given beside tariff_msat_per_kwh: "+
			"one of the two is accepted", s.ID)
	}
	t := s.clock()
	if err := t.Validate(); err != nil {
		v.faultf("site %q: tariff: %w", s.ID, err)
	}
	if s.Prices.Feed != nil {
		v.feed(s.ID, s.Prices.Feed)
	}
}

func (v *validation) feed(site fleet.SiteID, f *PriceFeed) {
	d := f.device()
	if err := d.Validate(); err != nil {
		v.faultf("site %q: tariff: feed: %w", site, err)
	}
	for i, span := range []Duration{f.Every, f.Stale, f.Stands} {
		if d := time.Duration(span); d != 0 && (d < time.Second || d > 24*time.Hour) {
			v.faultf("site %q: tariff: feed: %s is %v: 1s to 24h is accepted", site,
				[...]string{"every", "stale", "stands"}[i], span)
		}
	}
	if f.Stale != 0 && f.Stale < cmp.Or(f.Every, Duration(time.Minute)) {
		v.faultf("site %q: tariff: feed: stale is %v, before the next question after every: a longer one "+
			"is accepted", site, f.Stale)
	}
}

// owners lists every fault of the owners' terms.
func (v *validation) owners(c *Config) {
	seen := map[string]bool{}
	for i, o := range c.Owners {
		name := fmt.Sprintf("owner %d (%.40s)", i+1, o.Account)
		if account, _, err := pool.ParseIdentity(o.Account); err != nil || string(account) != o.Account {
			v.faultf("%s: account: %.40q: the part of workers' ids before the dot is accepted",
				name, o.Account)
		}
		if seen[o.Account] {
			v.faultf("%s is there twice", name)
		}
		seen[o.Account] = true
		if !(o.Hours >= 0) || o.Hours > 744 || math.IsInf(o.Hours, 0) {
			v.faultf("%s: hours_per_month is %v: 0 (any time) to 744 is accepted", name, o.Hours)
		}
		if o.Least < 0 || o.Least > fleet.MaxTariff {
			v.faultf("%s: min_msat_per_kwh is %d: 0 to 1e15 is accepted", name, o.Least)
		}
		if o.Cycles < 0 || o.Cycles > fleet.MaxCycles {
			v.faultf("%s: max_cycles_per_day is %d: 0 (as the worker says) to %d is accepted",
				name, o.Cycles, fleet.MaxCycles)
		}
	}
}
