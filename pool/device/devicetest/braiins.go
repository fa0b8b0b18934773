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

// Braiins is an http.Handler that answers as the REST interface of Braiins OS 26.04 does. Source of
// paths, fields and codes: the openapi.json that the firmware serves at /api/v1/docs, and captures of an
// S21 Pro (256foundation/asic-rs, meta/braiins/26.04 and test/json/v26_04), read for facts.
//
//	GET  version/                    -> {major, minor, patch}, without a token
//	POST auth/login                  {username, password} -> {token, timeout_s}; 401 otherwise
//	GET  miner/details, miner/stats, miner/errors, cooling/state, pools/, performance/tuner-state,
//	     configuration/constraints   with the token as it is in Authorization; 401 without
//	PUT  actions/pause, actions/resume          -> whether it was so already
//	PUT  performance/power-target    {watt} -> the same; 400 outside the constraints
//	POST /graphql                    without a token: the model's name and the release
//	GET  /                           the dashboard, named Braiins OS
//
// status is 1 not started, 2 normal, 3 paused; overall_tuner_state 2 stable, 3 tuning. A power target and
// a pause are kept over a reboot by the first, not by the second. A path may end in a slash.
type Braiins struct {
	Machine        *Machine
	User, Password string
	HashrateTarget bool // its owner lets it aim at a hashrate

	mu     sync.Mutex
	tokens map[string]bool
	issued int
}

var _ http.Handler = (*Braiins)(nil)

// ServeHTTP answers one request.
func (b *Braiins) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !b.Machine.Answers(w, r) {
		return
	}
	path, ok := strings.CutPrefix(strings.TrimSuffix(r.URL.Path, "/"), "/api/v1/")
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/":
		writePage(w, "Braiins OS")
	case r.Method == http.MethodPost && r.URL.Path == "/graphql":
		b.graph(w, r)
	case !ok:
		http.NotFound(w, r)
	case r.Method == http.MethodGet && path == "version":
		writeJSON(w, map[string]int{"major": 1, "minor": 3, "patch": 0})
	case r.Method == http.MethodPost && path == "auth/login":
		b.login(w, r)
	case !b.authorized(r.Header.Get("Authorization")):
		http.Error(w, `{"message":"Unauthorized"}`, http.StatusUnauthorized)
	case r.Method == http.MethodGet:
		b.get(w, r, path)
	case r.Method == http.MethodPut:
		b.put(w, r, path)
	default:
		http.NotFound(w, r)
	}
}

// graph answers the two questions by which libraries tell what it is: bosminer.info.modelName and
// bos.info.version.full, which has date, build, commit and release, parted by dashes.
func (b *Braiins) graph(w http.ResponseWriter, r *http.Request) {
	var ask struct{ Query string }
	if json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&ask) != nil {
		http.Error(w, `{"errors":[{"message":"invalid request"}]}`, http.StatusBadRequest)
		return
	}
	out := map[string]any{}
	if strings.Contains(ask.Query, "modelName") {
		out["bosminer"] = map[string]any{"info": map[string]any{"modelName": b.Machine.Facts.Model}}
	}
	if strings.Contains(ask.Query, "version") {
		out["bos"] = map[string]any{"info": map[string]any{"version": map[string]any{
			"full": "2026-04-15-0-1a2b3c4d-26.04-plus",
		}}}
	}
	writeJSON(w, map[string]any{"data": out})
}

func (b *Braiins) login(w http.ResponseWriter, r *http.Request) {
	var ask struct{ Username, Password string }
	if json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&ask) != nil ||
		ask.Username != b.User || ask.Password != b.Password || b.Machine.Defects().Login {
		http.Error(w, `{"message":"Invalid credentials"}`, http.StatusUnauthorized)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.issued++
	token := "token" + strconv.Itoa(b.issued)
	if len(b.tokens) >= maxTokens {
		b.tokens = nil
	}
	if b.tokens == nil {
		b.tokens = map[string]bool{}
	}
	b.tokens[token] = true
	writeJSON(w, map[string]any{"token": token, "timeout_s": 3600})
}

// authorized also plays a token that is good for one use.
func (b *Braiins) authorized(token string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	ok := b.tokens[token]
	if ok && b.Machine.Defects().Expire {
		delete(b.tokens, token)
	}
	return ok
}

