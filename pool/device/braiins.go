package device

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

func init() { openers["braiins"] = opener{port: 80, open: openBraiins, is: isBraiins} }

// braiins is the REST interface of Braiins OS, /api/v1, as its openapi.json of 26.04 describes it: a
// token from auth/login, sent as it is in Authorization, valid for an hour after its last use.
type braiins struct {
	web    *web
	cfg    Config
	token  string
	limits struct{ least, usual, most unit.Watts } // of power targets
	capped bool                                    // its tuner follows a power target now
	target unit.Watts
	slow   slowFacts
	every  time.Time // when slow was read
}

// slowFacts are what changes rarely and is read once a minute.
type slowFacts struct {
	pool    string
	backups []string
	workers []string
	errors  []string
	chip    int
}

// slowEvery is between two readings of what changes rarely.
const slowEvery = time.Minute

func openBraiins(cfg Config) (Driver, error) {
	if cfg.Login == (Login{}) {
		cfg.Login = Login{User: "root", Password: "root"}
	}
	b := &braiins{web: newWeb(cfg), cfg: cfg}
	b.web.sign = func(r *http.Request) {
		if b.token != "" {
			r.Header.Set("Authorization", b.token)
		}
	}
	b.web.login = b.logIn
	return newMachine("braiins", cfg, b), nil
}

func isBraiins(ctx context.Context, cfg Config) bool {
	var v struct{ Major, Minor, Patch *int }
	err := newWeb(cfg).call(ctx, http.MethodGet, "/api/v1/version/", nil, &v)
	return err == nil && v.Major != nil && v.Minor != nil && v.Patch != nil
}

// Its numbers come wrapped in their unit.
type (
	inWatts struct {
		Watt float64 `json:"watt"`
	}
	inGigahash struct {
		Gigahash float64 `json:"gigahash_per_second"`
	}
)

func (b *braiins) logIn(ctx context.Context, _ http.Header) error {
	ask := map[string]string{"username": b.cfg.Login.User, "password": b.cfg.Login.Password}
	var answer struct {
		Token string `json:"token"`
	}
	b.token = ""
	login := *b.web
	login.login = nil // a refused login is not answered by another
	if err := login.call(ctx, http.MethodPost, "/api/v1/auth/login", ask, &answer); err != nil {
		return fmt.Errorf("logging in: %w", err)
	}
	if answer.Token == "" {
		return fmt.Errorf("logging in: %w: no token", ErrAnswer)
	}
	b.token = answer.Token
	b.cfg.veil.hide(b.token)
	return nil
}

func (b *braiins) get(ctx context.Context, path string, out any) error {
	return b.web.call(ctx, http.MethodGet, "/api/v1/"+path, nil, out)
}

// braiinsDetails is what miner/details answers, as far as it is used.
type braiinsDetails struct {
	Identity struct {
		Model string `json:"miner_model"`
	} `json:"miner_identity"`
	Version struct {
		Current string `json:"current"`
	} `json:"bos_version"`
	Sticker inGigahash `json:"sticker_hashrate"`
	Serial  string     `json:"serial_number"`
	MAC     string     `json:"mac_address"`
	Host    string     `json:"hostname"`
	Status  int        `json:"status"` // 1 not started, 2 normal, 3 paused, 4 suspended, 5 restricted
	Uptime  int64      `json:"bosminer_uptime_s"`
}

func (b *braiins) identify(ctx context.Context) (Identity, error) {
	var d braiinsDetails
	if err := b.get(ctx, "miner/details", &d); err != nil {
		return Identity{}, err
	}
	var c struct {
		Tuner struct {
			Power struct{ Default, Min, Max inWatts } `json:"power_target"`
		} `json:"tuner_constraints"`
	}
	if err := b.get(ctx, "configuration/constraints", &c); err != nil {
		return Identity{}, err
	}
	p := c.Tuner.Power
	b.limits.least, b.limits.most = watts(p.Min.Watt), watts(p.Max.Watt)
	b.limits.usual = watts(p.Default.Watt)
	if err := b.readSlow(ctx); err != nil {
		return Identity{}, err
	}
	return Identity{
		Model: d.Identity.Model, Firmware: firmware("Braiins OS", braiinsVersion(d.Version.Current)),
		Serial: d.Serial, MAC: strings.ToLower(d.MAC), Host: d.Host, Workers: b.slow.workers,
		Nominal: fleet.Point{Watts: b.limits.usual, Hashrate: unit.Hashrate(d.Sticker.Gigahash * 1e9)},
	}, nil
}

