package stratumtest

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// obeying records what a device was told.
type obeying struct {
	mu     sync.Mutex
	orders []PowerOrder // guarded by mu
	refuse error
}

func (d *obeying) seen() []PowerOrder {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.orders)
}

func (d *obeying) Describe() PowerDescription {
	return PowerDescription{Capability: fleet.Capability{
		Min: 1500, Max: 3000, CanCap: true, CanPause: true, HoldsAlone: true,
	}, Idle: 25}
}

func (d *obeying) Obey(o PowerOrder) (PowerPlan, error) {
	if d.refuse != nil {
		return PowerPlan{}, d.refuse
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.orders = append(d.orders, o)
	return PowerPlan{Watts: o.Watts, Eta: 10 * time.Second, Hashrate: 5}, nil
}

func (d *obeying) Observe() PowerObservation {
	return PowerObservation{
		Watts: 2999, Source: sv2.SourcePSU, State: sv2.StateMoving, Hashrate: 4, Energy: 12,
	}
}

func pause(term, id uint32, validFor time.Duration) PowerOrder {
	return PowerOrder{Command: sv2.PowerCommand{Term: term, ID: id}, Mode: fleet.Paused, ValidFor: validFor}
}

// Ensure that an older or repeated command changes nothing and is answered with the newest; a
// later term wins over any command.
func TestObedience_FollowsOnlyTheNewestCommand(t *testing.T) {
	d := &obeying{}
	p := &obedience{device: d}
	defer p.stop()
	for _, step := range []struct {
		term, id, answer uint32
		followed         bool
	}{
		{1, 5, 5, true},
		{1, 5, 5, false},
		{1, 4, 5, false},
		{0, 9, 5, false},
		{1, 6, 6, true},
		{2, 1, 1, true},
		{1, 7, 1, false},
	} {
		before := len(d.seen())
		command, _, err := p.take(pause(step.term, step.id, 0))
		followed := len(d.seen()) > before
		if err != nil || command.ID != step.answer || followed != step.followed {
			t.Fatalf("command %d.%d: answered %v, %v, followed: %v",
				step.term, step.id, command, err, followed)
		}
	}
}

// Ensure that without a refresh an order with release returns the device to free at the end of its
// time, a refresh restarts that time, and the repeated command is followed again afterwards.
func TestObedience_DeadManReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &obeying{}
		p := &obedience{device: d}
		_, _, _ = p.take(pause(1, 1, 60*time.Second))
		time.Sleep(40 * time.Second)
		_, plan, _ := p.take(pause(1, 1, 60*time.Second))
		if plan.Eta != 0 {
			t.Fatalf("eta is %v after it has passed", plan.Eta)
		}
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if len(d.seen()) != 1 {
			t.Fatalf("released early: %+v", d.seen())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		want := []PowerOrder{
			pause(1, 1, 60*time.Second), {Command: sv2.PowerCommand{Term: 1, ID: 1}, Mode: fleet.Free},
		}
		if diff := cmp.Diff(want, d.seen()); diff != "" {
			t.Fatal(diff)
		}
		_, _, _ = p.take(pause(1, 1, 60*time.Second))
		if len(d.seen()) != 3 {
			t.Fatal("the refreshed command was not followed again")
		}
		p.stop()
	})
}

// Ensure that an order with hold outlives every silence.
func TestObedience_HoldSurvivesSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &obeying{}
		p := &obedience{device: d}
		o := pause(1, 1, time.Second)
		o.Hold = true
		_, _, _ = p.take(o)
		time.Sleep(24 * time.Hour)
		if len(d.seen()) != 1 {
			t.Fatalf("orders are %+v", d.seen())
		}
	})
}

// Ensure that a refused order changes nothing: the one before it stays the newest.
func TestObedience_RefusedOrderChangesNothing(t *testing.T) {
	d := &obeying{}
	p := &obedience{device: d}
	_, _, _ = p.take(pause(1, 1, 0))
	d.refuse = PowerRefusal(sv2.CodePowerOverridden)
	if _, _, err := p.take(pause(1, 2, 0)); err == nil {
		t.Fatal("no error")
	}
	if p.command().ID != 1 {
		t.Fatalf("newest is %v", p.command())
	}
}

