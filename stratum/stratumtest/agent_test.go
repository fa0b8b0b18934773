package stratumtest

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// startAgent runs an agent until the test ends.
func startAgent(t *testing.T, p *scriptedPool, d PowerDevice) *Agent {
	t.Helper()
	a := NewAgent(AgentConfig{
		Pool: p.endpoint, Site: "hall-2", Identity: "alice.hall-2", Power: d,
		MinBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond,
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // ends with ctx
		defer close(done)
		_ = a.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return a
}

// welcome answers an agent up to its hello.
func welcome(t *testing.T, c *Client) sv2.SitePowerHello {
	t.Helper()
	must[sv2.SetupConnection](t, c)
	send(t, c, sv2.SetupConnectionSuccess{UsedVersion: sv2.Version})
	ask := must[sv2.RequestExtensions](t, c)
	send(t, c, sv2.RequestExtensionsSuccess{RequestID: ask.RequestID, Supported: ask.Requested})
	return must[sv2.SitePowerHello](t, c)
}

var siteAck = sv2.SitePowerHelloAck{
	Site: "hall-2", PowerTerms: sv2.PowerTerms{Version: 1, ReportPeriod: 100, DeadMan: 60},
}

// Ensure that an agent says hello without a channel, obeys for its site only and once it is heard,
// reports, and has its order still when it comes back after a loss, a refusal or a Reconnect.
func TestAgent_SetsTheSitesPower(t *testing.T) {
	p := newScriptedPool(t)
	d := &obeying{}
	a := startAgent(t, p, d)
	c := p.accept()
	hello := welcome(t, c)
	if hello.Site != "hall-2" || hello.UserIdentity != "alice.hall-2" || hello.Max != 3000 {
		t.Fatalf("hello is %+v", hello)
	}
	order := sv2.SetSitePowerTarget{Site: "hall-2", PowerTarget: sv2.PowerTarget{
		Command: sv2.PowerCommand{Term: 2, ID: 3}, Mode: sv2.PowerCap, Target: 2000, FailMode: sv2.FailHold,
	}}
	send(t, c, order)
	e := must[sv2.SetSitePowerTargetError](t, c)
	if e.Code != sv2.CodePowerNotReady || e.Command != order.Command {
		t.Errorf("before the acknowledgement: %+v", e)
	}
	other := order
	other.Site = "hall-3"
	send(t, c, siteAck, other, order)
	want := sv2.SetSitePowerTargetSuccess{Site: "hall-2", PowerAnswer: sv2.PowerAnswer{
		Command: order.Command, Planned: 2000, Eta: 10_000, ExpectedHashRate: 5,
	}}
	if diff := cmp.Diff(want, must[sv2.SetSitePowerTargetSuccess](t, c)); diff != "" {
		t.Fatal(diff)
	}
	if r := must[sv2.SitePowerReport](t, c); r.Site != "hall-2" || r.Command != order.Command && r.Seq > 1 {
		t.Errorf("report is %+v", r)
	}
	for _, end := range []func(c *Client){
		func(c *Client) { _ = c.Close() },
		func(c *Client) { send(t, c, sv2.SitePowerHelloError{Site: "hall-2", Code: sv2.CodePowerTooMany}) },
		func(c *Client) { send(t, c, sv2.Reconnect{}) },
	} {
		end(c)
		c = p.accept()
		welcome(t, c)
		send(t, c, siteAck)
		if r := must[sv2.SitePowerReport](t, c); r.Command != order.Command {
			t.Errorf("report after the return is %+v", r)
		}
	}
	if n := len(d.seen()); n != 1 || a.Command() != order.Command || a.Sessions() != 4 {
		t.Errorf("%d orders were followed, the newest %v, in %d sessions", n, a.Command(), a.Sessions())
	}
}
