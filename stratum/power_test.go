package stratum

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/stratumtest"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// hello is of a machine that can do all.
func hello(channel uint32) sv2.PowerHello {
	return sv2.PowerHello{
		ChannelID: channel, PowerOffer: sv2.PowerOffer{
			MinVersion: 1, MaxVersion: 1, Capabilities: 0x7f,
			Min: 1000, Max: 3000, Idle: 20, Step: 50, PauseIn: 5000, ResumeIn: 60_000,
		},
	}
}

// powered is a client past negotiation, with a channel, and that channel's link.
func (b *bench) powered() (*stratumtest.Client, uint32, *fleet.Link) {
	b.tb.Helper()
	c := b.dial()
	if _, err := c.Setup(sv2.RequiresStandardJobs); err != nil {
		b.tb.Fatal(err)
	}
	if err := c.Send(sv2.RequestExtensions{RequestID: 1, Requested: []uint16{sv2.ExtPower}}); err != nil {
		b.tb.Fatal(err)
	}
	next[sv2.RequestExtensionsSuccess](b.tb, c)
	channel, _ := b.openOn(c, "alice.one")
	return c, channel, b.fleet.Links("alice.one")[0]
}

// inBubble runs a test with a started server that has a template.
func inBubble(t *testing.T, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.start()
		defer b.stop()
		b.publish(template(100, 1, false))
		test(b)
	})
}

// Ensure that hellos which cannot be true, or are not for us, make no actuator and end nothing.
func TestPower_IgnoresImpossibleHellos(t *testing.T) {
	for name, spoil := range map[string]func(*sv2.PowerHello){
		"unknown channel":  func(m *sv2.PowerHello) { m.ChannelID = 77 },
		"newer version":    func(m *sv2.PowerHello) { m.MinVersion, m.MaxVersion = 2, 9 },
		"older version":    func(m *sv2.PowerHello) { m.MinVersion, m.MaxVersion = 0, 0 },
		"min above max":    func(m *sv2.PowerHello) { m.Min = 3001 },
		"idle above max":   func(m *sv2.PowerHello) { m.Idle = 3001 },
		"no power":         func(m *sv2.PowerHello) { m.Min, m.Max, m.Idle = 0, 0, 0 },
		"absurd power":     func(m *sv2.PowerHello) { m.Max = math.MaxUint32 },
		"sheds in a month": func(m *sv2.PowerHello) { m.PauseIn = math.MaxUint32 },
		"wakes in a month": func(m *sv2.PowerHello) { m.ResumeIn = math.MaxUint32 },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				t := b.tb
				c, channel, link := b.powered()
				defer c.Close()
				m := hello(channel)
				spoil(&m)
				if err := c.Send(m); err != nil {
					t.Fatal(err)
				}
				if ack, err := stratumtest.Await[sv2.PowerHelloAck](c, time.Second); err == nil {
					t.Errorf("got %+v", ack)
				}
				if link.Actuator() != nil {
					t.Error("there is an actuator")
				}
				if err := c.Send(hello(channel)); err != nil {
					t.Fatal(err)
				}
				next[sv2.PowerHelloAck](t, c)
			})
		})
	}
}

// Ensure that the extension is silent until it was negotiated (SV2-237).
func TestPower_NeedsNegotiation(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.tb
		c, channel, _ := b.open("alice.one")
		defer c.Close()
		err := c.Send(hello(channel), sv2.PowerReport{
			ChannelID: channel, PowerReading: sv2.PowerReading{Power: 5},
		})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		link := b.fleet.Links("alice.one")[0]
		if _, spoke := link.Reported(); spoke || link.Actuator() != nil {
			t.Error("a device that negotiated nothing was listened to")
		}
	})
}

// Ensure which reports count: of a channel that said hello, and possible.
func TestPower_TakesReportsThatCanBe(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.tb
		c, channel, link := b.powered()
		defer c.Close()
		report := func(w sv2.Watts) (unit.Watts, bool) {
			if err := c.Send(sv2.PowerReport{
				ChannelID: channel, PowerReading: sv2.PowerReading{Power: w},
			}, sv2.SitePowerReport{Site: "all", PowerReading: sv2.PowerReading{Power: 1}}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			r, ok := link.Reported()
			return r.Watts, ok
		}
		if w, ok := report(2500); ok {
			t.Errorf("before hello: %v", w)
		}
		if err := c.Send(hello(channel)); err != nil {
			t.Fatal(err)
		}
		next[sv2.PowerHelloAck](t, c)
		if w, ok := report(2500); !ok || w != 2500 {
			t.Errorf("reported %v, %v", w, ok)
		}
		if w, _ := report(math.MaxUint32); w != 2500 {
			t.Errorf("an absurd report counts as %v", w)
		}
	})
}

