package devicetest

import (
	"crypto/md5" //nolint:gosec // RFC 7616 digests as the firmware makes them
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

// Antminer is an http.Handler that answers as the stock firmware of an Antminer S19 to S21 does. Source
// of programs, keys and behaviour: power.md 1.2, captures and payload tests of 256foundation/asic-rs
// (antminer, v2020 and v2023_07) and the settings that hass-miner's users lost (its issues 353 and 380),
// read for facts.
//
//	GET  /cgi-bin/{get_system_info,stats,summary,pools,get_miner_conf}.cgi   behind Digest, MD5, qop auth
//	POST /cgi-bin/set_miner_conf.cgi   the whole configuration, under names of its own
//	                                   -> {"stats": "success"}
//
// A write replaces the configuration: what it leaves out is gone. Asleep, STATS, SUMMARY and POOLS are
// empty. It answers before it reloads; sleep is kept over a reboot.
type Antminer struct {
	Machine        *Machine
	User, Password string
	Loses          []string      // settings that a write loses, whatever it holds; pools: all but the first
	Reload         time.Duration // after a write nobody answers for so long

	mu       sync.Mutex
	nonce    int            // the newest
	expired  int            // the newest that is good no more
	settings map[string]any // besides pools and the mode
	until    time.Time      // it reloads
}

var _ http.Handler = (*Antminer)(nil)

// ServeHTTP answers one request.
func (a *Antminer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.reloads() {
		panic(http.ErrAbortHandler) // the connection ends without a word
	}
	if !a.Machine.Answers(w, r) {
		return
	}
	if !a.authorized(r) {
		a.mu.Lock()
		a.nonce++
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(
			`Digest realm="antMiner Configuration", nonce="%d", qop="auth"`, a.nonce))
		a.mu.Unlock()
		http.Error(w, "401", http.StatusUnauthorized)
		return
	}
	program := strings.TrimPrefix(r.URL.Path, "/cgi-bin/")
	s := a.Machine.Body.State()
	switch r.Method + " " + strings.TrimSuffix(program, ".cgi") {
	case "GET get_system_info":
		f := a.Machine.Facts
		writeJSON(w, map[string]any{
			"minertype": f.Model, "macaddr": f.MAC, "hostname": f.Host, "serinum": f.Serial,
			"system_filesystem_version": f.Version, "firmware_type": "Release",
		})
	case "GET stats":
		a.list(w, "STATS", a.stats(s))
	case "GET summary":
		a.list(w, "SUMMARY", a.summary(s))
	case "GET pools":
		a.list(w, "POOLS", a.pools())
	case "GET get_miner_conf":
		writeJSON(w, a.conf())
	case "POST set_miner_conf":
		a.set(w, r)
	default:
		http.NotFound(w, r)
	}
}

// list is an answer with who gives it.
func (a *Antminer) list(w http.ResponseWriter, name string, list []any) {
	f := a.Machine.Facts
	writeJSON(w, map[string]any{
		"STATUS": map[string]any{"STATUS": "S"}, name: list,
		"INFO": map[string]any{"miner_version": f.Version, "CompileTime": compiled, "type": f.Model},
	})
}

var digestPart = regexp.MustCompile(`(\w+)=(?:"([^"]*)"|([^ ,]+))`)

// authorized checks a digest and plays a nonce that is good for one use.
func (a *Antminer) authorized(r *http.Request) bool {
	part := map[string]string{}
	for _, m := range digestPart.FindAllStringSubmatch(r.Header.Get("Authorization"), 20) {
		part[m[1]] = m[2] + m[3]
	}
	d := a.Machine.Defects()
	a.mu.Lock()
	defer a.mu.Unlock()
	if d.Login || part["username"] != a.User || !a.good(part["nonce"]) ||
		part["uri"] != r.URL.RequestURI() {
		return false
	}
	ha1 := md5hex(a.User + ":" + part["realm"] + ":" + a.Password)
	ha2 := md5hex(r.Method + ":" + part["uri"])
	want := md5hex(strings.Join(
		[]string{ha1, part["nonce"], part["nc"], part["cnonce"], part["qop"], ha2}, ":"))
	if d.Expire {
		a.expired = a.nonce
	}
	return part["response"] == want
}

// good says that a nonce was given out and has not expired. The caller holds mu.
func (a *Antminer) good(nonce string) bool {
	n, err := strconv.Atoi(nonce)
	return err == nil && n > a.expired && n <= a.nonce
}

func md5hex(s string) string {
	sum := md5.Sum([]byte(s)) //nolint:gosec // as above
	return hex.EncodeToString(sum[:])
}

