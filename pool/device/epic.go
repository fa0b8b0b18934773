package device

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

func init() { openers["epic"] = opener{port: 4028, open: openEPIC, is: isEPIC} }

// epic is the interface of ePIC's UMC and PowerPlay, as its powerplay.json of 1.30 describes it: HTTP on
// 4028, the password in each body that changes anything. Its tuner aims at a hashrate; watts follow the
// curve.
type epic struct {
	web  *web
	cfg  Config
	tune struct {
		algorithm      string // that runs; empty: none, and it cannot be capped
		target         int    // TH/s
		step, throttle *int   // its own settings, sent back as they are
		least, most    int    // TH/s
	}
}

func openEPIC(cfg Config) (Driver, error) {
	if cfg.Login == (Login{}) {
		cfg.Login = Login{Password: "letmein"}
	}
	return newMachine("epic", cfg, &epic{web: newWeb(cfg), cfg: cfg}), nil
}

func isEPIC(ctx context.Context, cfg Config) bool {
	var c struct {
		Model string
		Tune  any `json:"PerpetualTune"`
	}
	err := newWeb(cfg).call(ctx, http.MethodGet, "/capabilities", nil, &c)
	return err == nil && c.Model != "" && c.Tune != nil
}

func (e *epic) identify(ctx context.Context) (Identity, error) {
	var c struct {
		Model    string  `json:"Model"`
		Hashrate float64 `json:"Default Hashrate"` // TH/s
		Tune     []struct {
			Algorithm string `json:"algorithm"`
			Min       int    `json:"min"`
			Max       int    `json:"max"`
		} `json:"PerpetualTune"`
		Serials []string `json:"Board Serial Numbers"`
	}
	if err := e.web.call(ctx, http.MethodGet, "/capabilities", nil, &c); err != nil {
		return Identity{}, err
	}
	var network map[string]struct {
		MAC string `json:"mac_address"`
	}
	if err := e.web.call(ctx, http.MethodGet, "/network", nil, &network); err != nil {
		return Identity{}, err
	}
	s, err := e.summary(ctx)
	if err != nil {
		return Identity{}, err
	}
	for _, t := range c.Tune {
		if t.Algorithm == e.tune.algorithm {
			e.tune.least, e.tune.most = t.Min, t.Max
		}
	}
	id := Identity{
		Model: strings.Replace(c.Model, "AntMiner", "Antminer", 1), Firmware: s.Software, Host: s.Hostname,
		Workers: s.pools().workers, Nominal: fleet.Point{Hashrate: unit.Hashrate(c.Hashrate) * 1e12},
	}
	if len(c.Serials) > 0 {
		id.Serial = c.Serials[0]
	}
	for _, n := range network {
		id.MAC = strings.ToLower(n.MAC)
	}
	return id, nil
}

// epicSummary is what GET /summary answers, as far as it is used.
type epicSummary struct {
	Hostname string
	Software string
	Status   struct {
		State string `json:"Operating State"`
		Fault any    `json:"Last Error"`
	}
	Supply struct {
		Power float64 `json:"Input Power"`
	} `json:"Power Supply Stats"`
	Boards []struct {
		Hashrate    []float64 // MH/s first
		Temperature float64
	} `json:"HBs"`
	Session struct{ Uptime int64 }
	Stratum struct {
		ID   int    `json:"Config Id"`
		Pool string `json:"Current Pool"`
		User string `json:"Current User"`
	}
	Pools []struct {
		Pool  string `json:"pool"`
		Login string `json:"login"`
	} `json:"StratumConfigs"`
	Tune struct {
		Running   bool
		Algorithm map[string]struct {
			Target   int
			Unit     string
			Throttle *int `json:"Min Throttle Target"`
			Step     *int `json:"Throttle Step"`
		}
	} `json:"PerpetualTune"`
}

func (s *epicSummary) pools() (f slowFacts) {
	f.addPool(s.Stratum.Pool, s.Stratum.User, true, true)
	for n, p := range s.Pools {
		if n != s.Stratum.ID {
			f.addPool(p.Pool, p.Login, false, true)
		}
	}
	return f
}

func (e *epic) summary(ctx context.Context) (*epicSummary, error) {
	var s epicSummary
	if err := e.web.call(ctx, http.MethodGet, "/summary", nil, &s); err != nil {
		return nil, err
	}
	e.tune.algorithm = ""
	for name, t := range s.Tune.Algorithm {
		if s.Tune.Running && t.Unit == "TH/s" {
			e.tune.algorithm, e.tune.target, e.tune.step, e.tune.throttle = name, t.Target, t.Step, t.Throttle
		}
	}
	return &s, nil
}