func (b *Braiins) put(w http.ResponseWriter, r *http.Request, path string) {
	s := b.Machine.Body.State()
	paused := s.Mode == fleet.Paused
	switch path {
	case "actions/pause":
		b.Machine.Order(fleet.Paused, 0)
		writeJSON(w, paused)
	case "actions/resume":
		if paused {
			b.Machine.Order(b.goal(s))
		}
		writeJSON(w, !paused)
	case "performance/power-target":
		var p struct{ Watt int64 }
		if json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&p) != nil ||
			unit.Watts(p.Watt) < s.Curve[0].Watts || unit.Watts(p.Watt) > s.Curve.Full().Watts {
			http.Error(w, `{"message":"power target out of range"}`, http.StatusBadRequest)
			return
		}
		if !b.Machine.Defects().Deaf {
			b.Machine.SetSetting("power-target", float64(p.Watt))
		}
		if paused {
			b.Machine.Order(fleet.Paused, 0)
		} else {
			b.Machine.Order(b.goal(s))
		}
		writeJSON(w, map[string]any{"watt": p.Watt})
	default:
		http.NotFound(w, r)
	}
}

// goal is what mining at the power target comes to.
func (b *Braiins) goal(s BodyState) (fleet.Mode, unit.Watts) {
	if t := b.target(s); t < s.Curve.Full().Watts {
		return fleet.Capped, t
	}
	return fleet.Free, 0
}

// Reboot implements Rebooter: the power target is kept, a pause is not.
func (b *Braiins) Reboot() {
	b.mu.Lock()
	b.tokens = nil
	b.mu.Unlock()
	b.Machine.Body.Reboot(b.goal(b.Machine.Body.State()))
}

func (b *Braiins) target(s BodyState) unit.Watts {
	if t := b.Machine.Setting("power-target"); t > 0 {
		return unit.Watts(t)
	}
	return s.Curve.Full().Watts
}

func (b *Braiins) get(w http.ResponseWriter, r *http.Request, path string) {
	s, f := b.Machine.Body.State(), b.Machine.Facts
	watt := func(w unit.Watts) map[string]any { return map[string]any{"watt": w} }
	gh := func(h unit.Hashrate) map[string]any {
		return map[string]any{"gigahash_per_second": float64(h) / 1e9}
	}
	full := s.Curve.Full()
	switch path {
	case "miner/details":
		status := 2
		if s.Mode == fleet.Paused {
			status = 3
		}
		writeJSON(w, map[string]any{
			"bos_version":    map[string]any{"current": f.Version, "bos_plus": true},
			"miner_identity": map[string]any{"brand": 1, "miner_model": f.Model, "name": f.Model},
			"hostname":       f.Host, "mac_address": f.MAC, "serial_number": f.Serial, "status": status,
			"sticker_hashrate": gh(full.Hashrate), "bosminer_uptime_s": int64(s.Uptime / time.Second),
		})
	case "miner/stats":
		writeJSON(w, map[string]any{
			"miner_stats": map[string]any{"real_hashrate": map[string]any{"last_5s": gh(s.Hashrate)}},
			"power_stats": map[string]any{"approximated_consumption": watt(b.Machine.Reported())},
		})
	case "performance/tuner-state":
		writeJSON(w, b.tuner(s))
	case "configuration/constraints":
		writeJSON(w, map[string]any{"tuner_constraints": map[string]any{"power_target": map[string]any{
			"default": watt(full.Watts), "min": watt(s.Curve[0].Watts), "max": watt(full.Watts),
		}}})
	case "miner/errors":
		list := []any{}
		if code := b.Machine.Defects().Fault; code != "" {
			list = append(list, map[string]any{"message": "Fan speed, " + code})
		}
		writeJSON(w, map[string]any{"errors": list})
	case "cooling/state":
		writeJSON(w, map[string]any{"highest_temperature": map[string]any{
			"location": 1, "temperature": map[string]any{"degree_c": 65.375},
		}})
	case "pools":
		writeJSON(w, b.pools())
	default:
		http.NotFound(w, r)
	}
}

func (b *Braiins) tuner(s BodyState) map[string]any {
	state := 2
	if s.Moving && s.Mode != fleet.Paused {
		state = 3
	}
	mode := map[string]any{"powertargetmodestate": map[string]any{
		"current_target": map[string]any{"watt": b.target(s)},
	}}
	if b.HashrateTarget {
		mode = map[string]any{"hashratetargetmodestate": map[string]any{
			"current_target": map[string]any{"terahash_per_second": float64(s.Curve.Full().Hashrate) / 1e12},
		}}
	}
	return map[string]any{"overall_tuner_state": state, "mode_state": mode}
}

func (b *Braiins) pools() []any {
	pools, active := b.Machine.Pools()
	var list []any
	for n, p := range pools {
		list = append(list, map[string]any{
			"active": n == active, "alive": true, "enabled": true, "uid": "pool" + strconv.Itoa(n),
			"url": p.URL, "user": p.User,
		})
	}
	return []any{map[string]any{"name": "Default", "uid": "0", "pools": list}}
}
