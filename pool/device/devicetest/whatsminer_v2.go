package devicetest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool/device/md5crypt"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// WhatsMinerV2 answers as the API 2.0 of a WhatsMiner does. Sources, read for facts:
//
//	codes, get_token, key and sign by md5crypt,   WhatsMiner API 2.0.4 and 2.0.5, sections 2 and 3, as
//	AES-256-ECB with zeros behind, base64         buywhatsminer.com and hhc26.github.io have them
//	power_off, power_on, adjust_power_limit       the same, and the table of power.md 1.1
//	summary, pools, status, get_version,          captures of an M50 (256foundation/asic-rs, whatsminer,
//	get_error_code, get_miner_info                test/json/v2); devdetails: the same library's firmware.rs
//
// A token is good for 30 minutes. A limit restarts the mining and is kept. "command" is taken for "cmd".
// While it is off there is no summary and there are no pools.
type WhatsMinerV2 struct {
	Machine  *Machine
	Password string
	Locked   bool // its API is switched to reading only

	mu     sync.Mutex
	salts  int
	tokens map[string]time.Time // until when each is good
}

// A token is good for tokenFor; maxTokens are good at a time, for one address.
const (
	tokenFor  = 30 * time.Minute
	maxTokens = 32
)

// Serve answers on ln until it is closed.
func (w *WhatsMinerV2) Serve(ln net.Listener) {
	serveAll(ln, func(conn net.Conn) { talkOnce(conn, w.Machine, w.answer) })
}

type wm2Request struct {
	Command string `json:"cmd"`
	Old     string `json:"command"`
	Token   string `json:"token"`
	Sealed  string `json:"data"`
	Limit   string `json:"power_limit"`
}

func (r *wm2Request) name() string {
	if r.Command != "" {
		return r.Command
	}
	return r.Old
}

func (w *WhatsMinerV2) answer(request []byte) []byte {
	var ask wm2Request
	if json.Unmarshal(request, &ask) != nil {
		return wm2Reply("E", 23, "json cmd err")
	}
	if ask.Sealed != "" {
		return w.write(ask.Sealed)
	}
	return w.read(ask.name())
}

func wm2Reply(status string, code int, msg any) []byte {
	return asJSON(map[string]any{
		"STATUS": status, "When": time.Now().Unix(), "Code": code, "Msg": msg,
		"Description": "whatsminer v1.3",
	})
}

func (w *WhatsMinerV2) read(command string) []byte {
	s, f := w.Machine.Body.State(), w.Machine.Facts
	switch command {
	case "get_token":
		t, salt, newsalt, ok := w.salt()
		if !ok {
			return wm2Reply("E", 136, "token over max times")
		}
		return wm2Reply("S", 134, map[string]any{"time": t, "salt": salt, "newsalt": newsalt})
	case "get_version":
		return wm2Reply("S", 131, map[string]any{"api_ver": "2.0.5", "fw_ver": f.Version, "platform": "H616"})
	case "status":
		return wm2Reply("S", 131, map[string]any{
			"mineroff": fmt.Sprint(s.Mode == fleet.Paused), "mineroff_reason": "", "power_mode": "normal",
			"power_limit_set": w.limit(), "hash_percent": "0", "FirmwareVersion": f.Version,
		})
	case "get_miner_info":
		return wm2Reply("S", 131, map[string]any{"mac": f.MAC, "hostname": f.Host, "ledstat": "auto"})
	case "get_error_code":
		list := []any{map[string]any{"218": "2024-06-15 10:30:00"}}
		if code := w.Machine.Defects().Fault; code != "" {
			list = append(list, map[string]any{code: "2024-06-15 10:31:00"})
		}
		return wm2Reply("S", 131, map[string]any{"error_code": list})
	case "devdetails":
		return asJSON(cgReply("cgminer 4.9.2", 69, "Device Details", "DEVDETAILS", map[string]any{
			"DEVDETAILS": 0, "ID": 0, "Name": "SM", "Driver": "bitmicro", "Model": f.Model,
		}))
	case "summary", "pools":
		if !s.awake() {
			return wm2Reply("E", 132, "btminer is not running")
		}
		if command == "pools" {
			return asJSON(cgReply("cgminer 4.9.2", 7, "Pool(s)", "POOLS", w.Machine.cgPools(true)...))
		}
		return asJSON(cgReply("cgminer 4.9.2", 11, "Summary", "SUMMARY", w.summary(s)))
	}
	return wm2Reply("E", 14, "invalid cmd")
}

func (w *WhatsMinerV2) summary(s BodyState) map[string]any {
	return map[string]any{
		"Elapsed": int64(s.Uptime / time.Second), "MHS av": float64(s.Hashrate) / 1e6,
		"HS RT": float64(s.Hashrate) / 1e6, "Factory GHS": float64(s.Curve.Full().Hashrate) / 1e9,
		"Power": w.Machine.Reported(), "Power Mode": "Normal", "Hash Stable": !s.Moving,
		"Chip Temp Max": 81.0, "Env Temp": 28.5, "MAC": w.Machine.Facts.MAC,
	}
}

