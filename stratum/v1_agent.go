package stratum

import (
	"bytes"
)

// agentRule is what firmware needs that has a name.
type agentRule struct {
	prefix  string  // of the user agent, in lower case
	minimum float64 // smallest difficulty that it takes
	powers  bool    // it rounds difficulties to powers of two
}

// strangers are those of whom nothing is known.
var strangers agentRule

// agentRules are asked in this order; the first that fits counts.
var agentRules = []agentRule{
	{prefix: "nicehash/", minimum: 524_288, powers: true},
}

// meetAgent notes what the miner says of its software.
func (d *v1) meetAgent(text []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.device = &Device{Vendor: "", Firmware: printable(string(text)), Address: d.device.Address}
	d.agent = ruleOf(text)
}

func ruleOf(text []byte) *agentRule {
	lower := bytes.ToLower(text[:min(len(text), deviceText)])
	for i := range agentRules {
		if bytes.HasPrefix(lower, []byte(agentRules[i].prefix)) {
			return &agentRules[i]
		}
	}
	return &strangers
}
