package device

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

func init() { openers["axeos"] = opener{port: 80, open: openAxeOS, is: isAxeOS} }

// axeOS is the interface of AxeOS (ESP-Miner) from 2.14 on, as its openapi.yaml describes it: HTTP without
// a login, for clients of its own private network only. Power follows
// the clock, which moves 6.25 MHz in 100 ms.
type axeOS struct {
	web   *web
	curve fleet.Curve
	sleep unit.Watts
	clock float64 // MHz that the curve's full hashrate takes; 0: not known
	is    float64 // MHz that it is set to
}

func openAxeOS(cfg Config) (Driver, error) {
	return newMachine("axeos", cfg, &axeOS{web: newWeb(cfg), curve: cfg.Curve, sleep: cfg.Sleep}), nil
}

func isAxeOS(ctx context.Context, cfg Config) bool {
	var i axeInfo
	err := newWeb(cfg).call(ctx, http.MethodGet, "/api/system/info", nil, &i)
	return err == nil && i.Chip != ""
}

// axeInfo is what GET /api/system/info answers, as far as it is used.
type axeInfo struct {
	Power      float64 `json:"power"`    // W
	HashRate   float64 `json:"hashRate"` // GH/s
	Expected   float64 `json:"expectedHashrate"`
	Temp       float64 `json:"temp"`
	Frequency  float64 `json:"frequency"` // MHz
	Paused     bool    `json:"miningPaused"`
	Fallback   truth   `json:"isUsingFallbackStratum"`
	URL        string  `json:"stratumURL"`
	Port       int     `json:"stratumPort"`
	User       string  `json:"stratumUser"`
	BackupURL  string  `json:"fallbackStratumURL"`
	BackupPort int     `json:"fallbackStratumPort"`
	BackupUser string  `json:"fallbackStratumUser"`
	MAC        string  `json:"macAddr"`
	Host       string  `json:"hostname"`
	Version    string  `json:"version"`
	Chip       string  `json:"ASICModel"`
	Model      string  `json:"deviceModel"`
	Uptime     int64   `json:"uptimeSeconds"`
	Overheat   truth   `json:"overheat_mode"`
}

// truth is a boolean that some versions write as 0 and 1.
type truth bool

// UnmarshalJSON reads true, false and numbers.
func (t *truth) UnmarshalJSON(b []byte) error {
	switch s := string(b); s {
	case "true", "false":
		*t = s == "true"
	default:
		n, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return fmt.Errorf("%s: true, false or a number is accepted", quote(s))
		}
		*t = n != 0
	}
	return nil
}

// info also learns how many hashes a megahertz makes, and from that the clock of full power: owners run
// other clocks than the factory's.
func (a *axeOS) info(ctx context.Context) (i axeInfo, err error) {
	if err := a.web.call(ctx, http.MethodGet, "/api/system/info", nil, &i); err != nil {
		return i, err
	}
	a.is = i.Frequency
	if i.Expected > 0 && i.Frequency > 0 && len(a.curve) > 1 {
		a.clock = float64(a.curve.Full().Hashrate) / 1e9 / i.Expected * i.Frequency
	}
	return i, nil
}

func (a *axeOS) identify(ctx context.Context) (Identity, error) {
	i, err := a.info(ctx)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{
		Model: axeModel(i), Firmware: firmware("AxeOS", strings.TrimPrefix(i.Version, "v")),
		MAC: strings.ToLower(i.MAC), Host: i.Host, Workers: []string{i.User},
		Nominal: fleet.Point{Hashrate: unit.Hashrate(i.Expected * 1e9)},
	}
	if i.BackupUser != "" && i.BackupUser != i.User {
		id.Workers = append(id.Workers, i.BackupUser)
	}
	return id, nil
}

// axeModel is the board's name, by its chip where the firmware does not say it.
func axeModel(i axeInfo) string {
	if i.Model != "" {
		return "Bitaxe " + i.Model
	}
	known := map[string]string{
		"BM1397": "Bitaxe Max", "BM1366": "Bitaxe Ultra", "BM1368": "Bitaxe Supra", "BM1370": "Bitaxe Gamma",
	}
	if m := known[i.Chip]; m != "" {
		return m
	}
	return "Bitaxe " + i.Chip
}