// openPowered answers a miner up to an open channel whose PowerHello is acknowledged.
func openPowered(t *testing.T, c *Client) sv2.PowerHello {
	t.Helper()
	must[sv2.SetupConnection](t, c)
	send(t, c, sv2.SetupConnectionSuccess{UsedVersion: sv2.Version})
	ask := must[sv2.RequestExtensions](t, c)
	send(t, c, sv2.RequestExtensionsSuccess{RequestID: ask.RequestID, Supported: ask.Requested})
	open := must[sv2.OpenStandardMiningChannel](t, c)
	send(t, c, sv2.OpenStandardMiningChannelSuccess{
		RequestID: open.RequestID, ChannelID: 7, Target: easy.Bytes(),
		ExtranoncePrefix: make([]byte, 20), GroupChannelID: 1,
	})
	return must[sv2.PowerHello](t, c)
}

// Ensure that the extension is negotiated before it is used, that orders are answered with the device's
// plan, and that reports come at the acknowledged period with the command that they are about.
func TestMiner_SpeaksThePowerExtension(t *testing.T) {
	p := newScriptedPool(t)
	start(t, MinerConfig{Pool: p.endpoint, Identity: "a.b", Nominal: 10, Power: &obeying{}})
	c := p.accept()
	hello := openPowered(t, c)
	if hello.ChannelID != 7 || hello.Max != 3000 || hello.Min != 1500 || hello.Idle != 25 ||
		hello.Capabilities&(sv2.CanCap|sv2.CanPause|sv2.CanHold) != sv2.CanCap|sv2.CanPause|sv2.CanHold {
		t.Fatalf("hello is %+v", hello)
	}
	send(
		t, c,
		sv2.PowerHelloAck{
			ChannelID: 7, PowerTerms: sv2.PowerTerms{Version: 1, ReportPeriod: 100, DeadMan: 60},
		},
		sv2.SetPowerTarget{ChannelID: 7, PowerTarget: sv2.PowerTarget{
			Command: sv2.PowerCommand{Term: 2, ID: 3}, Mode: sv2.PowerCap, Target: 2000,
			FailMode: sv2.FailHold,
		}},
	)
	want := sv2.SetPowerTargetSuccess{
		ChannelID: 7, PowerAnswer: sv2.PowerAnswer{
			Command: sv2.PowerCommand{Term: 2, ID: 3}, Planned: 2000, Eta: 10_000, ExpectedHashRate: 5,
		},
	}
	if diff := cmp.Diff(want, must[sv2.SetPowerTargetSuccess](t, c)); diff != "" {
		t.Fatal(diff)
	}
	for i := range 3 {
		r := must[sv2.PowerReport](t, c)
		if i > 0 && r.Command.ID != 3 || r.Power != 2999 || r.Seq != uint32(i+1) ||
			r.State != sv2.StateMoving {
			t.Fatalf("report %d is %+v", i, r)
		}
	}
}

// Ensure that orders which the device cannot follow are refused with the code of the extension.
func TestMiner_RefusesBadOrders(t *testing.T) {
	p := newScriptedPool(t)
	start(t, MinerConfig{Pool: p.endpoint, Identity: "a.b", Nominal: 10, Power: &obeying{}})
	c := p.accept()
	openPowered(t, c)
	order := sv2.SetPowerTarget{ChannelID: 7, PowerTarget: sv2.PowerTarget{
		Command: sv2.PowerCommand{Term: 1, ID: 1}, Mode: sv2.PowerPause,
	}}
	send(t, c, order)
	if e := must[sv2.SetPowerTargetError](t, c); e.Code != sv2.CodePowerNotReady {
		t.Fatalf("before the acknowledgement: %q", e.Code)
	}
	order.Mode = 9
	send(t, c, sv2.PowerHelloAck{ChannelID: 7, PowerTerms: sv2.PowerTerms{Version: 1}}, order)
	if e := must[sv2.SetPowerTargetError](t, c); e.Code != sv2.CodePowerUnknownMode {
		t.Fatalf("unknown mode: %q", e.Code)
	}
}

