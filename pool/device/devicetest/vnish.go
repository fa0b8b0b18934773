package devicetest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// VNish is an http.Handler that answers as VNish 1.3 does. Source of paths, fields and states: the
// api-doc.json that the firmware serves (256foundation/asic-rs, meta/vnish/v1.3.4), read for facts.
//
//	GET  info, summary, status        without a token
//	POST unlock {pw} -> {token}; 403 for a wrong password
//	POST mining/stop, mining/start    with Authorization: Bearer TOKEN; 401 without
//	POST mining/throttle {percent 20..100}
//
// miner_state is mining, initializing, starting, auto-tuning, restarting, shutting-down, stopped or
// failure. Of what the percentage is one is not said; here it is one of the hashrate.
type VNish struct {
	Machine  *Machine
	Password string

	mu     sync.Mutex
	token  string
	issued int
}

var _ http.Handler = (*VNish)(nil)

// ServeHTTP answers one request.
func (v *VNish) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !v.Machine.Answers(w, r) {
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /":
		_, _ = w.Write([]byte("<html><title>AnthillOS</title></html>")) // as libraries know it
	case "GET /api/v1/info":
		writeJSON(w, v.info())
	case "GET /api/v1/summary":
		writeJSON(w, map[string]any{"miner": v.summary()})
	case "GET /api/v1/status":
		writeJSON(w, v.status(v.Machine.Body.State()))
	case "POST /api/v1/unlock":
		v.unlock(w, r)
	case "POST /api/v1/mining/stop", "POST /api/v1/mining/start", "POST /api/v1/mining/throttle":
		if !v.authorized(r) {
			http.Error(w, `{"err":"unauthorized"}`, http.StatusUnauthorized)
			return
		}
		v.order(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (v *VNish) unlock(w http.ResponseWriter, r *http.Request) {
	var ask struct{ Pw string }
	if json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&ask) != nil ||
		ask.Pw != v.Password || v.Machine.Defects().Login {
		http.Error(w, `{}`, http.StatusForbidden)
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.issued++
	v.token = "jwt" + strconv.Itoa(v.issued)
	writeJSON(w, map[string]string{"token": v.token})
}

func (v *VNish) authorized(r *http.Request) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	ok := v.token != "" && r.Header.Get("Authorization") == "Bearer "+v.token
	if v.Machine.Defects().Expire {
		v.token = ""
	}
	return ok
}

func (v *VNish) order(w http.ResponseWriter, r *http.Request) {
	s := v.Machine.Body.State()
	switch strings.TrimPrefix(r.URL.Path, "/api/v1/mining/") {
	case "stop":
		v.Machine.Order(fleet.Paused, 0)
	case "start":
		if s.Mode == fleet.Paused {
			v.run(s)
		}
	case "throttle":
		var ask struct{ Percent int }
		if json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&ask) != nil ||
			ask.Percent < 20 || ask.Percent > 100 {
			http.Error(w, `{"err":"percent: 20 to 100"}`, http.StatusInternalServerError)
			return
		}
		if !v.Machine.Defects().Deaf {
			v.Machine.SetSetting("percent", float64(ask.Percent))
		}
		if s.Mode == fleet.Paused {
			v.Machine.Order(fleet.Paused, 0)
		} else {
			v.run(s)
		}
		writeJSON(w, map[string]bool{"restart_required": false, "reboot_required": false})
	}
}

func (v *VNish) percent() int {
	if p := int(v.Machine.Setting("percent")); p > 0 {
		return p
	}
	return 100
}

// Reboot implements Rebooter: neither stop nor percentage is said to be kept.
func (v *VNish) Reboot() {
	v.mu.Lock()
	v.token = ""
	v.mu.Unlock()
	v.Machine.SetSetting("percent", 0)
	v.Machine.Body.Reboot(fleet.Free, 0)
}

func (v *VNish) run(s BodyState) {
	if p := v.percent(); p < 100 {
		v.Machine.Order(fleet.Capped, s.Curve.WattsAt(s.Curve.Full().Hashrate*unit.Hashrate(p)/100))
		return
	}
	v.Machine.Order(fleet.Free, 0)
}

func (v *VNish) info() map[string]any {
	f := v.Machine.Facts
	return map[string]any{
		"miner": f.Model, "model": "s19", "algorithm": "sha256d", "hr_measure": "GH/s", "serial": f.Serial,
		"fw_name": "Vnish", "fw_version": f.Version, "platform": "xil", "install_type": "nand",
		"system": map[string]any{
			"os": "GNU/Linux", "miner_name": f.Host, "uptime": "1:00",
			"network_status": map[string]any{"mac": f.MAC, "hostname": f.Host, "ip": "127.0.0.1"},
		},
	}
}

func (v *VNish) status(s BodyState) map[string]any {
	state := "mining"
	switch {
	case s.Mode == fleet.Paused && s.Moving:
		state = "shutting-down"
	case s.Mode == fleet.Paused:
		state = "stopped"
	case s.Moving:
		state = "starting"
	}
	return map[string]any{
		"description": v.Machine.Defects().Fault,
		"miner_state": state, "throttled": v.percent(), "miner_state_time": int64(s.Uptime / time.Second),
	}
}

func (v *VNish) summary() map[string]any {
	s := v.Machine.Body.State()
	pools, active := v.Machine.Pools()
	list := []any{map[string]any{
		"id": len(pools), "url": "devfee.example:3333", "user": "fee", "status": "active",
		"pool_type": "DevFee",
	}}
	for n, p := range pools {
		status := "working"
		if n == active {
			status = "active"
		}
		list = append(list, map[string]any{
			"id": n, "url": p.URL, "user": p.User, "status": status, "pool_type": "UserPool",
		})
	}
	return map[string]any{
		"miner_status": v.status(s), "miner_type": v.Machine.Facts.Model,
		"hr_stock": float64(s.Curve.Full().Hashrate) / 1e9, "hr_realtime": float64(s.Hashrate) / 1e9,
		"power_consumption": v.Machine.Reported(), "psu": map[string]any{"psu_power_metering": true},
		"chip_temp": map[string]int{"min": 50, "max": 68}, "pcb_temp": map[string]int{"min": 40, "max": 55},
		"pools": list,
	}
}