func (a *axeOS) see(ctx context.Context) (fleet.Sighting, error) {
	i, err := a.info(ctx)
	if err != nil {
		return fleet.Sighting{}, err
	}
	s := fleet.Sighting{
		Watts: watts(i.Power), Wattage: fleet.WattsMeasured, Hashrate: unit.Hashrate(i.HashRate * 1e9),
		Uptime: seconds(i.Uptime), Chip: degrees(i.Temp),
		Pool: hostPort(i.URL, i.Port), Activity: fleet.ActivityMining,
	}
	if b := hostPort(i.BackupURL, i.BackupPort); b != "" {
		s.Backups = []string{b}
	}
	if i.Fallback && len(s.Backups) > 0 {
		s.Pool, s.Backups[0] = s.Backups[0], s.Pool
	}
	if i.Overheat {
		s.Errors = append(s.Errors, "overheated")
	}
	if a.caps() && i.Frequency > 0 && i.Frequency < a.clock-1 {
		s.Target = a.curve.WattsAt(a.curve.Full().Hashrate * unit.Hashrate(i.Frequency/a.clock))
	}
	switch {
	case i.Paused && a.drawsStill(&i):
		s.Activity = fleet.ActivityMoving
	case i.Paused:
		s.Activity = fleet.ActivityAsleep
	case bool(i.Overheat):
		s.Activity = fleet.ActivityFailed
	case i.HashRate < i.Expected/2:
		s.Activity = fleet.ActivityMoving
	}
	return s, nil
}

// drawsStill says that a paused machine has not come to its sleep: by its watts if it is known what full
// power is, or by its hashes.
func (a *axeOS) drawsStill(i *axeInfo) bool {
	if a.most() == 0 {
		return i.HashRate > 0.05*i.Expected
	}
	return i.Power > 1.5*float64(a.sleep)+0.05*float64(a.most())
}

// set goes awake before it goes to its clock: a paused machine takes no clock.
func (a *axeOS) set(ctx context.Context, s fleet.Setpoint) error {
	if s.Mode == fleet.Paused {
		return a.web.call(ctx, http.MethodPost, "/api/system/pause", nil, nil)
	}
	clock := a.clock
	if s.Mode == fleet.Capped {
		if !a.caps() {
			return fmt.Errorf("%w: a cap needs the machine's curve", ErrCannot)
		}
		clock = a.clockAt(s.Watts)
	}
	if to := math.Floor(clock); a.caps() && math.Abs(to-a.is) > 1 {
		set := map[string]any{"frequency": int(to)}
		if err := a.web.call(ctx, http.MethodPatch, "/api/system", set, nil); err != nil {
			return err
		}
		a.is = to
	}
	return a.web.call(ctx, http.MethodPost, "/api/system/resume", nil, nil)
}

func (a *axeOS) caps() bool { return len(a.curve) > 1 && a.clock > 0 }

func (a *axeOS) most() unit.Watts {
	if len(a.curve) == 0 {
		return 0
	}
	return a.curve.Full().Watts
}

// clockAt is the clock that draws at most watts: hashrate follows it in proportion.
func (a *axeOS) clockAt(w unit.Watts) float64 {
	m := fleet.Worker{Curve: a.curve, Sleep: a.sleep}
	return a.clock * float64(m.Rate(fleet.Capped, w)/a.curve.Full().Hashrate)
}

// capability: ramps of 6.25 MHz in 100 ms from 525 to 50 MHz and back, and starts of 2.6 s
// (power_management_task.c of 2.14). A pause is forgotten at a reboot, a clock is not.
func (a *axeOS) capability() fleet.Capability {
	c := fleet.Capability{
		Max: a.most(), Step: 1, CanPause: true, CanCap: a.caps(),
		HoldsAlone: true, Forgets: true, Measured: true,
		ShedIn: 9 * time.Second, ReturnIn: 12 * time.Second,
	}
	if c.CanCap {
		c.Min = a.curve[0].Watts
	}
	return c
}

func (a *axeOS) close() {}

// watts is a number that a machine sent, as watts: 0 for what cannot be.
func watts(w float64) unit.Watts {
	if !(w > 0 && w < float64(unit.Megawatt)) {
		return 0
	}
	return unit.Watts(math.Round(w))
}

// hostPort names a pool; what is before the host, as a scheme or credentials, is not kept.
func hostPort(url string, port int) string {
	if url = poolName(url); url == "" || port <= 0 || port > 65535 {
		return url
	}
	if _, _, err := net.SplitHostPort(url); err == nil {
		return url
	}
	return net.JoinHostPort(url, strconv.Itoa(port))
}

// poolName is host and port of a pool's URL: no scheme, no credentials, no path.
func poolName(url string) string {
	if _, after, ok := strings.Cut(url, "://"); ok {
		url = after
	}
	if i := strings.IndexAny(url, "/?#"); i >= 0 {
		url = url[:i]
	}
	if i := strings.LastIndexByte(url, '@'); i >= 0 {
		url = url[i+1:]
	}
	return url
}