// limit is the limit that was set, as a text; empty if there was none.
func (w *WhatsMinerV2) limit() string {
	if l := w.Machine.Setting("limit"); l > 0 {
		return strconv.Itoa(int(l))
	}
	return ""
}

// salt notes the token that its answer makes, unless as many are good as may be.
func (w *WhatsMinerV2) salt() (t, salt, newsalt string, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.tokens, func(_ string, until time.Time) bool { return time.Now().After(until) })
	if len(w.tokens) >= maxTokens {
		return "", "", "", false
	}
	w.salts++
	t, salt, newsalt = fmt.Sprintf("%04d", 5626+w.salts), "BQ5hoXV9", "jbzkfQls"
	if w.tokens == nil {
		w.tokens = map[string]time.Time{}
	}
	w.tokens[md5crypt.Sum(w.key()+t, newsalt)] = time.Now().Add(tokenFor)
	return t, salt, newsalt, true
}

func (w *WhatsMinerV2) key() string { return md5crypt.Sum(w.Password, "BQ5hoXV9") }

// good checks a token, and plays one that is good for one use.
func (w *WhatsMinerV2) good(token string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	until, ok := w.tokens[token]
	if w.Machine.Defects().Expire {
		delete(w.tokens, token)
	}
	return ok && time.Now().Before(until)
}

func (w *WhatsMinerV2) block() cipher.Block {
	sum := sha256.Sum256([]byte(w.key()))
	b, err := aes.NewCipher(sum[:])
	if err != nil {
		panic(err) // the length of a sum is a key's
	}
	return b
}

func (w *WhatsMinerV2) write(sealed string) []byte {
	if w.Locked || w.Machine.Defects().Login {
		return wm2Reply("E", 45, "permission denied")
	}
	b, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil || len(b)%aes.BlockSize != 0 {
		return wm2Reply("E", 137, "base64 decode error")
	}
	block := w.block()
	for n := 0; n < len(b); n += aes.BlockSize {
		block.Decrypt(b[n:], b[n:])
	}
	var ask wm2Request
	if json.Unmarshal(bytes.TrimRight(b, "\x00"), &ask) != nil {
		return wm2Reply("E", 23, "json cmd err")
	}
	if !w.good(ask.Token) {
		return w.seal(wm2Reply("E", 135, "check token err"))
	}
	return w.seal(w.order(ask))
}

func (w *WhatsMinerV2) seal(b []byte) []byte {
	b = append(b, make([]byte, -len(b)&(aes.BlockSize-1))...)
	block := w.block()
	for n := 0; n < len(b); n += aes.BlockSize {
		block.Encrypt(b[n:], b[n:])
	}
	return asJSON(map[string]any{"enc": base64.StdEncoding.EncodeToString(b)})
}

func (w *WhatsMinerV2) order(ask wm2Request) []byte {
	s := w.Machine.Body.State()
	switch ask.name() {
	case "power_off":
		w.Machine.Order(fleet.Paused, 0)
	case "power_on":
		w.run(s)
	case "adjust_power_limit":
		limit, err := strconv.Atoi(ask.Limit)
		if err != nil || limit < 0 || limit > 99999 {
			return wm2Reply("E", 132, "invalid power_limit")
		}
		w.restrict(s, limit)
	default:
		return wm2Reply("E", 14, "invalid cmd")
	}
	return wm2Reply("S", 131, "API command OK")
}

// restrict limits power; the largest limit is none. Who mines begins anew, who is off stays off.
func (w *WhatsMinerV2) restrict(s BodyState, limit int) {
	deaf := w.Machine.Defects().Deaf
	if !deaf {
		w.Machine.SetSetting("limit", float64(limit%99999))
	}
	if s.Mode == fleet.Paused {
		w.Machine.Order(fleet.Paused, 0)
		return
	}
	w.run(s)
	if !deaf {
		w.Machine.Body.Reboot(w.goal(s))
	}
}

func (w *WhatsMinerV2) run(s BodyState) { w.Machine.Order(w.goal(s)) }

// goal is what mining within the limit comes to.
func (w *WhatsMinerV2) goal(s BodyState) (fleet.Mode, unit.Watts) {
	l := unit.Watts(w.Machine.Setting("limit"))
	if l > 0 && l < s.Curve.Full().Watts {
		return fleet.Capped, l
	}
	return fleet.Free, 0
}

// Reboot implements Rebooter: the limit is kept, of a power_off nothing is said.
func (w *WhatsMinerV2) Reboot() {
	w.mu.Lock()
	w.tokens = nil
	w.mu.Unlock()
	w.Machine.Body.Reboot(w.goal(w.Machine.Body.State()))
}
