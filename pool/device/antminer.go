package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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

	before antConf   // configuration before a write that was not compared yet, or did not compare; nil: none
	told   time.Time // of the newest write, until it has been silent since; zero: it has
	faults []string  // that it complains of
	every  time.Time // of faults
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
		Model: i.Type, Firmware: firmware("stock", i.Version), Serial: i.Serial,
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
		return fmt.Errorf("%s: a number is accepted", quote(b))
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
	return f.settled(), nil
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
	if a.cfg.Now().Sub(a.every) >= slowEvery {
		if err := a.readFaults(ctx); err != nil {
			return fleet.Sighting{}, err
		}
	}
	s := fleet.Sighting{
		Wattage: fleet.WattsEstimated, Pool: pools.pool, Backups: pools.backups, Errors: a.errors(ctx),
	}
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

// readFaults reads its checks of itself. Builds without the program have no word for them.
func (a *antminer) readFaults(ctx context.Context) error {
	var sum struct {
		Summary []struct {
			Checks []struct {
				Type   string `json:"type"`
				Status string `json:"status"` // s: sound
				Code   number `json:"code"`
				Text   string `json:"msg"`
			} `json:"status"`
		} `json:"SUMMARY"`
	}
	if err := a.get(ctx, "summary", &sum); err != nil && !errors.Is(err, ErrRefused) {
		return err
	}
	a.faults, a.every = nil, a.cfg.Now()
	for _, part := range sum.Summary[:min(len(sum.Summary), 1)] {
		for _, c := range part.Checks {
			if c.Status != "" && c.Status != "s" && len(a.faults) < fleet.MaxErrors {
				text := fmt.Sprintf("%s: code %v %s", c.Type, c.Code, c.Text)
				a.faults = append(a.faults, strings.TrimSpace(text))
			}
		}
	}
	return nil
}

// errors are its own, and what a write of ours has changed besides the mode: it is looked for as soon as the
// machine is back from its reload.
func (a *antminer) errors(ctx context.Context) []string {
	if a.before == nil {
		return a.faults
	}
	after, err := a.conf(ctx)
	if err != nil {
		return a.faults
	}
	lost := a.before.changes(after)
	if len(lost) == 0 {
		a.before = nil
		return a.faults
	}
	return append([]string{changedBy(lost)}, a.faults...)
}

// changedBy names settings that are not what they were before a write.
func changedBy(lost []string) string {
	return "its configuration is not what it was before our write: look at " + strings.Join(lost, ", ")
}

// seeSilent tells sleep from a start: both have no figures.
func (a *antminer) seeSilent(ctx context.Context, s fleet.Sighting) (fleet.Sighting, error) {
	conf, err := a.conf(ctx)
	if err != nil {
		return s, err
	}
	a.told = time.Time{}
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

// order is the configuration with another mode, under the names that a write takes beside those of a read.
// Everything else goes back byte for byte: what a write leaves out is lost, pools above all.
func (c antConf) order(mode int) map[string]any {
	out := make(map[string]any, len(c)+2)
	for key, value := range c {
		out[key] = value
	}
	out["miner-mode"] = mode
	if len(c["bitmain-work-mode"]) > 0 {
		out["bitmain-work-mode"] = mode
	}
	if level := c["bitmain-freq-level"]; len(level) > 0 && len(c["freq-level"]) == 0 {
		out["freq-level"] = level
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
		err := a.get(ctx, "stats", &st)
		if err != nil || mode == antNormal || len(st.Stats) == 0 || a.goes() {
			return err
		}
	}
	if before.mode() < 0 {
		return fmt.Errorf("%w: its configuration has no miner-mode", ErrCannot)
	}
	if a.before == nil { // otherwise what an earlier write changed is still to be told
		a.before = before
	}
	a.told = a.cfg.Now()
	var answer struct {
		Stats string `json:"stats"`
		Msg   string `json:"msg"`
	}
	err = a.web.call(ctx, http.MethodPost, "/cgi-bin/set_miner_conf.cgi", before.order(mode), &answer)
	if err != nil {
		return err
	}
	if answer.Stats != "success" {
		return fmt.Errorf("%w: %s", ErrRefused, quote(answer.Msg))
	}
	return a.compare(ctx, mode)
}

// goes says that it may not have begun with what was written: another write would make it begin anew.
func (a *antminer) goes() bool { return a.cfg.Now().Sub(a.told) < antShed }

// antShed is how long it takes to reload into its sleep, assumed (power.md, 6).
const antShed = time.Minute

// compare reads the configuration back. A machine that is gone for its reload is compared when it is seen
// again.
func (a *antminer) compare(ctx context.Context, mode int) error {
	after, err := a.conf(ctx)
	if err != nil {
		return nil //nolint:nilerr // it reloads; the next look compares
	}
	if lost := a.before.changes(after); len(lost) > 0 {
		return fmt.Errorf("%w: %s", ErrAnswer, changedBy(lost))
	}
	a.before = nil
	if after.mode() != mode {
		return fmt.Errorf("%w: miner-mode is %d after it was set to %d", ErrRefused, after.mode(), mode)
	}
	return nil
}

// capability: times are assumed (power.md, 6): a reload to sleep, an initialization to return.
func (a *antminer) capability() fleet.Capability {
	c := fleet.Capability{CanPause: true, HoldsAlone: true, ShedIn: antShed, ReturnIn: 7 * time.Minute}
	if len(a.cfg.Curve) > 0 {
		c.Max = a.cfg.Curve.Full().Watts
	}
	return c
}

func (a *antminer) close() {}
