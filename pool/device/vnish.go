package device

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

func init() { openers["vnish"] = opener{port: 80, open: openVNish, is: isVNish} }

// vnish is the interface of VNish, /api/v1, as its api-doc.json of 1.3.4 describes it: a bearer token
// from unlock. Reading needs none. It throttles in percent, 20 to 100.
type vnish struct {
	web      *web
	cfg      Config
	token    string
	percent  int           // that it is throttled to
	measured bool          // its power supply has a meter
	unit     unit.Hashrate // of its hashrates
}

func openVNish(cfg Config) (Driver, error) {
	if cfg.Login == (Login{}) {
		cfg.Login = Login{Password: "admin"}
	}
	v := &vnish{web: newWeb(cfg), cfg: cfg}
	v.web.sign = func(r *http.Request) {
		if v.token != "" {
			r.Header.Set("Authorization", "Bearer "+v.token)
		}
	}
	v.web.login = v.unlock
	return newMachine("vnish", cfg, v), nil
}

func isVNish(ctx context.Context, cfg Config) bool {
	var i struct {
		Name string `json:"fw_name"`
	}
	err := newWeb(cfg).call(ctx, http.MethodGet, "/api/v1/info", nil, &i)
	return err == nil && strings.EqualFold(i.Name, "vnish")
}

// unlock trades the password for a token. A wrong one is answered with 403, too many with 429.
func (v *vnish) unlock(ctx context.Context, _ http.Header) error {
	v.token = ""
	login := *v.web
	login.login = nil
	var answer struct {
		Token string `json:"token"`
	}
	ask := map[string]string{"pw": v.cfg.Login.Password}
	if err := login.call(ctx, http.MethodPost, "/api/v1/unlock", ask, &answer); err != nil {
		if errors.Is(err, ErrRefused) {
			err = fmt.Errorf("%w: %w", ErrLogin, err)
		}
		return fmt.Errorf("unlocking: %w", err)
	}
	v.token = answer.Token
	v.cfg.veil.hide(v.token)
	return nil
}

func (v *vnish) identify(ctx context.Context) (Identity, error) {
	var i struct {
		Miner   string `json:"miner"`
		Name    string `json:"fw_name"`
		Version string `json:"fw_version"`
		Serial  string `json:"serial"`
		Measure string `json:"hr_measure"`
		System  struct {
			Network struct {
				MAC  string `json:"mac"`
				Host string `json:"hostname"`
			} `json:"network_status"`
		} `json:"system"`
	}
	if err := v.web.call(ctx, http.MethodGet, "/api/v1/info", nil, &i); err != nil {
		return Identity{}, err
	}
	if v.unit = 1e9; i.Measure == "MH/s" {
		v.unit = 1e6
	}
	sum, err := v.summary(ctx)
	if err != nil {
		return Identity{}, err
	}
	pools := sum.pools()
	return Identity{
		Model: i.Miner, Firmware: firmware("VNish", i.Version), Serial: i.Serial,
		MAC: strings.ToLower(i.System.Network.MAC), Host: i.System.Network.Host, Workers: pools.workers,
		Nominal: fleet.Point{Hashrate: unit.Hashrate(sum.Stock) * v.unit},
	}, nil
}

// vnishSummary is what summary says of the miner, as far as it is used.
type vnishSummary struct {
	Status struct {
		State     string `json:"miner_state"`
		Seconds   int64  `json:"miner_state_time"`
		Throttled int    `json:"throttled"`
		Fault     string `json:"description"`
	} `json:"miner_status"`
	Now   float64 `json:"hr_realtime"`
	Stock float64 `json:"hr_stock"`
	Power float64 `json:"power_consumption"`
	Chip  struct {
		Max float64 `json:"max"`
	} `json:"chip_temp"`
	PSU struct {
		Meter bool `json:"psu_power_metering"`
	} `json:"psu"`
	Pools []struct {
		URL    string `json:"url"`
		User   string `json:"user"`
		Status string `json:"status"` // offline working disabled active rejecting unknown
		Type   string `json:"pool_type"`
	} `json:"pools"`
}