// Ensure that a pool which does not know the extension is mined at all the same, and hears nothing of it.
func TestSV2_236_MinesWithoutTheExtension(t *testing.T) {
	p := newScriptedPool(t)
	start(t, MinerConfig{Pool: p.endpoint, Identity: "a.b", Nominal: 2000, Power: &obeying{}})
	c := p.accept()
	must[sv2.SetupConnection](t, c)
	send(t, c, sv2.SetupConnectionSuccess{UsedVersion: sv2.Version})
	ask := must[sv2.RequestExtensions](t, c)
	send(t, c, sv2.RequestExtensionsError{RequestID: ask.RequestID, Unsupported: ask.Requested})
	open := must[sv2.OpenStandardMiningChannel](t, c)
	send(t, c, sv2.OpenStandardMiningChannelSuccess{
		RequestID: open.RequestID, ChannelID: 7, Target: easy.Bytes(),
		ExtranoncePrefix: make([]byte, 20), GroupChannelID: 1,
	})
	firstJob(t, c, 3)
	must[sv2.SubmitSharesStandard](t, c)
	for _, f := range c.past {
		if f.Header.ID() == sv2.ExtPower {
			t.Fatalf("unasked: %+v", f.Message)
		}
	}
}

// settled is an open channel whose order to sleep was followed.
func settled(t *testing.T, c *Client, fail sv2.FailMode) sv2.SetPowerTarget {
	t.Helper()
	openPowered(t, c)
	order := sv2.SetPowerTarget{ChannelID: 7, PowerTarget: sv2.PowerTarget{
		Command: sv2.PowerCommand{Term: 2, ID: 3}, Mode: sv2.PowerPause, FailMode: fail, ValidFor: 3600,
	}}
	send(t, c, ackOf(7), order)
	must[sv2.SetPowerTargetSuccess](t, c)
	return order
}

func ackOf(channel uint32) sv2.PowerHelloAck {
	return sv2.PowerHelloAck{
		ChannelID: channel, PowerTerms: sv2.PowerTerms{Version: 1, ReportPeriod: 100, DeadMan: 60},
	}
}

// Ensure that the last command outlives the channel and the connection, whatever ended them, and that
// what was negotiated does not: the device says hello again and tells which command it has.
func TestMiner_KeepsItsOrderOverConnections(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, c *Client){
		"CloseChannel": func(t *testing.T, c *Client) {
			t.Helper()
			send(t, c, sv2.CloseChannel{ChannelID: 7})
		},
		"Reconnect": func(t *testing.T, c *Client) {
			t.Helper()
			send(t, c, sv2.Reconnect{})
		},
		"loss": func(_ *testing.T, c *Client) { _ = c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			p := newScriptedPool(t)
			d := &obeying{}
			start(t, MinerConfig{Pool: p.endpoint, Identity: "a.b", Nominal: 10, Power: d})
			c := p.accept()
			order := settled(t, c, sv2.FailRelease)
			end(t, c)
			c = p.accept()
			openPowered(t, c)
			newer := order
			newer.Command.ID++
			send(t, c, newer)
			if e := must[sv2.SetPowerTargetError](t, c); e.Code != sv2.CodePowerNotReady {
				t.Errorf("an order before the new hello was settled: %+v", e)
			}
			send(t, c, ackOf(7))
			if r := must[sv2.PowerReport](t, c); r.Command != order.Command || r.Seq != 1 {
				t.Errorf("report is %+v", r)
			}
			if n := len(d.seen()); n != 1 {
				t.Errorf("the device was told %d things", n)
			}
		})
	}
}

// Ensure that a change of the channel's far end voids what was agreed, and nothing else (SV2-240).
func TestSV2_240_SaysHelloToANewEndpoint(t *testing.T) {
	p := newScriptedPool(t)
	d := &obeying{}
	start(t, MinerConfig{Pool: p.endpoint, Identity: "a.b", Nominal: 10, Power: d})
	c := p.accept()
	order := settled(t, c, sv2.FailHold)
	send(t, c, sv2.ChannelEndpointChanged{ChannelID: 99}, sv2.ChannelEndpointChanged{ChannelID: 7})
	if h := must[sv2.PowerHello](t, c); h.ChannelID != 7 {
		t.Errorf("hello is %+v", h)
	}
	send(t, c, order)
	if e := must[sv2.SetPowerTargetError](t, c); e.Code != sv2.CodePowerNotReady {
		t.Errorf("from an endpoint that has not answered: %+v", e)
	}
	send(t, c, ackOf(7), order)
	if ok := must[sv2.SetPowerTargetSuccess](t, c); ok.Command != order.Command {
		t.Errorf("answered %+v", ok)
	}
	if n := len(d.seen()); n != 1 {
		t.Errorf("the device was told %d things", n)
	}
}
