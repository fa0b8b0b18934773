package devicetest

import (
	"encoding/json"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

// CGMiner answers as the API of cgminer does, without watts and without a way to set any. Source: cgminer's
// API-README (commands, STATUS block, the zero byte behind each answer, commands joined with "+") and
// captures of 256foundation/asic-rs (avalonminer, test/json), read for facts.
//
//	{"command": "version"}          -> VERSION
//	{"command": "summary+pools"}    -> {"summary": [{...}], "pools": [{...}]}
//
// It serves one connection at a time.
type CGMiner struct{ Machine *Machine }

// Serve answers on ln until it is closed.
func (c *CGMiner) Serve(ln net.Listener) {
	serveOne(ln, c.Machine, func(request []byte) []byte { return joined(request, c.answer) })
}

func (c *CGMiner) answer(ask cgAsk) map[string]any {
	s, f := c.Machine.Body.State(), c.Machine.Facts
	switch ask.Command {
	case "version":
		return cgReply("cgminer "+f.Version, 22, "CGMiner versions", "VERSION", map[string]any{
			"API": "3.7", "CGMiner": f.Version, "Type": f.Model,
		})
	case "summary":
		return cgReply("cgminer "+f.Version, 11, "Summary", "SUMMARY", map[string]any{
			"Elapsed": int64(s.Uptime / time.Second), "MHS av": float64(s.Hashrate) / 1e6,
			"MHS 5s": float64(s.Hashrate) / 1e6, "Accepted": 890, "Rejected": 2, "Hardware Errors": 0,
		})
	case "pools":
		return cgReply("cgminer "+f.Version, 7, "Pool(s)", "POOLS", c.Machine.cgPools(true)...)
	case "devs":
		status := "Alive"
		if c.Machine.Defects().Fault != "" {
			status = "Sick"
		}
		return cgReply("cgminer "+f.Version, 9, "1 ASC(s)", "DEVS", map[string]any{
			"ASC": 0, "Name": "BMM", "ID": 0, "Enabled": "Y", "Status": status, "Temperature": 71.5,
			"MHS 5s": float64(s.Hashrate) / 1e6, "MHS av": float64(s.Hashrate) / 1e6,
		})
	}
	return cgRefusal("cgminer "+f.Version, 14, "Invalid command")
}

// Reboot implements Rebooter: nothing was set that could be kept.
func (c *CGMiner) Reboot() { c.Machine.Body.Reboot(fleet.Free, 0) }

// cgAsk is a request of cgminer's family.
type cgAsk struct {
	Command   string `json:"command"`
	Parameter string `json:"parameter"`
}

// joined answers commands that are joined with "+", or one.
func joined(request []byte, answer func(cgAsk) map[string]any) []byte {
	var ask cgAsk
	var out any
	switch {
	case json.Unmarshal(request, &ask) != nil:
		out = cgRefusal("cgminer", 23, "Invalid JSON")
	case strings.Contains(ask.Command, "+"):
		all := map[string]any{"id": 1}
		for part := range strings.SplitSeq(ask.Command, "+") {
			all[part] = []any{answer(cgAsk{Command: part})}
		}
		out = all
	default:
		out = answer(ask)
	}
	return append(asJSON(out), 0)
}

func asJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // emulators write maps of plain values
	}
	return b
}

// cgReply is a good answer with its list under key.
func cgReply(by string, code int, msg, key string, list ...any) map[string]any {
	out := map[string]any{"STATUS": []any{map[string]any{
		"STATUS": "S", "Code": code, "Msg": msg, "Description": by, "When": time.Now().Unix(),
	}}, "id": 1}
	if key != "" {
		out[key] = append([]any{}, list...)
	}
	return out
}

func cgRefusal(by string, code int, msg string) map[string]any {
	return map[string]any{"STATUS": []any{map[string]any{
		"STATUS": "E", "Code": code, "Msg": msg, "Description": by, "When": time.Now().Unix(),
	}}, "id": 1}
}

// cgPools is the list of the command pools; of who does not mine none is active.
func (m *Machine) cgPools(mining bool) (list []any) {
	pools, active := m.Pools()
	for n, p := range pools {
		status := "Alive"
		if n < active {
			status = "Dead"
		}
		list = append(list, map[string]any{
			"POOL": n, "Priority": n, "URL": p.URL, "User": p.User, "Status": status,
			"Stratum Active": mining && n == active,
			"Stratum URL":    strings.TrimPrefix(p.URL, "stratum+tcp://"),
		})
	}
	return list
}

// awake says that the machine has power on its boards, or is on its way from or to that.
func (s *BodyState) awake() bool { return s.Mode != fleet.Paused || s.Moving }

// serveOne serves one connection after the other: each is one request, and closed behind its answer.
func serveOne(ln net.Listener, m *Machine, answer func([]byte) []byte) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		talkOnce(conn, m, answer)
	}
}

// serveAll serves connections side by side, and returns when all have ended.
func serveAll(ln net.Listener, talk func(net.Conn)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		wg.Go(func() { // ends when the other side hangs up
			talk(conn)
			_ = conn.Close()
		})
	}
}

// talkOnce answers one request. No answer is made of no bytes.
func talkOnce(conn net.Conn, m *Machine, answer func([]byte) []byte) {
	defer func() { _ = conn.Close() }()
	var request json.RawMessage
	if json.NewDecoder(io.LimitReader(conn, 64<<10)).Decode(&request) != nil {
		return
	}
	if m.Defects().Flood {
		flood(conn)
		return
	}
	if reply, ok := m.plays(answer, request); ok {
		_, _ = conn.Write(reply) // who does not listen gets nothing
		return
	}
	_, _ = io.Copy(io.Discard, conn) // until the other side has had enough
}

// echoed refuses in every way that an interface over TCP has, with the whole request as the reason.
func echoed(request []byte) []byte {
	text := string(request)
	return asJSON(map[string]any{
		"STATUS": []any{map[string]any{"STATUS": "E", "Code": 14, "Msg": text}}, "code": -1, "msg": text,
	})
}

// plays answers as the machine's defects have it, and says whether there is an answer.
func (m *Machine) plays(answer func([]byte) []byte, request []byte) ([]byte, bool) {
	d := m.Defects()
	time.Sleep(d.Late)
	switch {
	case d.Dead:
		return nil, false
	case d.Broken:
		return []byte(`{"STATUS": [`), true
	case d.Echo:
		return echoed(request), true
	}
	return answer(request), true
}