// braiinsVersion takes "26.04" out of "2026-04-14-0-912d084c-26.04-plus".
func braiinsVersion(s string) string {
	for part := range strings.SplitSeq(s, "-") {
		if len(part) == 5 && part[2] == '.' {
			return part
		}
	}
	return s
}

// readSlow reads pools, complaints and temperature.
func (b *braiins) readSlow(ctx context.Context) error {
	var groups []struct {
		Pools []struct {
			Active  bool   `json:"active"`
			Enabled bool   `json:"enabled"`
			URL     string `json:"url"`
			User    string `json:"user"`
		} `json:"pools"`
	}
	if err := b.get(ctx, "pools/", &groups); err != nil {
		return err
	}
	var faults struct {
		Errors []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}
	if err := b.get(ctx, "miner/errors", &faults); err != nil {
		return err
	}
	var cooling struct {
		Highest struct {
			Temperature struct {
				C float64 `json:"degree_c"`
			} `json:"temperature"`
		} `json:"highest_temperature"`
	}
	if err := b.get(ctx, "cooling/state", &cooling); err != nil {
		return err
	}
	var s slowFacts
	for _, g := range groups {
		for _, p := range g.Pools {
			s.addPool(p.URL, p.User, p.Active, p.Enabled)
		}
	}
	for _, e := range faults.Errors[max(0, len(faults.Errors)-fleet.MaxErrors):] {
		s.errors = append(s.errors, e.Message)
	}
	s.chip = degrees(cooling.Highest.Temperature.C)
	b.slow, b.every = s.settled(), b.cfg.Now()
	return nil
}

// addPool notes a pool slot: the active one, or a backup.
func (s *slowFacts) addPool(url, user string, active, enabled bool) {
	name := poolName(url)
	if name == "" || len(s.backups) >= fleet.MaxPools {
		return
	}
	switch {
	case active && s.pool == "":
		s.pool = name
		if user != "" {
			s.workers = append([]string{user}, s.workers...)
		}
		return
	case enabled:
		s.backups = append(s.backups, name)
	}
	if user != "" {
		s.workers = append(s.workers, user)
	}
}

// settled is s of a machine that may have no connection, as asleep: its first pool is where it mines when it
// wakes, and no backup.
func (s slowFacts) settled() slowFacts {
	if s.pool == "" && len(s.backups) > 0 {
		s.pool, s.backups = s.backups[0], s.backups[1:]
	}
	return s
}

// degrees is a temperature that a machine sent, 0 for what cannot be.
func degrees(c float64) int {
	if !(c > -60 && c < 250) {
		return 0
	}
	return int(c)
}

func (b *braiins) see(ctx context.Context) (fleet.Sighting, error) {
	var d braiinsDetails
	if err := b.get(ctx, "miner/details", &d); err != nil {
		return fleet.Sighting{}, err
	}
	var st struct {
		Miner struct {
			Real struct {
				Now inGigahash `json:"last_5s"`
			} `json:"real_hashrate"`
		} `json:"miner_stats"`
		Power struct {
			Now inWatts `json:"approximated_consumption"`
		} `json:"power_stats"`
	}
	if err := b.get(ctx, "miner/stats", &st); err != nil {
		return fleet.Sighting{}, err
	}
	tuning, err := b.readTuner(ctx)
	if err != nil {
		return fleet.Sighting{}, err
	}
	if b.cfg.Now().Sub(b.every) >= slowEvery {
		if err := b.readSlow(ctx); err != nil {
			return fleet.Sighting{}, err
		}
	}
	s := fleet.Sighting{
		Watts: watts(st.Power.Now.Watt), Wattage: fleet.WattsEstimated, Target: b.target,
		Hashrate: unit.Hashrate(st.Miner.Real.Now.Gigahash * 1e9), Uptime: seconds(d.Uptime),
		Pool: b.slow.pool, Backups: b.slow.backups, Errors: b.slow.errors, Chip: b.slow.chip,
	}
	s.Activity = braiinsActivity(d.Status, s.Hashrate, tuning)
	return s, nil
}

