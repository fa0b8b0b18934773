package stratumtest

import (
	"testing"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// Ensure that the miner says its vendor and keeps its device id to itself (sv2-spec 03 §3.6.1).
func TestSV2_052_SaysItsVendor(t *testing.T) {
	p := newScriptedPool(t)
	start(t, MinerConfig{
		Pool: p.endpoint, Identity: "a.b", Nominal: 10, Vendor: "acme", Hardware: "s21", Firmware: "7",
	})
	m := must[sv2.SetupConnection](t, p.accept())
	if m.Vendor != "acme" || m.HardwareVersion != "s21" || m.Firmware != "7" || m.DeviceID != "" {
		t.Fatalf("setup is %+v", m)
	}
}

// Ensure that extensions are asked for right after the setup, and a channel only when that is answered
// (sv2-spec X1 §4.2).
func TestSV2_231_NegotiatesBeforeItOpens(t *testing.T) {
	p := newScriptedPool(t)
	start(t, MinerConfig{Pool: p.endpoint, Identity: "a.b", Nominal: 10, Power: &obeying{}})
	c := p.accept()
	must[sv2.SetupConnection](t, c)
	send(t, c, sv2.SetupConnectionSuccess{UsedVersion: sv2.Version})
	ask := must[sv2.RequestExtensions](t, c)
	if len(c.past) > 0 {
		t.Fatalf("before it asked: %+v", c.past[0].Message)
	}
	send(t, c, sv2.RequestExtensionsError{RequestID: ask.RequestID, Unsupported: ask.Requested})
	must[sv2.OpenStandardMiningChannel](t, c)
	if len(c.past) > 0 {
		t.Fatalf("between question and channel: %+v", c.past[0].Message)
	}
}

// Ensure that a channel which has a new endpoint forgets what the old one had acknowledged
// (sv2-spec 03 §3.6.4).
func TestSV2_240_SaysHelloAgainToANewEndpoint(t *testing.T) {
	p := newScriptedPool(t)
	start(t, MinerConfig{Pool: p.endpoint, Identity: "a.b", Nominal: 10, Power: &obeying{}})
	c := p.accept()
	first := openPowered(t, c)
	send(
		t, c,
		sv2.PowerHelloAck{ChannelID: 7, PowerTerms: sv2.PowerTerms{Version: 1}},
		sv2.ChannelEndpointChanged{ChannelID: 7},
	)
	if second := must[sv2.PowerHello](t, c); second != first {
		t.Fatalf("hello to the new endpoint is %+v, to the old one it was %+v", second, first)
	}
	order := sv2.SetPowerTarget{ChannelID: 7, PowerTarget: sv2.PowerTarget{
		Command: sv2.PowerCommand{Term: 1, ID: 1}, Mode: sv2.PowerPause,
	}}
	send(t, c, order)
	if e := must[sv2.SetPowerTargetError](t, c); e.Code != sv2.CodePowerNotReady {
		t.Fatalf("before the new acknowledgement: %q", e.Code)
	}
}
