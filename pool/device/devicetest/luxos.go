package devicetest

import (
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// LuxOS answers as LUXminer does. Sources, read for facts:
//
//	version, config, summary,  captures of an S19k Pro (256foundation/asic-rs, luxminer, test/json/v1)
//	power, pools, temps,
//	events, profiles, stats,
//	devs, fans
//	session, logon, logoff     docs.luxor.tech, API, Sessions: one at a time, a minute after its last use
//	curtail                    docs.luxor.tech, API, curtail: sleep turns boards and supply off and survives
//	                           a restart; code 335
//	profileset                 docs.luxor.tech, API, profileset: by name; code 321
//	25 built-in profiles       docs.luxor.tech, Features: 16 below the factory's, 8 above
//
// Commands that need a session have it as the first of their parameters, which commas part.
type LuxOS struct {
	Machine *Machine
	Heat    bool // its thermal management (ATM) is on

	mu      sync.Mutex
	session string
	used    time.Time
	opened  int
}

// sessionFor is how long a session outlives its last use.
const sessionFor = time.Minute

// Serve answers on ln until it is closed.
func (l *LuxOS) Serve(ln net.Listener) {
	serveAll(ln, func(conn net.Conn) {
		talkOnce(conn, l.Machine, func(request []byte) []byte { return joined(request, l.answer) })
	})
}

func (l *LuxOS) by() string { return "LUXminer " + l.Machine.Facts.Version }

func (l *LuxOS) answer(ask cgAsk) map[string]any {
	switch ask.Command {
	case "logon", "logoff", "session":
		return l.sessions(ask)
	case "curtail", "profileset":
		return l.order(ask)
	}
	return l.read(ask.Command)
}

func (l *LuxOS) read(command string) map[string]any {
	s, f := l.Machine.Body.State(), l.Machine.Facts
	switch command {
	case "version":
		return cgReply(l.by(), 22, "LUXminer versions", "VERSION", map[string]any{
			"API": "3.7", "LUXminer": f.Version, "Miner": f.Version, "Type": f.Model,
		})
	case "config":
		return cgReply(l.by(), 33, "LUXminer config", "CONFIG", l.config(s))
	case "summary":
		return cgReply(l.by(), 11, "Summary", "SUMMARY", map[string]any{
			"Elapsed": int64(s.Uptime / time.Second), "GHS 5s": float64(s.Hashrate) / 1e9,
			"GHS av": float64(s.Hashrate) / 1e9, "Hardware Errors": 0,
		})
	case "power":
		return cgReply(l.by(), 311, "Power usage", "POWER", map[string]any{
			"PSU": false, "Watts": l.Machine.Reported(),
		})
	case "pools":
		return cgReply(l.by(), 7, "Pool(s)", "POOLS", l.Machine.cgPools(s.awake())...)
	case "temps":
		return cgReply(l.by(), 201, "1 Temp(s)", "TEMPS", map[string]any{
			"ID": 0, "TEMP": 0, "BottomLeft": 47.0, "BottomRight": 34.0, "TopLeft": 47.0, "TopRight": 34.0,
		})
	case "events":
		var list []any
		if !s.awake() {
			list = append(list, map[string]any{"Code": "SLEEP", "Description": "Miner is in Sleep mode."})
		}
		if code := l.Machine.Defects().Fault; code != "" {
			list = append(list, map[string]any{"Code": "FAN_" + code, "Description": "Fan speed."})
		}
		return cgReply(l.by(), 357, "Miner Events", "EVENTS", list...)
	case "profiles":
		return l.profiles(s)
	}
	return l.readMore(command, s)
}

// readMore answers what others ask for.
func (l *LuxOS) readMore(command string, s BodyState) map[string]any {
	elapsed, gh := int64(s.Uptime/time.Second), float64(s.Hashrate)/1e9
	switch command {
	case "stats":
		return cgReply(l.by(), 70, "LUXminer stats", "STATS",
			map[string]any{"Miner": l.Machine.Facts.Version, "Type": l.Machine.Facts.Model},
			map[string]any{
				"STATS": 0, "ID": "BTM_SOC0", "Elapsed": elapsed, "GHS 5s": gh, "GHS av": gh,
			})
	case "devs":
		return cgReply(l.by(), 9, "1 ASC(s)", "DEVS", map[string]any{
			"ASC": 0, "ID": 0, "Enabled": "Y", "Status": "Alive", "Device Elapsed": elapsed,
			"MHS 5s": gh * 1e3, "MHS av": gh * 1e3, "Profile": l.profile(s).name,
			"Nominal MHS": float64(l.profile(s).hashrate) / 1e6, "IsRamping": s.Moving,
		})
	case "fans":
		return cgReply(l.by(), 202, "1 Fan(s)", "FANS", map[string]any{
			"FAN": "FAN1", "ID": 0, "RPM": 1920, "Speed": 20,
		})
	}
	return cgRefusal(l.by(), 14, "Invalid command")
}

func (l *LuxOS) profiles(s BodyState) map[string]any {
	var list []any
	for _, p := range luxProfiles(s) {
		list = append(list, map[string]any{
			"Profile Name": p.name, "Step": fmt.Sprint(p.step), "Watts": p.watts,
			"Hashrate": math.Round(float64(p.hashrate)/1e11) / 10, "IsDynamic": true, "IsTuned": false,
			"Frequency": p.megahertz, "Voltage": 13.2,
		})
	}
	return cgReply(l.by(), 323, "List profiles", "PROFILES", list...)
}

func (l *LuxOS) config(s BodyState) map[string]any {
	f, mode := l.Machine.Facts, "None"
	if s.Mode == fleet.Paused {
		mode = "Sleep"
	}
	p := l.profile(s)
	return map[string]any{
		"Model": f.Model, "Hostname": f.Host, "MACAddr": f.MAC, "SerialNumber": f.Serial, "OS": "LuxOS",
		"NameplateTHS": float64(s.Curve.Full().Hashrate) / 1e12, "CurtailMode": mode,
		"IsPowerSupplyOn": s.awake(), "IsAtmEnabled": l.Heat, "IsTuning": false, "SystemStatus": "Normal",
		"Profile": p.name, "ProfileStep": fmt.Sprint(p.step),
	}
}

// luxProfile is a built-in profile: step is 0 for the factory's, a step is 25 MHz.
type luxProfile struct {
	name      string
	step      int
	megahertz int
	watts     unit.Watts
	hashrate  unit.Hashrate
}

// luxProfiles are those of a machine whose clock is 625 MHz at full power.
func luxProfiles(s BodyState) (list []luxProfile) {
	full := s.Curve.Full()
	for step := -16; step <= 8; step++ {
		part := 1 + float64(step)/25
		p := luxProfile{
			name: fmt.Sprintf("%dMHz", 625+25*step), step: step, megahertz: 625 + 25*step,
			hashrate: full.Hashrate * unit.Hashrate(part),
		}
		p.watts = s.Curve.WattsAt(p.hashrate)
		if step > 0 {
			p.watts = unit.Watts(math.Round(float64(full.Watts) * part * part))
		}
		if p.hashrate >= s.Curve[0].Hashrate {
			list = append(list, p)
		}
	}
	return list
}

func (l *LuxOS) profile(s BodyState) luxProfile {
	list, step := luxProfiles(s), int(l.Machine.Setting("profile step"))
	for _, p := range list {
		if p.step == step {
			return p
		}
	}
	return list[0]
}

func (l *LuxOS) sessions(ask cgAsk) map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	open := l.session != "" && time.Since(l.used) < sessionFor
	switch {
	case ask.Command == "logoff" && (!open || ask.Parameter != l.session):
		return cgRefusal(l.by(), 318, "Invalid session")
	case ask.Command == "logoff":
		l.session = ""
		return cgReply(l.by(), 317, "Session dropped", "")
	case ask.Command == "logon" && (open || l.Machine.Defects().Login):
		return cgRefusal(l.by(), 402, "Another session is active")
	case ask.Command == "logon":
		l.opened++
		l.session, l.used = fmt.Sprintf("yJN2nl%02d", l.opened), time.Now()
		return cgReply(l.by(), 316, "Session created", "SESSION", map[string]any{"SessionID": l.session})
	case !open:
		l.session = ""
	}
	return cgReply(l.by(), 319, "Session information", "SESSION", map[string]any{"SessionID": l.session})
}

