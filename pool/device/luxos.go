package device

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

func init() { openers["luxos"] = opener{port: 4028, open: openLuxOS, is: isLuxOS} }

// luxos is the interface of LuxOS as docs.luxor.tech describes it: cgminer's, and commands of its own that
// need a session. There is one session at a time, so it is held only while something is written; it is a
// courtesy among programs and no login. Watts are set by the profiles that the machine lists.
type luxos struct {
	api     cgAPI
	cfg     Config
	session string

	profiles []luxProfile
	conf     luxConfig // as it was last read
	own      string    // profile at full power or above that its owner had set, as it was seen
	measured bool      // its power supply has a meter
	slow     slowFacts
	every    time.Time // of slow
	asleep   bool      // when slow was read
}

func openLuxOS(cfg Config) (Driver, error) {
	return newMachine("luxos", cfg, &luxos{api: newCGAPI(cfg), cfg: cfg}), nil
}

func isLuxOS(ctx context.Context, cfg Config) bool {
	v, err := versionOf(ctx, cfg)
	return err == nil && len(v.Version) > 0 && v.Version[0].LUXminer != ""
}

// luxConfig is what config answers, as far as it is used.
type luxConfig struct {
	Model   string `json:"Model"`
	Host    string `json:"Hostname"`
	MAC     string `json:"MACAddr"`
	Serial  string `json:"SerialNumber"`
	Name    number `json:"NameplateTHS"`
	Profile string `json:"Profile"`
	Curtail string `json:"CurtailMode"` // None, Sleep
	Supply  *bool  `json:"IsPowerSupplyOn"`
	Heat    bool   `json:"IsAtmEnabled"` // its thermal management moves profiles by itself
}

func (c *luxConfig) curtailed() bool { return c.Curtail != "" && !strings.EqualFold(c.Curtail, "none") }

// luxProfile is one of the settings that the machine offers.
type luxProfile struct {
	Name     string `json:"Profile Name"`
	Step     string `json:"Step"` // 0 is the factory's
	Watts    number `json:"Watts"`
	Hashrate number `json:"Hashrate"` // TH/s
}

func (p *luxProfile) watts() unit.Watts { return watts(float64(p.Watts)) }

func (l *luxos) config(ctx context.Context) error {
	var c struct {
		Config []luxConfig `json:"CONFIG"`
	}
	if err := l.api.ask(ctx, "config", "", &c); err != nil {
		return err
	}
	if len(c.Config) == 0 {
		return fmt.Errorf("%w: config is empty", ErrAnswer)
	}
	l.conf = c.Config[0]
	is, full := l.profile(l.conf.Profile), l.full()
	if is != nil && full != nil && is.watts() >= full.watts() {
		l.own = is.Name
	}
	return nil
}

func (l *luxos) identify(ctx context.Context) (Identity, error) {
	var v cgVersion
	if err := l.api.ask(ctx, "version", "", &v); err != nil {
		return Identity{}, err
	}
	if len(v.Version) == 0 || v.Version[0].LUXminer == "" {
		return Identity{}, fmt.Errorf("%w: version without LUXminer", ErrAnswer)
	}
	if err := l.config(ctx); err != nil {
		return Identity{}, err
	}
	var p struct {
		Profiles []luxProfile `json:"PROFILES"`
	}
	if err := l.api.ask(ctx, "profiles", "", &p); err != nil {
		return Identity{}, err
	}
	l.profiles = p.Profiles[:min(len(p.Profiles), maxProfiles)]
	if err := l.readSlow(ctx); err != nil {
		return Identity{}, err
	}
	id := Identity{
		Model: l.conf.Model, Firmware: firmware("LuxOS", v.Version[0].LUXminer), Serial: l.conf.Serial,
		MAC: macOf(l.conf.MAC), Host: l.conf.Host, Workers: l.slow.workers,
		Nominal: fleet.Point{Hashrate: unit.Hashrate(l.conf.Name) * 1e12},
	}
	if p := l.full(); p != nil {
		id.Nominal.Watts = p.watts()
	}
	return id, nil
}

// maxProfiles bounds what is kept of a machine's list: 25 are built in.
const maxProfiles = 256

