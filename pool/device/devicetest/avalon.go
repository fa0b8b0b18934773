package devicetest

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

// Avalon answers as Canaan's Avalon A-series does, one connection at a time. Sources, read for facts:
//
//	version, pools              captures of an Avalon Q (256foundation/asic-rs, avalonminer, test/json)
//	estats: Key[value] within   captures of an A1246, an A1346 and a Q: PS[error, control volts, hash volts,
//	"MM ID0", SYSTEMSTATU,      amperes, watts out, volts set, watts in]; asleep PS[0 1198 0 0 0 1393 11],
//	SoftOFF                     Work: In Idle and SoftOFF[5]
//	ascset 0,softoff,1:TIME     power.md 1.1; TIME is Unix time by the machine's clock. A capture of a Q has
//	ascset 0,softon,1:TIME      status I, code 118, "ASC 0 set info: success softoff:TIME", which is Old;
//	                            the backend avalon_a of 2026 expects S and "ASC 0 set OK"
//	softon may hang up          256foundation/asic-rs, avalon_a, its remark
//	one thread                  Canaan's A10 API manual, summary
type Avalon struct {
	Machine *Machine
	Skew    time.Duration // of its clock, which is wrong where there is no time server
	Hurry   float64       // by what waits for a moment are shortened; 1 if 0
	Mute    bool          // it hangs up at a softon
	Old     bool          // its supply does not say what it takes from the wall, and a moment is repeated

	mu    sync.Mutex
	timer *time.Timer
}

// Serve answers on ln until it is closed.
func (a *Avalon) Serve(ln net.Listener) {
	serveOne(ln, a.Machine, func(request []byte) []byte {
		if a.Mute && strings.Contains(string(request), "softon,") {
			joined(request, a.answer)
			return nil
		}
		return joined(request, a.answer)
	})
}

func (a *Avalon) clock() time.Time { return time.Now().Add(a.Skew) }

func (a *Avalon) reply(status string, code int, msg, key string, list ...any) map[string]any {
	out := map[string]any{"STATUS": []any{map[string]any{
		"STATUS": status, "Code": code, "Msg": msg, "Description": "cgminer 4.11.1", "When": a.clock().Unix(),
	}}, "id": 1}
	if key != "" {
		out[key] = list
	}
	return out
}

func (a *Avalon) answer(ask cgAsk) map[string]any {
	s, f := a.Machine.Body.State(), a.Machine.Facts
	switch ask.Command {
	case "version":
		model, _, _ := strings.Cut(f.Version, "-")
		return a.reply("S", 22, "CGMiner versions", "VERSION", map[string]any{
			"API": "3.7", "CGMiner": "4.11.1", "PROD": f.Model, "MODEL": model, "LVERSION": f.Version,
			"DNA": f.Serial, "MAC": f.MAC, "HWTYPE": "MM4v1_X3",
		})
	case "estats", "stats":
		return a.reply("S", 70, "CGMiner stats", "STATS", map[string]any{
			"STATS": 0, "ID": "AVA100", "MM Count": 1, "Elapsed": int64(s.Uptime / time.Second),
			"MM ID0": a.figures(s),
		})
	case "devs":
		return a.reply("S", 9, "1 ASC(s)", "DEVS", map[string]any{
			"ASC": 0, "Name": "AVALON", "ID": 0, "Enabled": "Y", "Status": "Alive",
			"MHS 1m": float64(s.Hashrate) / 1e6, "MHS av": float64(s.Hashrate) / 1e6,
		})
	case "pools":
		return a.reply("S", 7, "Pool(s)", "POOLS", a.Machine.cgPools(true)...)
	case "ascset":
		return a.order(ask.Parameter)
	}
	return a.reply("E", 14, "Invalid command", "")
}

func (a *Avalon) figures(s BodyState) string {
	work, off, supply := "In Work", 0, a.Machine.Reported()
	out := supply * 91 / 100
	if s.Mode == fleet.Paused {
		off = 5
	}
	if !s.awake() {
		work, out = "In Idle", 0
	}
	ps := fmt.Sprintf("0 1214 1316 242 %d 1320", out)
	if !a.Old {
		ps += fmt.Sprintf(" %d", supply)
	}
	gh := float64(s.Hashrate) / 1e9
	return fmt.Sprintf("Ver[%s] DNA[%s] SYSTEMSTATU[Work: %s, Hash Board: 3 ] Elapsed[%d] Temp[30] "+
		"TMax[77] TAvg[65] Fan1[5344] FanR[72%%] PS[%s] GHSspd[%.2f] GHSmm[%.2f] GHSavg[%.2f] "+
		"SoftOFF[%d] ECHU[0 %s 0] ECMM[0] PVT_T0[ 63  70  70]",
		a.Machine.Facts.Version, a.Machine.Facts.Serial, work, int64(s.Uptime/time.Second), ps, gh,
		float64(s.Curve.At(s.Target))/1e9, gh, off, cmp.Or(a.Machine.Defects().Fault, "0"))
}

// order takes a moment to sleep or to wake. A newer one replaces an older.
func (a *Avalon) order(parameter string) map[string]any {
	part := strings.SplitN(parameter, ",", 3)
	if len(part) != 3 || part[0] != "0" || part[1] != "softoff" && part[1] != "softon" {
		return a.reply("E", 120, "ASC 0 set failed: Unknown option: "+parameter, "")
	}
	text, ok := strings.CutPrefix(part[2], "1:")
	at, err := strconv.ParseInt(text, 10, 64)
	if !ok || err != nil {
		return a.reply("E", 120, "ASC 0 set failed: invalid time", "")
	}
	mode := fleet.Free
	if part[1] == "softoff" {
		mode = fleet.Paused
	}
	wait := time.Unix(at, 0).Sub(a.clock())
	if a.Hurry > 0 {
		wait = time.Duration(float64(wait) / a.Hurry)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer != nil {
		a.timer.Stop()
	}
	a.timer = time.AfterFunc(max(wait, 0), func() { a.Machine.obey(mode, 0) })
	a.Machine.count()
	if a.Old {
		return a.reply("I", 118, "ASC 0 set info: success "+part[1]+":"+text, "")
	}
	return a.reply("S", 119, "ASC 0 set OK", "")
}

// Reboot implements Rebooter: that a sleep or a moment is kept is not documented.
func (a *Avalon) Reboot() {
	a.mu.Lock()
	if a.timer != nil {
		a.timer.Stop()
	}
	a.mu.Unlock()
	a.Machine.Body.Reboot(fleet.Free, 0)
}
