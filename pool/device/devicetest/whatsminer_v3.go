package devicetest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// WhatsMinerV3 answers as the API 3.0 of a WhatsMiner does. Sources, read for facts:
//
//	frames: u32, least byte first, and JSON; a   apidoc.whatsminer.com as the documentation of the crate
//	frame of no bytes is a heartbeat; codes;     matroskin 0.1.0 gives it (docs.rs), Overview, get.miner.*,
//	set.miner.power, set.miner.service           set.miner.*
//	token: base64(sha256(cmd, password, salt,    the same, and the backend of 256foundation/asic-rs
//	ts)), its first 8 characters
//	get.device.info, get.miner.status            captures of an M60S (asic-rs, whatsminer, test/json/v3)
//	status without pools while it is idle        tetherto's WhatsMiner worker, its remarks
//
// Numbers in get.device.info are texts. A token's salt changes with Expire after each write.
type WhatsMinerV3 struct {
	Machine        *Machine
	User, Password string
	Old            bool // API 3.0.2: no watts
	Locked         bool // its API is switched to reading only
	Fast           bool // fast boot is enabled
	Beats          bool // it sends heartbeats

	mu      sync.Mutex
	salts   int
	booting bool // from a start until it has found its clocks
}

// Serve answers on ln until it is closed.
func (w *WhatsMinerV3) Serve(ln net.Listener) { serveAll(ln, w.talk) }

type wm3Request struct {
	Command string          `json:"cmd"`
	Param   json.RawMessage `json:"param"`
	Time    int64           `json:"ts"`
	Token   string          `json:"token"`
	Account string          `json:"account"`
}

func (w *WhatsMinerV3) talk(conn net.Conn) {
	for {
		var head [4]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		n := binary.LittleEndian.Uint32(head[:])
		if n > 64<<10 {
			return
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(conn, body); err != nil {
			return
		}
		if n == 0 {
			continue
		}
		if w.Machine.Defects().Flood {
			_, _ = conn.Write([]byte{0xff, 0xff, 0xff, 0x7f})
			flood(conn)
			return
		}
		reply, ok := w.Machine.plays(w.answer, body)
		if !ok {
			continue
		}
		var frame []byte
		if w.Beats {
			frame = make([]byte, 4)
		}
		frame = append(binary.LittleEndian.AppendUint32(frame, uint32(len(reply))), reply...)
		if _, err := conn.Write(frame); err != nil {
			return
		}
	}
}

func (w *WhatsMinerV3) answer(body []byte) []byte {
	var ask wm3Request
	if json.Unmarshal(body, &ask) != nil {
		return wm3Reply("", -3, "invalid json")
	}
	var param string
	_ = json.Unmarshal(ask.Param, &param) // not every one is a text
	s := w.Machine.Body.State()
	switch ask.Command {
	case "get.device.info":
		return wm3Reply(ask.Command, 0, w.info(s))
	case "get.miner.setting":
		return wm3Reply(ask.Command, 0, w.setting(s))
	case "get.miner.status":
		return w.parts(param, s)
	case "set.miner.service", "set.miner.power":
		return w.order(ask, s)
	}
	return wm3Reply(ask.Command, -2, "invalid command")
}

// parts answers those parts of the status that were asked for, with "+" between.
func (w *WhatsMinerV3) parts(param string, s BodyState) []byte {
	all, out := w.status(s), map[string]any{}
	for part := range strings.SplitSeq(param, "+") {
		switch part {
		case "summary", "pools", "edevs":
			if v := all[part]; v != nil {
				out[part] = v
			}
		default:
			return wm3Reply("get.miner.status", -2, "invalid command")
		}
	}
	return wm3Reply("get.miner.status", 0, out)
}

func wm3Reply(command string, code int, msg any) []byte {
	return asJSON(map[string]any{"code": code, "when": time.Now().Unix(), "msg": msg, "desc": command})
}

func (w *WhatsMinerV3) salt() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprintf("uhCiD%03d", w.salts)
}

func (w *WhatsMinerV3) info(s BodyState) map[string]any {
	f, api, writes := w.Machine.Facts, "3.0.3", "1"
	if w.Old {
		api = "3.0.2"
	}
	if w.Locked {
		writes = "0"
	}
	return map[string]any{
		"miner": map[string]any{
			"type": f.Model, "miner-sn": f.Serial, "working": fmt.Sprint(s.Mode != fleet.Paused),
			"fast-boot": w.boot(), "pool-strategy": "FAILOVER",
		},
		"network":    map[string]any{"mac": f.MAC, "hostname": f.Host, "proto": "dhcp"},
		"system":     map[string]any{"api": api, "apiswitch": writes, "fwversion": f.Version},
		"salt":       w.salt(),
		"error-code": w.faults(),
	}
}

// faults are codes with the time when each began, and a reason.
func (w *WhatsMinerV3) faults() []any {
	list := []any{}
	if code := w.Machine.Defects().Fault; code != "" {
		list = append(list, map[string]string{code: "2025-06-15 10:30:00", "reason": "fan speed"})
	}
	return list
}