// readSlow reads what changes rarely: pools, temperatures and what the machine complains of.
func (l *luxos) readSlow(ctx context.Context) error {
	var pools cgPools
	if err := l.api.ask(ctx, "pools", "", &pools); err != nil {
		return err
	}
	var events struct {
		Events []struct {
			Code string `json:"Code"`
			Text string `json:"Description"`
		} `json:"EVENTS"`
	}
	if err := l.api.ask(ctx, "events", "", &events); err != nil {
		return err
	}
	var temps struct {
		Temps []struct{ BottomLeft, BottomRight, TopLeft, TopRight number } `json:"TEMPS"`
	}
	if err := l.api.ask(ctx, "temps", "", &temps); err != nil {
		return err
	}
	s := pools.facts()
	for _, e := range events.Events {
		if e.Code != "SLEEP" && e.Code != "IDLE" && len(s.errors) < fleet.MaxErrors {
			s.errors = append(s.errors, e.Code+": "+e.Text)
		}
	}
	for _, t := range temps.Temps {
		s.chip = max(s.chip, degrees(float64(max(t.BottomLeft, t.BottomRight, t.TopLeft, t.TopRight))))
	}
	l.slow, l.every, l.asleep = s, l.cfg.Now(), l.conf.curtailed()
	return nil
}

func (l *luxos) see(ctx context.Context) (fleet.Sighting, error) {
	if err := l.config(ctx); err != nil {
		return fleet.Sighting{}, err
	}
	var p struct {
		Power []struct {
			Watts number `json:"Watts"`
			PSU   bool   `json:"PSU"` // measured by it
		} `json:"POWER"`
	}
	if err := l.api.ask(ctx, "power", "", &p); err != nil {
		return fleet.Sighting{}, err
	}
	if len(p.Power) == 0 {
		return fleet.Sighting{}, fmt.Errorf("%w: power is empty", ErrAnswer)
	}
	var sum cgSummary
	if err := l.api.ask(ctx, "summary", "", &sum); err != nil {
		return fleet.Sighting{}, err
	}
	if l.cfg.Now().Sub(l.every) >= slowEvery || l.asleep != l.conf.curtailed() {
		if err := l.readSlow(ctx); err != nil {
			return fleet.Sighting{}, err
		}
	}
	h, _, up := sum.hashrate()
	s := fleet.Sighting{
		Watts: watts(float64(p.Power[0].Watts)), Wattage: fleet.WattsEstimated, Hashrate: h, Uptime: up,
		Pool: l.slow.pool, Backups: l.slow.backups, Errors: l.slow.errors, Chip: l.slow.chip,
	}
	if l.measured = p.Power[0].PSU; l.measured {
		s.Wattage = fleet.WattsMeasured
	}
	is, full := l.profile(l.conf.Profile), l.full()
	if l.caps() && is != nil && full != nil && is.watts() < full.watts() {
		s.Target = is.watts()
	}
	s.Activity = l.activity(h, is)
	return s, nil
}

// activity reads the mode. Averages of the hashrate outlive the sleep's beginning: the power supply tells.
func (l *luxos) activity(h unit.Hashrate, is *luxProfile) fleet.Activity {
	switch {
	case l.conf.curtailed() && l.conf.Supply != nil && *l.conf.Supply:
		return fleet.ActivityMoving
	case l.conf.curtailed():
		return fleet.ActivityAsleep
	case h <= 0 || is != nil && h < unit.Hashrate(is.Hashrate)*1e12/2:
		return fleet.ActivityMoving
	}
	return fleet.ActivityMining
}

// profile finds one by name.
func (l *luxos) profile(name string) *luxProfile {
	for n := range l.profiles {
		if l.profiles[n].Name == name {
			return &l.profiles[n]
		}
	}
	return nil
}

// full is the profile of full power: the factory's, unless the owner's curve says something else by more
// than a tenth: then the one that comes closest to it.
func (l *luxos) full() (best *luxProfile) {
	for n := range l.profiles {
		if p := &l.profiles[n]; p.Step == "0" || p.Name == "default" {
			best = p
		}
	}
	w := fullWatts(l.cfg.Curve)
	off := func(p *luxProfile) unit.Watts { return max(p.watts(), w) - min(p.watts(), w) }
	switch {
	case w == 0 && best == nil:
		return l.profile(l.conf.Profile)
	case w == 0, best != nil && off(best) <= w/10:
		return best
	}
	for n := range l.profiles {
		if p := &l.profiles[n]; p.watts() > 0 && (best == nil || off(p) < off(best)) {
			best = p
		}
	}
	return best
}