// readTuner asks which power target is in force, and says whether the tuner is on its way to it.
func (b *braiins) readTuner(ctx context.Context) (tuning bool, err error) {
	var t struct {
		Mode struct {
			Power *struct {
				Target inWatts `json:"current_target"`
			} `json:"powertargetmodestate"`
		} `json:"mode_state"`
		State int `json:"overall_tuner_state"` // 1 disabled 2 stable 3 tuning 4 error 5 continuous 6 preheat
	}
	if err := b.get(ctx, "performance/tuner-state", &t); err != nil {
		return false, err
	}
	b.capped, b.target = t.Mode.Power != nil, 0
	if b.capped {
		b.target = watts(t.Mode.Power.Target.Watt)
	}
	return t.State == 3 || t.State == 6, nil
}

// braiinsActivity reads the status. One that is paused may be counted as hashing for a while (pyasic#52).
func braiinsActivity(status int, h unit.Hashrate, tuning bool) fleet.Activity {
	switch {
	case status == 3 && h > 0:
		return fleet.ActivityMoving
	case status == 3 || status == 1:
		return fleet.ActivityAsleep
	case status == 4 || status == 5:
		return fleet.ActivityFailed
	case tuning || h <= 0:
		return fleet.ActivityMoving
	}
	return fleet.ActivityMining
}

// seconds is an uptime that a machine sent.
func seconds(n int64) time.Duration { return time.Duration(min(max(n, 0), 1<<32)) * time.Second }

func (b *braiins) set(ctx context.Context, s fleet.Setpoint) error {
	switch s.Mode {
	case fleet.Paused:
		return b.web.call(ctx, http.MethodPut, "/api/v1/actions/pause", nil, nil)
	case fleet.Capped:
		if !b.caps() || s.Watts < b.limits.least {
			return fmt.Errorf("%w: power targets of %v to %v are accepted",
				ErrCannot, b.limits.least, b.full())
		}
		if err := b.aim(ctx, s.Watts); err != nil {
			return err
		}
	case fleet.Free:
		if err := b.aim(ctx, b.full()); b.caps() && err != nil {
			return err
		}
	}
	return b.web.call(ctx, http.MethodPut, "/api/v1/actions/resume", nil, nil)
}

// aim sets the power target if it is another one.
func (b *braiins) aim(ctx context.Context, w unit.Watts) error {
	if !b.caps() || w == b.target {
		return nil
	}
	const path = "/api/v1/performance/power-target"
	if err := b.web.call(ctx, http.MethodPut, path, inWatts{float64(w)}, nil); err != nil {
		return err
	}
	b.target = w
	return nil
}

// caps says that the owner lets it follow a power target. One that aims at a hashrate is left at that.
func (b *braiins) caps() bool { return b.capped && b.limits.least > 0 && b.limits.least < b.full() }

// full is the power target of full power: the owner's curve knows it, or the factory.
func (b *braiins) full() unit.Watts {
	w := b.limits.usual
	if len(b.cfg.Curve) > 0 {
		w = b.cfg.Curve.Full().Watts
	}
	if b.limits.most > 0 {
		w = min(w, b.limits.most)
	}
	return w
}

// capability: with quick ramping, as its documentation shows it, a pause takes 2 s and a return 5 s;
// without, a return is a start with tuning. The longer counts. A pause is forgotten at a reboot.
func (b *braiins) capability() fleet.Capability {
	return fleet.Capability{
		Min: b.limits.least, Max: b.full(), Step: 1, CanPause: true, CanCap: b.caps(),
		HoldsAlone: true, Forgets: true, ShedIn: 6 * time.Second, ReturnIn: 5 * time.Minute,
	}
}

func (b *braiins) close() {}
