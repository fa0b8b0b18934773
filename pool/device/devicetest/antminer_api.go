package devicetest

import (
	"net"
	"time"
)

// compiled is when the emulated firmware was built, as it says it everywhere: libraries tell releases by it.
const compiled = "Fri Nov 17 17:57:49 CST 2023"

// ServeAPI answers on ln as the API of cgminer does, which stock firmware has on port 4028 beside its web
// interface, to be read only. Source: captures of an S19 Pro (256foundation/asic-rs, antminer,
// test/json/v2020), read for facts.
//
//	version   VERSION: {API, BMMiner, CompileTime, Miner, Type}
//	stats     STATS: [{BMMiner, CompileTime, Miner, Type}, {Elapsed, "GHS 5s", total_rateideal, ...}]
//	summary   SUMMARY: {"GHS 5s", "GHS av", "GHS 30m", Elapsed}
//	pools     POOLS
//
// Asleep, STATS, SUMMARY and POOLS are empty, as on the web.
func (a *Antminer) ServeAPI(ln net.Listener) {
	serveOne(ln, a.Machine, func(request []byte) []byte { return joined(request, a.api) })
}

func (a *Antminer) api(ask cgAsk) map[string]any {
	const by = "cgminer 1.0.0"
	s, f := a.Machine.Body.State(), a.Machine.Facts
	about := map[string]any{"BMMiner": "1.0.0", "CompileTime": compiled, "Miner": f.Version, "Type": f.Model}
	rate := float64(s.Hashrate) / 1e9
	var list []any
	switch ask.Command {
	case "version":
		about["API"] = "3.1"
		return cgReply(by, 22, "CGMiner versions", "VERSION", about)
	case "stats":
		if s.awake() {
			list = []any{about, map[string]any{
				"Elapsed": int64(s.Uptime / time.Second), "GHS 5s": rate, "GHS av": rate, "rate_unit": "GH",
				"total_rateideal": float64(s.Curve.Full().Hashrate) / 1e9, "miner_count": 1,
				"chain_acn1":  110,
				"chain_rate1": rate, "fan_num": 1, "fan1": 6000, "temp1": 66, "temp_chip1": "52-55-70-71",
			}}
		}
		return cgReply(by, 70, "CGMiner stats", "STATS", list...)
	case "summary":
		if s.awake() {
			list = []any{map[string]any{
				"Elapsed": int64(s.Uptime / time.Second), "GHS 5s": rate, "GHS av": rate, "GHS 30m": rate,
			}}
		}
		return cgReply(by, 11, "Summary", "SUMMARY", list...)
	case "pools":
		if s.awake() {
			list = a.Machine.cgPools(true)
		}
		return cgReply(by, 7, "Pool(s)", "POOLS", list...)
	}
	return cgRefusal(by, 14, "Invalid command")
}