// pools are the owner's; the firmware's own fee has another type.
func (s *vnishSummary) pools() (f slowFacts) {
	mining := "working" // of those that work one is active, or none says so
	for _, p := range s.Pools {
		if p.Status == "active" && (p.Type == "" || p.Type == "UserPool") {
			mining = p.Status
		}
	}
	for _, p := range s.Pools {
		if p.Type != "" && p.Type != "UserPool" {
			continue
		}
		f.addPool(p.URL, p.User, p.Status == mining, p.Status != "disabled")
	}
	return f.settled()
}

func (v *vnish) summary(ctx context.Context) (*vnishSummary, error) {
	var s struct {
		Miner *vnishSummary `json:"miner"`
	}
	if err := v.web.call(ctx, http.MethodGet, "/api/v1/summary", nil, &s); err != nil {
		return nil, err
	}
	if s.Miner == nil { // it is between two states
		return &vnishSummary{}, nil
	}
	v.percent, v.measured = s.Miner.Status.Throttled, s.Miner.PSU.Meter
	return s.Miner, nil
}

func (v *vnish) see(ctx context.Context) (fleet.Sighting, error) {
	sum, err := v.summary(ctx)
	if err != nil {
		return fleet.Sighting{}, err
	}
	pools := sum.pools()
	s := fleet.Sighting{
		Watts: watts(sum.Power), Wattage: fleet.WattsEstimated, Hashrate: unit.Hashrate(sum.Now) * v.unit,
		Uptime: seconds(sum.Status.Seconds), Chip: degrees(sum.Chip.Max),
		Pool: pools.pool, Backups: pools.backups,
	}
	if v.measured {
		s.Wattage = fleet.WattsMeasured
	}
	if sum.Status.Fault != "" {
		s.Errors = []string{sum.Status.Fault}
	}
	if v.percent < 100 && v.caps() {
		s.Target = v.cfg.Curve.Full().Watts * unit.Watts(v.percent) / 100
	}
	switch sum.Status.State {
	case "mining":
		s.Activity = fleet.ActivityMining
	case "stopped":
		s.Activity = fleet.ActivityAsleep
	case "failure":
		s.Activity = fleet.ActivityFailed
	default: // initializing, starting, auto-tuning, restarting, shutting-down
		s.Activity = fleet.ActivityMoving
	}
	return s, nil
}

func (v *vnish) set(ctx context.Context, s fleet.Setpoint) error {
	percent := 100
	switch s.Mode {
	case fleet.Paused:
		return v.post(ctx, "mining/stop", nil)
	case fleet.Capped:
		if percent = v.percentAt(s.Watts); !v.caps() || percent < leastPercent {
			return fmt.Errorf("%w: a cap needs the machine's curve, and at least %d %%",
				ErrCannot, leastPercent)
		}
	case fleet.Free:
	}
	if percent != v.percent && v.percent > 0 {
		if err := v.post(ctx, "mining/throttle", map[string]int{"percent": percent}); err != nil {
			return err
		}
		v.percent = percent
	}
	return v.post(ctx, "mining/start", nil)
}

func (v *vnish) post(ctx context.Context, path string, body any) error {
	return v.web.call(ctx, http.MethodPost, "/api/v1/"+path, body, nil)
}

// leastPercent is the least that it throttles to.
const leastPercent = 20

func (v *vnish) caps() bool { return len(v.cfg.Curve) > 1 }

// percentAt is a percentage that keeps within watts. Its documentation does not say of what it is a
// percentage, of power or of hashrate: what is less of both is within watts either way.
func (v *vnish) percentAt(w unit.Watts) int {
	if !v.caps() {
		return 0
	}
	full := v.cfg.Curve.Full()
	part := min(float64(w)/float64(full.Watts), float64(v.cfg.Curve.At(w)/full.Hashrate))
	return int(math.Floor(100 * min(part, 1)))
}

// capability: times are assumed (power.md, 6). A step is a tenth, as a percentage may mean one thing or
// another.
func (v *vnish) capability() fleet.Capability {
	c := fleet.Capability{
		CanPause: true, CanCap: v.caps(), HoldsAlone: true, Forgets: true, Measured: v.measured,
		ShedIn: time.Minute, ReturnIn: 5 * time.Minute,
	}
	if c.CanCap {
		c.Min, c.Max = v.cfg.Curve[0].Watts, v.cfg.Curve.Full().Watts
		c.Step = c.Max / 10
	}
	return c
}

func (v *vnish) close() {}
