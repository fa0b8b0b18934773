package devicetest

import (
	"crypto/md5" //nolint:gosec // RFC 7616 digests as the firmware makes them
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
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
// A write replaces the configuration: pools that it leaves out are gone. Asleep, STATS, SUMMARY and POOLS
// are empty. It answers before it reloads; sleep is kept over a reboot.
type Antminer struct {
	Machine        *Machine
	User, Password string

	mu    sync.Mutex
	nonce int
}

var _ http.Handler = (*Antminer)(nil)

// ServeHTTP answers one request.
func (a *Antminer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
		writeJSON(w, map[string]any{"STATUS": map[string]any{"STATUS": "S"}, "STATS": a.stats(s)})
	case "GET pools":
		writeJSON(w, map[string]any{"STATUS": map[string]any{"STATUS": "S"}, "POOLS": a.pools()})
	case "GET get_miner_conf":
		writeJSON(w, a.conf())
	case "POST set_miner_conf":
		a.set(w, r)
	default:
		http.NotFound(w, r)
	}
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
	if d.Login || part["username"] != a.User || part["nonce"] != fmt.Sprint(a.nonce) ||
		part["uri"] != r.URL.RequestURI() {
		return false
	}
	ha1 := md5hex(a.User + ":" + part["realm"] + ":" + a.Password)
	ha2 := md5hex(r.Method + ":" + part["uri"])
	want := md5hex(strings.Join(
		[]string{ha1, part["nonce"], part["nc"], part["cnonce"], part["qop"], ha2}, ":"))
	if d.Expire {
		a.nonce++
	}
	return part["response"] == want
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

// conf has the mode as a string, as a read shows it.
func (a *Antminer) conf() map[string]any {
	mode := strconv.Itoa(int(a.Machine.Setting("miner-mode")))
	pools, _ := a.Machine.Pools()
	list := []any{}
	for _, p := range pools {
		list = append(list, map[string]any{"url": p.URL, "user": p.User, "pass": p.Password})
	}
	return map[string]any{
		"pools": list, "api-listen": true, "api-network": true,
		"bitmain-fan-ctrl": true, "bitmain-fan-pwm": "70",
		"bitmain-work-mode": mode, "bitmain-freq-level": "100",
	}
}

func (a *Antminer) set(w http.ResponseWriter, r *http.Request) {
	var conf struct {
		Pools []struct{ URL, User, Pass string }
		Mode  *int `json:"miner-mode"`
	}
	if json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&conf) != nil || conf.Mode == nil {
		writeJSON(w, map[string]any{"stats": "error", "code": "M001", "msg": "Illegal request!"})
		return
	}
	var pools []Pool
	for _, p := range conf.Pools {
		pools = append(pools, Pool{URL: p.URL, User: p.User, Password: p.Pass})
	}
	if _, active := a.Machine.Pools(); active == 0 {
		a.Machine.SetPools(pools)
	}
	a.Machine.SetSetting("miner-mode", float64(*conf.Mode))
	switch *conf.Mode {
	case 1:
		a.Machine.Order(fleet.Paused, 0)
	default:
		a.Machine.Order(fleet.Free, 0)
	}
	writeJSON(w, map[string]any{"stats": "success", "code": "M000", "msg": "OK!"})
}