// odd is a message whose hashrate was overwritten by what is no number.
func odd(m sv2.Message, at int) (extension uint16, typ uint8, payload []byte) {
	frame := m.AppendFrame(nil)
	copy(frame[sv2.HeaderSize+at:], []byte{0, 0, 0xc0, 0x7f}) // NaN
	h := sv2.ParseHeader([sv2.HeaderSize]byte(frame))
	return h.Extension, h.Type, frame[sv2.HeaderSize:]
}

// Ensure that a hashrate that is no number spoils its message and not the connection: a report is
// passed over, an answer is a refusal.
func TestPower_SurvivesHashratesThatAreNoNumbers(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.tb
		c, channel, link := b.powered()
		defer c.Close()
		if err := c.Send(hello(channel)); err != nil {
			t.Fatal(err)
		}
		next[sv2.PowerHelloAck](t, c)
		command := sv2.PowerCommand{Term: 1, ID: 5}
		for _, each := range []struct {
			m  sv2.Message
			at int
		}{
			{sv2.PowerReport{ChannelID: channel, PowerReading: sv2.PowerReading{Power: 9}}, 22},
			{sv2.SitePowerReport{Site: "x"}, 2 + 18},
		} {
			if err := c.SendRaw(odd(each.m, each.at)); err != nil {
				t.Fatal(err)
			}
		}
		done := set(link.Actuator(), command.ID)
		next[sv2.SetPowerTarget](t, c)
		if err := c.SendRaw(odd(sv2.SetPowerTargetSuccess{
			ChannelID: channel, PowerAnswer: sv2.PowerAnswer{Command: command},
		}, 20)); err != nil {
			t.Fatal(err)
		}
		if got := <-done; !errors.Is(got.err, sv2.ErrFloat) {
			t.Errorf("answered: %+v", got)
		}
		if w, spoke := link.Reported(); spoke {
			t.Errorf("an odd report counts as %v", w)
		}
		wantMining(t, c)
	})
}

// Ensure that a payload that ends early ends its connection and no other.
func TestPower_EndsAConnectionWhoseReportEndsEarly(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.tb
		other, _, _ := b.open("alice.two")
		defer other.Close()
		c, channel, _ := b.powered()
		payload := sv2.PowerReport{ChannelID: channel}.AppendFrame(nil)[sv2.HeaderSize:]
		err := c.SendRaw(sv2.ExtPower|sv2.ChannelBit, sv2.TypePowerReport, payload[:len(payload)-1])
		if err != nil {
			t.Fatal(err)
		}
		wantEnd(t, c)
		synctest.Wait()
		if n := b.server.Stats().Sessions; n != 1 {
			t.Errorf("%d sessions are left, want the other one", n)
		}
	})
}

// Ensure that reports count only in order and of now, and that the newest is shown to people.
func TestPower_TakesReportsInOrderAndOfNow(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.tb
		c, channel, link := b.powered()
		defer c.Close()
		if err := c.Send(hello(channel)); err != nil {
			t.Fatal(err)
		}
		next[sv2.PowerHelloAck](t, c)
		for _, step := range []struct {
			seq  uint32
			age  time.Duration
			said sv2.Watts
			want unit.Watts
		}{
			{5, 0, 2500, 2500},
			{6, 2 * time.Second, 2400, 2400},
			{4, 0, 2600, 2400},                 // overtaken
			{7, 2 * time.Minute, 2700, 2400},   // of long ago
			{8, maxReportAge, 2300, 2300},      // just in time
			{9, 0, math.MaxUint32, 2300},       // cannot be
			{10, time.Millisecond, 2200, 2200}, // and on
		} {
			if err := c.Send(sv2.PowerReport{ChannelID: channel, PowerReading: sv2.PowerReading{
				Seq: step.seq, Age: sv2.MillisOf(step.age), Power: step.said, State: sv2.StateCapped,
				Source: sv2.SourceMeter, Hottest: 71, Energy: 12, HashRate: 5,
			}}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if r, _ := link.Reported(); r.Watts != step.want {
				t.Errorf("report %d: %v counts, want %v", step.seq, r.Watts, step.want)
			}
		}
		want := PowerReport{
			At: time.Now().Add(-time.Millisecond), Watts: 2200, Hashrate: 5, Source: sv2.SourceMeter,
			State: sv2.StateCapped, Hottest: 71, Energy: 12, seq: 10,
		}
		if got := b.server.Channels()[0].Report; got != want {
			t.Errorf("shown is %+v, want %+v", got, want)
		}
	})
}

// set runs Set and gives its outcome.
func set(a fleet.Actuator, command uint32) <-chan answer {
	done := make(chan answer, 1)
	go func() { // ends when the order is answered, at most after 5 s
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		ack, err := a.Set(ctx, fleet.Setpoint{Term: 1, Command: command, Mode: fleet.Capped, Watts: 2000})
		done <- answer{ack, err}
	}()
	return done
}

