package stratum

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/stratumtest"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// siteHello is of a hall that can do all.
func siteHello(site string) sv2.SitePowerHello {
	return sv2.SitePowerHello{Site: site, UserIdentity: "alice.hall-2", PowerOffer: sv2.PowerOffer{
		MinVersion: 1, MaxVersion: 3, Capabilities: 0x7f,
		Min: 100_000, Max: 900_000, Idle: 5000, PauseIn: 20_000, ResumeIn: 120_000,
	}}
}

// agent is a client without a channel that negotiated the power extension.
func (b *bench) agent() *stratumtest.Client {
	b.tb.Helper()
	c := b.setUp()
	b.ask(c, 1, sv2.ExtPower)
	next[sv2.RequestExtensionsSuccess](b.tb, c)
	return c
}

func (b *bench) send(c *stratumtest.Client, m ...sv2.Message) {
	b.tb.Helper()
	if err := c.Send(m...); err != nil {
		b.tb.Fatal(err)
	}
}

// Ensure that an agent without a channel becomes the actuator and the reporter of the worker that its
// site is, may be idle for as long as it likes, and is none any more when it has gone.
func TestSitePower_MakesAnAgentAnActuator(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.tb
		c := b.agent()
		b.send(c, siteHello("hall 2"))
		ack := next[sv2.SitePowerHelloAck](t, c)
		want := sv2.SitePowerHelloAck{Site: "hall 2", PowerTerms: sv2.PowerTerms{
			Version: 1, ReportPeriod: 2000, DeadMan: 60,
		}}
		if ack != want {
			t.Errorf("ack is %+v, want %+v", ack, want)
		}
		links := b.fleet.Links("alice.hall-2")
		if len(links) != 1 || links[0].Actuator() == nil {
			t.Fatal("there is no actuator")
		}
		a := links[0].Actuator()
		got := a.Capability()
		if got.Max != 900*unit.Kilowatt || !got.HoldsAlone || got.ReturnIn != 2*time.Minute {
			t.Errorf("capability is %+v", got)
		}
		time.Sleep(10 * DefaultConfig().OpenTimeout)

		done := set(a, 5)
		order := next[sv2.SetSitePowerTarget](t, c)
		if order.Site != "hall 2" || order.Command != (sv2.PowerCommand{Term: 1, ID: 5}) ||
			order.Mode != sv2.PowerCap || order.Target != 2000 {
			t.Errorf("order is %+v", order)
		}
		answer := sv2.SetSitePowerTargetSuccess{Site: "another", PowerAnswer: sv2.PowerAnswer{
			Command: order.Command, Planned: 100_000, Eta: 3000, ExpectedHashRate: 7,
		}}
		b.send(c, answer)
		answer.Site = "hall 2"
		b.send(c, answer)
		a5 := <-done
		if a5.err != nil || a5.ack.Planned != 100*unit.Kilowatt || a5.ack.Eta != 3*time.Second {
			t.Errorf("answered: %+v", a5)
		}
		done = set(a, 6)
		next[sv2.SetSitePowerTarget](t, c)
		b.send(c, sv2.SetSitePowerTargetError{
			Site: "hall 2", Command: sv2.PowerCommand{Term: 1, ID: 6}, Code: sv2.CodePowerOverridden,
		})
		if got := <-done; got.err == nil || !strings.Contains(got.err.Error(), sv2.CodePowerOverridden) {
			t.Errorf("refused: %+v", got)
		}

		b.send(c, sv2.SitePowerReport{Site: "hall 2", PowerReading: sv2.PowerReading{Power: 512_000, Seq: 1}})
		synctest.Wait()
		if r, ok := links[0].Reported(); !ok || r.Watts != 512*unit.Kilowatt {
			t.Errorf("reported %v, %v", r, ok)
		}
		if st := b.server.Sites(); len(st) != 1 || st[0].Worker != "alice.hall-2" || st[0].Site != "hall 2" ||
			st[0].Report.Watts != 512*unit.Kilowatt {
			t.Errorf("sites are %+v", st)
		}

		done = set(a, 7)
		next[sv2.SetSitePowerTarget](t, c)
		_ = c.Close()
		if got := <-done; !errors.Is(got.err, errChannelEnd) {
			t.Errorf("after the end: %+v", got)
		}
		synctest.Wait()
		if n := len(b.fleet.Links("alice.hall-2")); n != 0 || len(b.server.Sites()) != 0 {
			t.Errorf("%d links are left", n)
		}
	})
}

