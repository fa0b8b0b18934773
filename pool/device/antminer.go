package device

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/icholy/digest"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

func init() { openers["antminer"] = opener{port: 80, open: openAntminer, is: isAntminer} }

// antminer is the stock web interface of Antminers from the S19 to the S21: CGI programs behind Digest.
// It sleeps and wakes by a write of its whole configuration, so what was read is written back, and read
// again. Most builds say no watts: they are estimated from the hashrate and the curve.
type antminer struct {
	web   *web
	cfg   Config
	chal  *digest.Challenge
	count int // of uses of the challenge
}

func openAntminer(cfg Config) (Driver, error) {
	if cfg.Login == (Login{}) {
		cfg.Login = Login{User: "root", Password: "root"}
	}
	a := &antminer{web: newWeb(cfg), cfg: cfg}
	a.web.sign = a.sign
	a.web.login = func(_ context.Context, refusal http.Header) (err error) {
		if a.chal, err = digest.FindChallenge(refusal); err != nil {
			return fmt.Errorf("%w: %w", ErrLogin, err)
		}
		a.count = 0
		return nil
	}
	return newMachine("antminer", cfg, a), nil
}

// isAntminer knows stock firmware by the name of what it protects.
func isAntminer(ctx context.Context, cfg Config) bool {
	_, status, head, err := newWeb(cfg).once(ctx, http.MethodGet, "/cgi-bin/get_system_info.cgi", nil)
	return err == nil && status == http.StatusUnauthorized &&
		strings.Contains(strings.ToLower(head.Get("WWW-Authenticate")), "antminer")
}

// sign answers the newest challenge.
func (a *antminer) sign(r *http.Request) {
	if a.chal == nil {
		return
	}
	a.count++
	cred, err := digest.Digest(a.chal, digest.Options{
		Method: r.Method, URI: r.URL.RequestURI(), Count: a.count,
		Username: a.cfg.Login.User, Password: a.cfg.Login.Password,
	})
	if err != nil {
		return // what is not signed is refused, and then challenged anew
	}
	r.Header.Set("Authorization", cred.String())
}

func (a *antminer) get(ctx context.Context, program string, out any) error {
	return a.web.call(ctx, http.MethodGet, "/cgi-bin/"+program+".cgi", nil, out)
}

func (a *antminer) identify(ctx context.Context) (Identity, error) {
	var i struct {
		Type    string `json:"minertype"`
		MAC     string `json:"macaddr"`
		Host    string `json:"hostname"`
		Version string `json:"system_filesystem_version"`
		Serial  string `json:"serinum"`
	}
	if err := a.get(ctx, "get_system_info", &i); err != nil {
		return Identity{}, err
	}
	pools, err := a.pools(ctx)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{
		Model: i.Type, Firmware: "stock " + i.Version, Serial: i.Serial,
		MAC: strings.ToLower(i.MAC), Host: i.Host, Workers: pools.workers,
	}
	if len(id.Workers) == 0 { // asleep: what is configured
		conf, err := a.conf(ctx)
		if err != nil {
			return Identity{}, err
		}
		id.Workers = conf.users()
	}
	return id, nil
}

// antStats is what stats.cgi answers, as far as it is used. Asleep the list is empty.
type antStats struct {
	Stats []struct {
		Elapsed int64   `json:"elapsed"`
		Now     float64 `json:"rate_5s"`
		Ideal   float64 `json:"rate_ideal"`
		Unit    string  `json:"rate_unit"`
		Watts   number  `json:"watt"` // of few builds
		Power   number  `json:"power"`
		Chains  []struct {
			Chips []float64 `json:"temp_chip"`
		} `json:"chain"`
	} `json:"STATS"`
}

// number is a number that some builds write as a string.
type number float64

// UnmarshalJSON reads 12, 12.5 and "12.5". What is empty is 0.
func (n *number) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `" `)
	if text == "" || text == "null" {
		*n = 0
		return nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return fmt.Errorf("%.40q: a number is accepted", b)
	}
	*n = number(f)
	return nil
}

// pools tells the active pool by its being alive and first in order.
func (a *antminer) pools(ctx context.Context) (f slowFacts, err error) {
	var p struct {
		Pools []struct {
			URL    string `json:"url"`
			User   string `json:"user"`
			Status string `json:"status"`
		} `json:"POOLS"`
	}
	if err := a.get(ctx, "pools", &p); err != nil {
		return f, err
	}
	for _, p := range p.Pools {
		f.addPool(p.URL, p.User, p.Status == "Alive", true)
	}
	return f, nil
}

func (a *antminer) see(ctx context.Context) (fleet.Sighting, error) {
	var st antStats
	if err := a.get(ctx, "stats", &st); err != nil {
		return fleet.Sighting{}, err
	}
	pools, err := a.pools(ctx)
	if err != nil {
		return fleet.Sighting{}, err
	}
	s := fleet.Sighting{Wattage: fleet.WattsEstimated, Pool: pools.pool, Backups: pools.backups}
	if len(st.Stats) == 0 {
		return a.seeSilent(ctx, s)
	}
	n := &st.Stats[0]
	s.Hashrate, s.Uptime = unit.Hashrate(n.Now*antUnit(n.Unit)), seconds(n.Elapsed)
	for _, c := range n.Chains {
		for _, t := range c.Chips {
			s.Chip = max(s.Chip, degrees(t))
		}
	}
	s.Watts = watts(float64(max(n.Watts, n.Power)))
	if s.Watts == 0 {
		s.Watts = estimate(a.cfg.Curve, s.Hashrate)
	}
	s.Activity = fleet.ActivityMining
	if n.Now < n.Ideal/2 {
		s.Activity = fleet.ActivityMoving
	}
	return s, nil
}