func (w *WhatsMinerV3) boot() string {
	if w.Fast {
		return "enable"
	}
	return "disable"
}

// power is the watts that it was told to draw; its limit, until somebody did.
func (w *WhatsMinerV3) power(s BodyState) unit.Watts {
	if p := unit.Watts(w.Machine.Setting("power")); p > 0 {
		return p
	}
	return w.limit(s)
}

func (w *WhatsMinerV3) limit(s BodyState) unit.Watts { return s.Curve.Full().Watts * 11 / 10 }

func (w *WhatsMinerV3) setting(s BodyState) map[string]any {
	m := map[string]any{
		"power-limit": w.limit(s), "power-mode": "normal", "fast-boot": w.boot(), "power-percent": 0,
	}
	if !w.Old {
		m["power"] = w.power(s)
	}
	return m
}

func (w *WhatsMinerV3) status(s BodyState) map[string]any {
	if !s.awake() {
		return map[string]any{"summary": map[string]any{"elapsed": 0, "power-realtime": w.Machine.Reported()}}
	}
	w.mu.Lock()
	w.booting = w.booting && s.Moving
	tuned := btoi(!w.booting)
	w.mu.Unlock()
	var pools []any
	list, active := w.Machine.Pools()
	for n, p := range list {
		pools = append(pools, map[string]any{
			"account": p.User, "pool-priority": n, "status": "alive", "url": p.URL,
			"stratum-active": n == active,
		})
	}
	return map[string]any{
		"pools": pools,
		"edevs": []any{map[string]any{
			"id": 0, "status": "alive", "chip-temp-max": 82.0, "hash-realtime": float64(s.Hashrate) / 1e12,
		}},
		"summary": map[string]any{
			"elapsed": int64(s.Uptime / time.Second), "power-realtime": float64(w.Machine.Reported()),
			"hash-realtime": float64(s.Hashrate) / 1e12, "up-freq-finish": tuned,
			"factory-hash":  float64(s.Curve.Full().Hashrate) / 1e12,
			"chip-temp-max": 82.0, "environment-temperature": 28.5, "power-limit": w.limit(s),
		},
	}
}

// signed checks a token, and plays a salt that is good for one write.
func (w *WhatsMinerV3) signed(ask wm3Request) bool {
	salt := w.salt()
	sum := sha256.Sum256([]byte(ask.Command + w.Password + salt + fmt.Sprint(ask.Time)))
	want := base64.StdEncoding.EncodeToString(sum[:])[:8]
	d := w.Machine.Defects()
	if d.Expire {
		w.mu.Lock()
		w.salts++
		w.mu.Unlock()
	}
	return !d.Login && ask.Account == w.User && ask.Token == want
}

func (w *WhatsMinerV3) order(ask wm3Request, s BodyState) []byte {
	var service string
	var power int
	switch {
	case w.Locked:
		return wm3Reply(ask.Command, -4, "no permission")
	case !w.signed(ask):
		return wm3Reply(ask.Command, -1, "token error")
	case ask.Command == "set.miner.power" && !w.Old && json.Unmarshal(ask.Param, &power) == nil && power > 0:
		w.aim(s, unit.Watts(power))
	case json.Unmarshal(ask.Param, &service) == nil && service == "stop":
		w.Machine.Order(fleet.Paused, 0)
	case service == "start":
		w.mu.Lock()
		w.booting = true
		w.mu.Unlock()
		w.run(s, w.power(s))
	default:
		return wm3Reply(ask.Command, -2, "invalid command")
	}
	return wm3Reply(ask.Command, 0, "ok")
}

// aim keeps watts; who sleeps goes on sleeping, and who looks for its clocks is not disturbed.
func (w *WhatsMinerV3) aim(s BodyState, p unit.Watts) {
	if !w.Machine.Defects().Deaf {
		w.Machine.SetSetting("power", float64(p))
	}
	w.mu.Lock()
	booting := w.booting && s.Moving
	w.mu.Unlock()
	if s.Mode == fleet.Paused || booting {
		w.Machine.Order(s.Mode, s.Target)
		return
	}
	w.run(s, p)
}

func (w *WhatsMinerV3) run(s BodyState, p unit.Watts) { w.Machine.Order(w.goal(s, p)) }

// goal is what mining at watts comes to.
func (w *WhatsMinerV3) goal(s BodyState, p unit.Watts) (fleet.Mode, unit.Watts) {
	if p < s.Curve.Full().Watts {
		return fleet.Capped, p
	}
	return fleet.Free, 0
}

// Reboot implements Rebooter: the watts are kept, of a stop nothing is said. The salt is another one.
func (w *WhatsMinerV3) Reboot() {
	w.mu.Lock()
	w.salts++
	w.booting = true
	w.mu.Unlock()
	s := w.Machine.Body.State()
	w.Machine.Body.Reboot(w.goal(s, w.power(s)))
}