// Ensure how orders end: answered, refused, superseded, overtaken by another commander, without an
// answer, with their channel.
func TestPower_SettlesOrders(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.tb
		c, channel, link := b.powered()
		defer c.Close()
		if err := c.Send(hello(channel)); err != nil {
			t.Fatal(err)
		}
		next[sv2.PowerHelloAck](t, c)
		a := link.Actuator()
		reply := func(m sv2.Message) {
			t.Helper()
			if err := c.Send(m); err != nil {
				t.Fatal(err)
			}
		}
		success := func(term, id uint32) sv2.SetPowerTargetSuccess {
			return sv2.SetPowerTargetSuccess{
				ChannelID: channel, PowerAnswer: sv2.PowerAnswer{
					Command: sv2.PowerCommand{Term: term, ID: id}, Planned: 2000, Eta: math.MaxUint32,
				},
			}
		}

		done := set(a, 5)
		next[sv2.SetPowerTarget](t, c)
		reply(success(1, 4)) // of an older order: not an answer to this one
		reply(success(1, 5))
		if got := <-done; got.err != nil || got.ack.Command != 5 || got.ack.Eta != maxDeviceDelay {
			t.Errorf("answered: %+v", got)
		}

		done = set(a, 6)
		next[sv2.SetPowerTarget](t, c)
		reply(sv2.SetPowerTargetError{
			ChannelID: channel, Command: sv2.PowerCommand{Term: 1, ID: 6}, Code: "\x1b[31mno",
		})
		if got := <-done; got.err == nil || strings.ContainsRune(got.err.Error(), 0x1b) {
			t.Errorf("refused: %+v", got)
		}

		older := set(a, 7)
		next[sv2.SetPowerTarget](t, c)
		newer := set(a, 8)
		next[sv2.SetPowerTarget](t, c)
		if got := <-older; !errors.Is(got.err, errSuperseded) {
			t.Errorf("superseded: %+v", got)
		}
		if got := <-set(a, 7); !errors.Is(got.err, errSuperseded) {
			t.Errorf("older than what was sent: %+v", got)
		}
		reply(success(2, 1)) // another term commands the device
		if got := <-newer; !errors.Is(got.err, errSuperseded) {
			t.Errorf("overtaken: %+v", got)
		}

		if got := <-set(a, 9); !errors.Is(got.err, context.DeadlineExceeded) {
			t.Errorf("without an answer: %+v", got)
		}
		next[sv2.SetPowerTarget](t, c)

		done = set(a, 10)
		next[sv2.SetPowerTarget](t, c)
		reply(hello(channel)) // said anew: a new link takes over
		if got := <-done; !errors.Is(got.err, errChannelEnd) {
			t.Errorf("replaced: %+v", got)
		}
		a = link.Actuator()
		done = set(a, 11)
		next[sv2.SetPowerTarget](t, c)
		reply(sv2.CloseChannel{ChannelID: channel})
		if got := <-done; !errors.Is(got.err, errChannelEnd) {
			t.Errorf("closed: %+v", got)
		}
		if got := <-set(a, 12); !errors.Is(got.err, errChannelEnd) {
			t.Errorf("after the end: %+v", got)
		}
	})
}

// Ensure that an order which timed out cannot answer the one that repeated it.
func TestPower_ForgetsOnlyItsOwnOrder(t *testing.T) {
	p := &powerLink{}
	command := sv2.PowerCommand{Term: 1, ID: 9}
	first := &order{command: command, answer: make(chan answer, 1)}
	again := &order{command: command, answer: make(chan answer, 1)}
	if p.await(first) != nil || p.await(again) != nil {
		t.Fatal("refused")
	}
	p.forget(first)
	if len(again.answer) != 0 || p.waiting != again {
		t.Error("the second order was answered by the first one's end")
	}
}

// Ensure that many expectations in a row end at the newest, that the share rate is followed, and that
// those for a session that closes do no harm.
func TestExpect_EndsAtTheNewest(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.tb
		c, _, _ := b.open("alice.one")
		link := b.fleet.Links("alice.one")[0]
		for n := range 1000 {
			link.Expect(fleet.Expectation{Hashrate: unit.Hashrate(n+1) * 1e9, SharesPerMinute: 60})
		}
		synctest.Wait()
		se := b.server.list()[0]
		se.mu.Lock()
		var got float64
		for _, ch := range se.channels {
			got = float64(ch.pool.Target().Work())
		}
		se.mu.Unlock()
		if want := 1000 * 1e9 * 60 / 60.0; math.Abs(got/want-1) > 0.06 {
			t.Errorf("a share is worth %g hashes, want %g", got, want)
		}
		go link.Expect(fleet.Expectation{Hashrate: 1})
		_ = c.Close()
		for n := range 100 {
			link.Expect(fleet.Expectation{Hashrate: unit.Hashrate(n)})
		}
		synctest.Wait()
	})
}
