package devicetest

import (
	"encoding/json"
	"math"
	"net/http"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// EPIC is an http.Handler that answers as ePIC's PowerPlay does. Source of paths, fields and states: its
// powerplay.json and captures of an S19 XP (256foundation/asic-rs, meta/epic/1.30.0 and test/json/v1),
// read for facts.
//
//	GET  /summary, /capabilities, /network, and / which a miner serves on port 80: its dashboard
//	POST /miner {param: "Stop" or "Autostart", password}
//	POST /perpetualtune/algo {param: {algo, target, min_throttle, throttle_step}, password}
//
// An answer to a POST is {result, error} with status 200, also to a wrong password. Operating State is
// Mining, Idling, Stopping, Initializing, PreInitCooldown and so on.
type EPIC struct {
	Machine  *Machine
	Password string
	Least    int // TH/s that its tuner takes; 60 if 0
}

var _ http.Handler = (*EPIC)(nil)

// ServeHTTP answers one request.
func (e *EPIC) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !e.Machine.Answers(w, r) {
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /":
		writePage(w, "Miner Web Dashboard")
	case "GET /summary":
		writeJSON(w, e.summary())
	case "GET /capabilities":
		most := int(e.Machine.Body.State().Curve.Full().Hashrate / 1e12)
		writeJSON(w, map[string]any{
			"Model": e.Machine.Facts.Model, "Default Hashrate": most,
			"Board Serial Numbers": []string{e.Machine.Facts.Serial},
			"PerpetualTune": []any{
				map[string]any{"algorithm": "VoltageOptimizer", "min": e.least(), "max": 2 * most},
			},
		})
	case "GET /network":
		writeJSON(w, map[string]any{"dhcp": map[string]any{"mac_address": e.Machine.Facts.MAC}})
	case "POST /miner", "POST /perpetualtune/algo":
		e.order(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (e *EPIC) least() int {
	if e.Least == 0 {
		return 60
	}
	return e.Least
}

func (e *EPIC) order(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Param    json.RawMessage
		Password string
	}
	refuse := func(why string) { writeJSON(w, map[string]any{"result": false, "error": why}) }
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&ask)
	switch {
	case err != nil:
		refuse("Invalid request")
		return
	case ask.Password != e.Password || e.Machine.Defects().Login:
		refuse("Incorrect Password")
		return
	}
	s := e.Machine.Body.State()
	switch string(ask.Param) {
	case `"Stop"`:
		e.Machine.Order(fleet.Paused, 0)
	case `"Autostart"`:
		if s.Mode == fleet.Paused {
			e.run(s)
		}
	default:
		var algo struct{ Target int }
		if json.Unmarshal(ask.Param, &algo) != nil || algo.Target < e.least() {
			refuse("Invalid target")
			return
		}
		e.tune(s, algo.Target)
	}
	writeJSON(w, map[string]any{"result": true, "error": nil})
}

func (e *EPIC) tune(s BodyState, target int) {
	if !e.Machine.Defects().Deaf {
		e.Machine.SetSetting("target", float64(target))
	}
	if s.Mode == fleet.Paused {
		e.Machine.Order(fleet.Paused, 0)
		return
	}
	e.run(s)
}

func (e *EPIC) target(s BodyState) int {
	if t := int(e.Machine.Setting("target")); t > 0 {
		return t
	}
	return int(math.Round(float64(s.Curve.Full().Hashrate) / 1e12))
}

// Reboot implements Rebooter: neither stop nor target is said to be kept.
func (e *EPIC) Reboot() {
	e.Machine.SetSetting("target", 0)
	e.Machine.Body.Reboot(fleet.Free, 0)
}

func (e *EPIC) run(s BodyState) {
	h := unit.Hashrate(e.target(s)) * 1e12
	if h < s.Curve.Full().Hashrate {
		e.Machine.Order(fleet.Capped, s.Curve.WattsAt(h))
		return
	}
	e.Machine.Order(fleet.Free, 0)
}

func (e *EPIC) summary() map[string]any {
	s, f := e.Machine.Body.State(), e.Machine.Facts
	state := "Mining"
	switch {
	case s.Mode == fleet.Paused && s.Moving:
		state = "Stopping"
	case s.Mode == fleet.Paused:
		state = "Idling"
	case s.Moving:
		state = "AdjustingClockVoltage"
	}
	pools, active := e.Machine.Pools()
	var list []any
	for _, p := range pools {
		list = append(list, map[string]any{"pool": p.URL, "login": p.User, "password": nil})
	}
	var now Pool
	if active < len(pools) {
		now = pools[active]
	}
	host, port := splitPool(now.URL)
	tune := map[string]any{"VoltageOptimizer": map[string]any{
		"Target": e.target(s), "Unit": "TH/s", "Optimized": false,
		"Min Throttle Target": 50, "Throttle Step": 5,
	}}
	var fault any
	if code := e.Machine.Defects().Fault; code != "" {
		fault = "Fan, " + code
	}
	return map[string]any{
		"Hostname": f.Host, "Software": f.Version, "IdleOnConnectionLost": true,
		"Status":             map[string]any{"Operating State": state, "Last Error": fault},
		"Power Supply Stats": map[string]any{"Input Power": float64(e.Machine.Reported()) + 0.3},
		"Session":            map[string]any{"Uptime": int64(s.Uptime / time.Second)},
		"Stratum": map[string]any{
			"Config Id": active, "Current Pool": joinPool(host, port), "Current User": now.User,
		},
		"StratumConfigs": list,
		"HBs": []any{map[string]any{
			"Index": 0, "Temperature": 67, "Hashrate": []float64{float64(s.Hashrate) / 1e6, 100, 0.8},
		}},
		"PerpetualTune": map[string]any{"Running": true, "Algorithm": tune},
	}
}