func (a *Antminer) stats(s BodyState) []any {
	if s.Mode == fleet.Paused && !s.Moving {
		return []any{}
	}
	return []any{map[string]any{
		"elapsed": int64(s.Uptime / time.Second), "rate_5s": float64(s.Hashrate) / 1e9, "rate_unit": "GH/s",
		"rate_ideal": float64(s.Curve.Full().Hashrate) / 1e9, "miner-mode": 0, "freq-level": "100",
		"chain": []any{map[string]any{"index": 0, "temp_chip": []int{52, 55, 70, 71}}},
	}}
}

func (a *Antminer) pools() []any {
	list := []any{}
	pools, active := a.Machine.Pools()
	for n, p := range pools {
		status := "Alive"
		if n < active {
			status = "Dead"
		}
		list = append(list, map[string]any{
			"index": n, "url": p.URL, "user": p.User, "status": status, "priority": n,
		})
	}
	return list
}

// summary has the firmware's checks of itself: s is sound, e an error.
func (a *Antminer) summary(s BodyState) []any {
	if s.Mode == fleet.Paused && !s.Moving {
		return []any{}
	}
	fan := map[string]any{"type": "fans", "status": "s", "code": 0, "msg": ""}
	if code, err := strconv.Atoi(a.Machine.Defects().Fault); err == nil {
		fan["status"], fan["code"], fan["msg"] = "e", code, "fan speed"
	}
	return []any{map[string]any{
		"elapsed": int64(s.Uptime / time.Second), "rate_5s": float64(s.Hashrate) / 1e9, "rate_unit": "GH/s",
		"status": []any{map[string]any{"type": "rate", "status": "s", "code": 0, "msg": ""}, fan},
	}}
}

// reloads says that it does not answer, as for a while after a write.
func (a *Antminer) reloads() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Now().Before(a.until)
}

// conf has the mode as a string, as a read shows it.
func (a *Antminer) conf() map[string]any {
	a.mu.Lock()
	defer a.mu.Unlock()
	pools, _ := a.Machine.Pools()
	list := []any{}
	for _, p := range pools {
		list = append(list, map[string]any{"url": p.URL, "user": p.User, "pass": p.Password})
	}
	if a.settings == nil {
		a.settings = map[string]any{
			"api-listen": true, "api-network": true, "api-allow": "W:0/0", "bitmain-fan-ctrl": true,
			"bitmain-fan-pwm": "70", "bitmain-freq": "500", "bitmain-voltage": "1300",
			"bitmain-freq-level": "100",
		}
	}
	out := maps.Clone(a.settings)
	out["pools"], out["bitmain-work-mode"] = list, strconv.Itoa(int(a.Machine.Setting("miner-mode")))
	return out
}

func (a *Antminer) set(w http.ResponseWriter, r *http.Request) {
	var conf struct {
		Pools []struct{ URL, User, Pass string }
		Mode  *int `json:"miner-mode"`
	}
	var all map[string]any
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil || json.Unmarshal(b, &all) != nil || json.Unmarshal(b, &conf) != nil || conf.Mode == nil {
		writeJSON(w, map[string]any{"stats": "error", "code": "M001", "msg": "Illegal request!"})
		return
	}
	var pools []Pool
	for _, p := range conf.Pools {
		pools = append(pools, Pool{URL: p.URL, User: p.User, Password: p.Pass})
	}
	if slices.Contains(a.Loses, "pools") {
		pools = pools[:min(1, len(pools))]
	}
	if _, active := a.Machine.Pools(); active == 0 {
		a.Machine.SetPools(pools)
	}
	a.keep(all)
	a.Machine.SetSetting("miner-mode", float64(*conf.Mode))
	switch *conf.Mode {
	case 1:
		a.Machine.Order(fleet.Paused, 0)
	default:
		a.Machine.Order(fleet.Free, 0)
	}
	writeJSON(w, map[string]any{"stats": "success", "code": "M000", "msg": "OK!"})
}

// keep replaces the settings, under the names that a read shows, and begins to reload.
func (a *Antminer) keep(all map[string]any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.settings, a.until = map[string]any{}, time.Now().Add(a.Reload)
	for key, value := range all {
		switch key {
		case "pools", "miner-mode", "bitmain-work-mode":
			continue
		case "freq-level":
			key = "bitmain-freq-level"
		}
		if !slices.Contains(a.Loses, key) {
			a.settings[key] = value
		}
	}
}

// Reboot implements Rebooter: the mode is in the configuration, which is kept.
func (a *Antminer) Reboot() {
	a.mu.Lock()
	a.expired = a.nonce
	a.mu.Unlock()
	mode := fleet.Free
	if a.Machine.Setting("miner-mode") == 1 {
		mode = fleet.Paused
	}
	a.Machine.Body.Reboot(mode, 0)
}