// uses checks a session, and plays one that is forgotten after its first use.
func (l *LuxOS) uses(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session == "" || id != l.session || time.Since(l.used) >= sessionFor {
		return false
	}
	l.used = time.Now()
	if l.Machine.Defects().Expire {
		l.session = ""
	}
	return true
}

func (l *LuxOS) order(ask cgAsk) map[string]any {
	id, rest, _ := strings.Cut(ask.Parameter, ",")
	if !l.uses(id) {
		return cgRefusal(l.by(), 318, "Invalid session")
	}
	s := l.Machine.Body.State()
	switch ask.Command + " " + rest {
	case "curtail sleep":
		l.Machine.Order(fleet.Paused, 0)
		return l.curtailed("sleep mode")
	case "curtail wakeup":
		l.run(l.profile(s))
		return l.curtailed("wake up")
	}
	for _, p := range luxProfiles(s) {
		if ask.Command == "profileset" && p.name == rest {
			l.aim(s, p)
			return cgReply(l.by(), 321, "Profile Set", "PROFILE", map[string]any{
				"Board": 0, "FrequencyStep": 5, "Profile": p.name, "VoltageStep": 0.05,
			})
		}
	}
	return cgRefusal(l.by(), 14, "Invalid parameter")
}

func (l *LuxOS) curtailed(what string) map[string]any {
	return cgReply(l.by(), 335, "Curtailment command sent", "CURTAIL", map[string]any{"Action": what})
}

// aim sets a profile; who sleeps goes on sleeping.
func (l *LuxOS) aim(s BodyState, p luxProfile) {
	if !l.Machine.Defects().Deaf {
		l.Machine.SetSetting("profile step", float64(p.step))
	}
	if s.Mode == fleet.Paused {
		l.Machine.Order(fleet.Paused, 0)
		return
	}
	l.run(p)
}

// run mines with a profile.
func (l *LuxOS) run(p luxProfile) { l.Machine.Order(p.goal()) }

// goal is what mining with a profile comes to.
func (p *luxProfile) goal() (fleet.Mode, unit.Watts) {
	if p.step < 0 {
		return fleet.Capped, p.watts
	}
	return fleet.Free, 0
}

// Reboot implements Rebooter: sleep and profile are kept.
func (l *LuxOS) Reboot() {
	l.mu.Lock()
	l.session = ""
	l.mu.Unlock()
	s := l.Machine.Body.State()
	if s.Mode == fleet.Paused {
		l.Machine.Body.Reboot(fleet.Paused, 0)
		return
	}
	p := l.profile(s)
	l.Machine.Body.Reboot(p.goal())
}