// within is the profile that draws most within watts.
func (l *luxos) within(w unit.Watts) (best *luxProfile) {
	for n := range l.profiles {
		p := &l.profiles[n]
		if p.watts() > 0 && p.watts() <= w && (best == nil || p.watts() > best.watts()) {
			best = p
		}
	}
	return best
}

// set looks first: profiles and the mode are written only if they are others. The profile comes before
// the wake, so that a machine wakes to its cap and not past it.
func (l *luxos) set(ctx context.Context, s fleet.Setpoint) error {
	if err := l.config(ctx); err != nil {
		return err
	}
	var want *luxProfile
	switch full := l.full(); s.Mode {
	case fleet.Capped:
		if full != nil {
			want = l.within(min(s.Watts, full.watts()))
		}
		if !l.caps() || want == nil {
			return fmt.Errorf("%w: a cap needs thermal management (ATM) off and at least %v",
				ErrCannot, l.capability().Min)
		}
	case fleet.Free:
		if want = l.profile(l.own); want == nil {
			want = full
		}
	case fleet.Paused:
	}
	defer l.logoff(ctx)
	if l.caps() && want != nil && want.Name != l.conf.Profile {
		if err := l.command(ctx, "profileset", want.Name); err != nil {
			return err
		}
		l.conf.Profile = want.Name
	}
	switch pause := s.Mode == fleet.Paused; {
	case pause == l.conf.curtailed():
		return nil
	case pause:
		return l.command(ctx, "curtail", "sleep")
	}
	return l.command(ctx, "curtail", "wakeup")
}

// caps says that profiles stay where they are put.
func (l *luxos) caps() bool { return len(l.profiles) > 1 && !l.conf.Heat }

// command writes in a session. One that has ended is opened anew, once.
func (l *luxos) command(ctx context.Context, name, parameter string) error {
	for again := false; ; again = true {
		if l.session == "" {
			if err := l.logon(ctx); err != nil {
				return err
			}
		}
		err := l.api.ask(ctx, name, l.session+","+parameter, nil)
		if again || !ended(err) {
			return err
		}
		l.session = ""
	}
}

// ended says that a refusal is about the session.
func ended(err error) bool {
	return errors.Is(err, ErrRefused) && strings.Contains(strings.ToLower(err.Error()), "session")
}

func (l *luxos) logon(ctx context.Context) error {
	var s struct {
		Session []struct {
			ID string `json:"SessionID"`
		} `json:"SESSION"`
	}
	if err := l.api.ask(ctx, "logon", "", &s); err != nil {
		return fmt.Errorf("opening a session, of which there is one at a time: %w", err)
	}
	if len(s.Session) == 0 || s.Session[0].ID == "" {
		return fmt.Errorf("%w: logon without a session", ErrAnswer)
	}
	l.session = s.Session[0].ID
	l.cfg.veil.hide(l.session)
	return nil
}

// logoff lets others have the session. One that did not hear it is used again, or ends in a minute.
func (l *luxos) logoff(ctx context.Context) {
	if l.session == "" {
		return
	}
	if err := l.api.ask(ctx, "logoff", l.session, nil); err == nil || errors.Is(err, ErrRefused) {
		l.session = ""
	}
}

// capability: sleep is kept over a reboot, and so are profiles. Asleep within 5 s by the vendor's word, 8 s
// in 95 of 100 cases; a wake in safe steps takes up to 4 minutes (power.md, 6).
func (l *luxos) capability() fleet.Capability {
	c := fleet.Capability{
		CanPause: true, CanCap: l.caps(), HoldsAlone: true, Measured: l.measured,
		ShedIn: 8 * time.Second, ReturnIn: 4 * time.Minute,
	}
	full := l.full()
	if full == nil {
		c.CanCap = false
		return c
	}
	c.Min, c.Max = full.watts(), full.watts()
	for n := range l.profiles {
		p := &l.profiles[n]
		if p.watts() <= 0 || p.watts() > c.Max {
			continue
		}
		c.Min = min(c.Min, p.watts())
		if below := l.within(p.watts() - 1); below != nil {
			c.Step = max(c.Step, p.watts()-below.watts())
		}
	}
	c.CanCap = c.CanCap && c.Min < c.Max
	return c
}

func (l *luxos) close() {}