// Ensure that hellos which cannot be taken are refused by their reason, and that the connection stays.
func TestSitePower_RefusesHellos(t *testing.T) {
	for want, spoil := range map[string]func(*sv2.SitePowerHello){
		sv2.CodePowerSiteRef + " empty":    func(m *sv2.SitePowerHello) { m.Site = "" },
		sv2.CodePowerSiteRef + " odd":      func(m *sv2.SitePowerHello) { m.Site = "\x1b[31m" },
		sv2.CodePowerSiteRef + " not utf8": func(m *sv2.SitePowerHello) { m.Site = "\xff" },
		sv2.CodePowerSiteRef + " long":     func(m *sv2.SitePowerHello) { m.Site = strings.Repeat("x", 65) },
		sv2.CodePowerVersion + " newer":    func(m *sv2.SitePowerHello) { m.MinVersion = 2 },
		sv2.CodePowerOffer + " min":        func(m *sv2.SitePowerHello) { m.Min = m.Max + 1 },
		sv2.CodePowerOffer + " absurd":     func(m *sv2.SitePowerHello) { m.Max = 2_000_000_000 },
		sv2.CodePowerOffer + " slow":       func(m *sv2.SitePowerHello) { m.ResumeIn = 4_000_000 },
		sv2.CodeUnknownUser + " identity":  func(m *sv2.SitePowerHello) { m.UserIdentity = "no such one" },
	} {
		t.Run(want, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				c := b.agent()
				defer c.Close()
				m := siteHello("hall")
				spoil(&m)
				b.send(c, m)
				e := next[sv2.SitePowerHelloError](b.tb, c)
				if code, _, _ := strings.Cut(want, " "); e.Code != code || e.Site != m.Site {
					b.tb.Errorf("refused with %+v", e)
				}
				if len(b.fleet.Workers()) != 0 {
					b.tb.Errorf("links of %v", b.fleet.Workers())
				}
				b.send(c, siteHello("hall"))
				next[sv2.SitePowerHelloAck](b.tb, c)
			})
		})
	}
}

// Ensure that sites are bounded, that a new hello for one replaces it, and that nothing is heard of a
// site that did not say hello, or before negotiation.
func TestSitePower_KeepsSitesApart(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.tb
		c := b.setUp()
		b.send(c, siteHello("early"))
		b.ask(c, 1, sv2.ExtPower)
		next[sv2.RequestExtensionsSuccess](t, c)
		for n := range maxSites {
			b.send(c, siteHello(fmt.Sprint("hall ", n)))
			next[sv2.SitePowerHelloAck](t, c)
		}
		b.send(c, siteHello("one more"))
		if e := next[sv2.SitePowerHelloError](t, c); e.Code != sv2.CodePowerTooMany {
			t.Errorf("refused with %+v", e)
		}
		again := siteHello("hall 7")
		again.UserIdentity = "alice.hall-7"
		b.send(c, again)
		next[sv2.SitePowerHelloAck](t, c)
		b.send(c, sv2.SitePowerReport{Site: "hall 7", PowerReading: sv2.PowerReading{Power: 7}},
			sv2.SitePowerReport{Site: "early", PowerReading: sv2.PowerReading{Power: 8}})
		synctest.Wait()
		if n := len(b.fleet.Links("alice.hall-2")); n != maxSites-1 {
			t.Errorf("%d links, want %d", n, maxSites-1)
		}
		if r, _ := b.fleet.Links("alice.hall-7")[0].Reported(); r.Watts != 7 {
			t.Errorf("reported %v", r)
		}
		for _, l := range b.fleet.Links("alice.hall-2") {
			if _, spoke := l.Reported(); spoke {
				t.Error("another site was reported")
			}
		}
		_ = c.Close()
		synctest.Wait()
		if ws := b.fleet.Workers(); len(ws) != 0 {
			t.Errorf("links of %v are left", ws)
		}
	})
}