func (e *epic) see(ctx context.Context) (fleet.Sighting, error) {
	sum, err := e.summary(ctx)
	if err != nil {
		return fleet.Sighting{}, err
	}
	pools := sum.pools()
	s := fleet.Sighting{
		Watts: watts(sum.Supply.Power), Wattage: fleet.WattsMeasured, Uptime: seconds(sum.Session.Uptime),
		Pool: pools.pool, Backups: pools.backups,
	}
	for _, b := range sum.Boards {
		if len(b.Hashrate) > 0 {
			s.Hashrate += unit.Hashrate(b.Hashrate[0] * 1e6)
		}
		s.Chip = max(s.Chip, degrees(b.Temperature))
	}
	if sum.Status.Fault != nil {
		s.Errors = []string{fmt.Sprint(sum.Status.Fault)}
	}
	if e.caps() && e.tune.target < e.full() {
		s.Target = e.cfg.Curve.WattsAt(unit.Hashrate(e.tune.target) * 1e12)
	}
	switch sum.Status.State {
	case "Mining":
		s.Activity = fleet.ActivityMining
	case "Idling":
		s.Activity = fleet.ActivityAsleep
	default: // AdjustingClockVoltage, Initializing, Loading, PreInitCooldown, Rebooting, Stopping and so on
		s.Activity = fleet.ActivityMoving
	}
	return s, nil
}

func (e *epic) set(ctx context.Context, s fleet.Setpoint) error {
	if s.Mode == fleet.Paused {
		return e.post(ctx, "/miner", "Stop")
	}
	target := e.full()
	if s.Mode == fleet.Capped {
		target = int(math.Floor(float64(e.cfg.Curve.At(s.Watts)) / 1e12))
		if !e.caps() || target < e.tune.least {
			return fmt.Errorf("%w: a cap needs a running tuner, the machine's curve, and at least %d TH/s",
				ErrCannot, e.tune.least)
		}
	}
	if e.caps() && target != e.tune.target {
		ask := map[string]any{"algo": e.tune.algorithm, "target": target}
		if e.tune.throttle != nil {
			ask["min_throttle"] = min(*e.tune.throttle, target)
		}
		if e.tune.step != nil {
			ask["throttle_step"] = *e.tune.step
		}
		if err := e.post(ctx, "/perpetualtune/algo", ask); err != nil {
			return err
		}
		e.tune.target = target
	}
	return e.post(ctx, "/miner", "Autostart")
}

// post changes something. The answer's status is good even if it is a refusal.
func (e *epic) post(ctx context.Context, path string, param any) error {
	var answer struct {
		Result bool `json:"result"`
		Error  any  `json:"error"`
	}
	ask := map[string]any{"param": param, "password": e.cfg.Login.Password}
	if err := e.web.call(ctx, http.MethodPost, path, ask, &answer); err != nil {
		return err
	}
	if answer.Result {
		return nil
	}
	said := quote(fmt.Sprint(answer.Error))
	if strings.Contains(strings.ToLower(said), "password") {
		return fmt.Errorf("%w: %s", ErrLogin, said)
	}
	return fmt.Errorf("%w: %s", ErrRefused, said)
}

func (e *epic) caps() bool {
	return e.tune.algorithm != "" && len(e.cfg.Curve) > 1 && e.tune.least > 0 && e.tune.least < e.full()
}

// full is the target of full power, in TH/s.
func (e *epic) full() int {
	if len(e.cfg.Curve) == 0 {
		return e.tune.target
	}
	return min(int(math.Round(float64(e.cfg.Curve.Full().Hashrate)/1e12)), e.tune.most)
}

// capability: a hot machine may wait up to 300 s before it starts (preinitcooldownmaxduration). Steps are
// of 1 TH/s.
func (e *epic) capability() fleet.Capability {
	c := fleet.Capability{
		CanPause: true, CanCap: e.caps(), HoldsAlone: true, Forgets: true, Measured: true,
		ShedIn: 10 * time.Second, ReturnIn: 6 * time.Minute,
	}
	if c.CanCap {
		full := e.cfg.Curve.Full()
		c.Min, c.Max = e.cfg.Curve.WattsAt(unit.Hashrate(e.tune.least)*1e12), full.Watts
		c.Step = max(1, 2*full.Watts/unit.Watts(e.full()))
	}
	return c
}

func (e *epic) close() {}