// seeSilent tells sleep from a start: both have no figures.
func (a *antminer) seeSilent(ctx context.Context, s fleet.Sighting) (fleet.Sighting, error) {
	conf, err := a.conf(ctx)
	if err != nil {
		return s, err
	}
	s.Activity, s.Watts = fleet.ActivityMoving, estimate(a.cfg.Curve, 0)
	if conf.mode() == antSleep {
		s.Activity, s.Watts = fleet.ActivityAsleep, a.cfg.Sleep
	}
	return s, nil
}

func antUnit(u string) float64 {
	switch strings.ToUpper(strings.TrimSuffix(u, "/s")) {
	case "TH":
		return 1e12
	case "MH":
		return 1e6
	}
	return 1e9
}

// Modes of miner-mode.
const (
	antNormal = 0
	antSleep  = 1
)

// antConf is the whole configuration as it was read, with numbers as they were written.
type antConf map[string]json.RawMessage

func (a *antminer) conf(ctx context.Context) (antConf, error) {
	var c antConf
	if err := a.get(ctx, "get_miner_conf", &c); err != nil {
		return nil, err
	}
	if len(c["pools"]) == 0 {
		return nil, fmt.Errorf("%w: get_miner_conf without pools", ErrAnswer)
	}
	return c, nil
}

func (c antConf) users() (users []string) {
	var pools []struct {
		User string `json:"user"`
	}
	if json.Unmarshal(c["pools"], &pools) != nil {
		return nil
	}
	for _, p := range pools {
		if p.User != "" && len(users) < fleet.MaxPools {
			users = append(users, p.User)
		}
	}
	return users
}

// mode is what it is set to, -1 if it does not say.
func (c antConf) mode() int {
	for _, key := range []string{"miner-mode", "bitmain-work-mode"} {
		var n number
		if len(c[key]) > 0 && json.Unmarshal(c[key], &n) == nil {
			return int(n)
		}
	}
	return -1
}

// order is the configuration with another mode, under the names that a write takes. Everything else goes
// back byte for byte: what a write leaves out is lost, pools above all.
func (c antConf) order(mode int) map[string]any {
	out := map[string]any{"miner-mode": mode}
	for _, key := range []string{"pools", "bitmain-fan-ctrl", "bitmain-fan-pwm", "freq-level"} {
		if len(c[key]) > 0 {
			out[key] = c[key]
		}
	}
	if level := c["bitmain-freq-level"]; len(level) > 0 && len(c["freq-level"]) == 0 {
		out["freq-level"] = level
	}
	if len(c["bitmain-work-mode"]) > 0 {
		out["bitmain-work-mode"] = mode
	}
	return out
}

func (a *antminer) set(ctx context.Context, s fleet.Setpoint) error {
	mode := antNormal
	switch s.Mode {
	case fleet.Paused:
		mode = antSleep
	case fleet.Capped:
		return fmt.Errorf("%w: stock firmware sleeps and wakes, and takes no watts", ErrCannot)
	case fleet.Free:
	}
	before, err := a.conf(ctx)
	if err != nil {
		return err
	}
	if before.mode() == mode { // a write restarts the miner: not without need
		var st antStats
		if err := a.get(ctx, "stats", &st); err != nil || mode == antNormal || len(st.Stats) == 0 {
			return err
		}
	}
	if before.mode() < 0 {
		return fmt.Errorf("%w: its configuration has no miner-mode", ErrCannot)
	}
	var answer struct {
		Stats string `json:"stats"`
		Msg   string `json:"msg"`
	}
	err = a.web.call(ctx, http.MethodPost, "/cgi-bin/set_miner_conf.cgi", before.order(mode), &answer)
	if err != nil {
		return err
	}
	if answer.Stats != "success" {
		return fmt.Errorf("%w: %.100q", ErrRefused, answer.Msg)
	}
	return a.compare(ctx, before, mode)
}

// compare reads the configuration back. A machine that is gone for its reload is compared when it is seen
// again.
func (a *antminer) compare(ctx context.Context, before antConf, mode int) error {
	after, err := a.conf(ctx)
	if err != nil {
		return nil //nolint:nilerr // it reloads; the next look finds what it does
	}
	if !samePools(before["pools"], after["pools"]) {
		return fmt.Errorf("%w: its pools changed with the write: look at its configuration", ErrAnswer)
	}
	if after.mode() != mode {
		return fmt.Errorf("%w: miner-mode is %d after it was set to %d", ErrRefused, after.mode(), mode)
	}
	return nil
}

func samePools(a, b json.RawMessage) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// capability: times are assumed (power.md, 6): a reload to sleep, an initialization to return.
func (a *antminer) capability() fleet.Capability {
	c := fleet.Capability{CanPause: true, HoldsAlone: true, ShedIn: time.Minute, ReturnIn: 7 * time.Minute}
	if len(a.cfg.Curve) > 0 {
		c.Max = a.cfg.Curve.Full().Watts
	}
	return c
}

func (a *antminer) close() {}
