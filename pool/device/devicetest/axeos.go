package devicetest

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// AxeOS is an http.Handler that answers as AxeOS 2.14 does. Source of paths and fields: openapi.yaml and
// http_server.c of bitaxeorg/ESP-Miner (5c277131), read for facts.
//
//	GET   /api/system/info    one object, numbers mostly unrounded, booleans of some fields as 0 and 1
//	PATCH /api/system         any of the settings; frequency in MHz is taken at once and kept over a reboot
//	POST  /api/system/pause   clock down to 50 MHz, then core voltage off; not kept over a reboot
//	POST  /api/system/resume
//
// Who asks from another network than a private one gets 401.
type AxeOS struct {
	Machine *Machine
	Clock   float64 // MHz at full power
}

var _ http.Handler = (*AxeOS)(nil)

// ServeHTTP answers one request.
func (a *AxeOS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	if from, err := netip.ParseAddr(host); err != nil || !from.IsPrivate() && !from.IsLoopback() {
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	if !a.Machine.Answers(w, r) {
		return
	}
	state := a.Machine.Body.State()
	switch r.Method + " " + r.URL.Path {
	case "GET /":
		_, _ = w.Write([]byte("<html><title>AxeOS</title></html>")) // as libraries know it
	case "GET /api/system/info":
		writeJSON(w, a.info(state))
	case "POST /api/system/pause":
		a.Machine.Order(fleet.Paused, 0)
	case "POST /api/system/resume":
		if state.Mode == fleet.Paused {
			a.Machine.Order(a.goal(state))
		}
	case "PATCH /api/system":
		a.patch(w, r, state)
	default:
		http.NotFound(w, r)
	}
}

// goal is what the clock that is set comes to.
func (a *AxeOS) goal(state BodyState) (fleet.Mode, unit.Watts) {
	if c := a.Machine.Setting("frequency"); c > 0 && c < a.Clock-1 {
		return fleet.Capped, a.watts(c, state)
	}
	return fleet.Free, 0
}

// Reboot implements Rebooter: the clock is kept, a pause is not.
func (a *AxeOS) Reboot() { a.Machine.Body.Reboot(a.goal(a.Machine.Body.State())) }

// watts is what the machine draws at a clock: its hashrate follows the clock in proportion.
func (a *AxeOS) watts(clock float64, state BodyState) unit.Watts {
	return state.Curve.WattsAt(state.Curve.Full().Hashrate * unit.Hashrate(clock/a.Clock))
}

func (a *AxeOS) patch(w http.ResponseWriter, r *http.Request, state BodyState) {
	var set struct {
		Frequency float64 `json:"frequency"`
		URL       *string `json:"stratumURL"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10)).Decode(&set); err != nil {
		http.Error(w, "Invalid JSON", http.StatusBadRequest)
		return
	}
	if set.URL != nil {
		a.Machine.SetPools([]Pool{{URL: *set.URL}})
	}
	if set.Frequency <= 0 || a.Machine.Defects().Deaf {
		return
	}
	a.Machine.SetSetting("frequency", set.Frequency)
	if state.Mode == fleet.Paused { // it counts when mining is resumed
		a.Machine.Order(fleet.Paused, 0)
		return
	}
	a.Machine.Order(a.goal(state))
}

func (a *AxeOS) info(state BodyState) map[string]any {
	clock := a.Clock
	if c := a.Machine.Setting("frequency"); c > 0 {
		clock = c
	}
	pools, active := a.Machine.Pools()
	f := a.Machine.Facts
	out := map[string]any{
		"power": float64(a.Machine.Reported()) + 0.25, "voltage": 5093.75, "current": 3656.25,
		"temp": 58.5, "vrTemp": 61, "hashRate": float64(state.Hashrate) / 1e9,
		"expectedHashrate": float64(state.Curve.Full().Hashrate) / 1e9 * clock / a.Clock,
		"frequency":        clock, "actualFrequency": clock, "coreVoltage": 1150,
		"miningPaused": state.Mode == fleet.Paused, "isUsingFallbackStratum": btoi(active > 0),
		"macAddr": f.MAC, "hostname": f.Host, "version": f.Version, "ASICModel": "BM1370",
		"uptimeSeconds":  int64(state.Uptime / time.Second),
		"overheat_mode":  btoi(a.Machine.Defects().Fault != ""),
		"sharesAccepted": 100, "sharesRejected": 0,
	}
	for n, prefix := range []string{"stratum", "fallbackStratum"} {
		if n < len(pools) {
			host, port := splitPool(pools[n].URL)
			out[prefix+"URL"], out[prefix+"Port"], out[prefix+"User"] = host, port, pools[n].User
		}
	}
	return out
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// splitPool takes host and port from a pool's URL.
func splitPool(url string) (host string, port int) {
	for _, scheme := range []string{"stratum+tcp://", "stratum2+tcp://"} {
		if len(url) > len(scheme) && url[:len(scheme)] == scheme {
			url = url[len(scheme):]
		}
	}
	host, p, err := net.SplitHostPort(url)
	if err != nil {
		return url, 3333
	}
	port, _ = strconv.Atoi(p)
	return host, port
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // who does not listen gets nothing
}

// joinPool is splitPool backwards.
func joinPool(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
