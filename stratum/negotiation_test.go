package stratum

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/stratumtest"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// requiring runs a test with a server that requires extensions.
func requiring(t *testing.T, required []uint16, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(c *Config) { c.RequiredExtensions = required })
		b.start()
		defer b.stop()
		b.publish(template(100, 1, false))
		test(b)
	})
}

// setUp is a client whose SetupConnection has succeeded.
func (b *bench) setUp() *stratumtest.Client {
	b.tb.Helper()
	c := b.dial()
	if _, err := c.Setup(0); err != nil {
		b.tb.Fatal(err)
	}
	return c
}

// ask sends RequestExtensions.
func (b *bench) ask(c *stratumtest.Client, id uint16, extensions ...uint16) {
	b.tb.Helper()
	if err := c.Send(sv2.RequestExtensions{RequestID: id, Requested: extensions}); err != nil {
		b.tb.Fatal(err)
	}
}

func wantError(tb testing.TB, c *stratumtest.Client, want sv2.RequestExtensionsError) {
	tb.Helper()
	if got := next[sv2.RequestExtensionsError](tb, c); !cmp.Equal(got, want) {
		tb.Errorf("got %+v, want %+v", got, want)
	}
}

func wantSuccess(tb testing.TB, c *stratumtest.Client, want sv2.RequestExtensionsSuccess) {
	tb.Helper()
	if got := next[sv2.RequestExtensionsSuccess](tb, c); !cmp.Equal(got, want) {
		tb.Errorf("got %+v, want %+v", got, want)
	}
}

func wantEnd(tb testing.TB, c *stratumtest.Client) {
	tb.Helper()
	if err := c.AwaitEnd(time.Second); err != nil {
		tb.Error(err)
	}
}

// wantMining says that the connection lives and may open a channel.
func wantMining(tb testing.TB, c *stratumtest.Client) {
	tb.Helper()
	if _, err := c.OpenStandard("alice.one", 0, pool.MaxTarget); err != nil {
		tb.Error(err)
	}
}

// Ensure that Success has the intersection of what was asked for and what is served, each once, and
// the id of the request (SV2-232, SV2-234, SV2-235).
func TestSV2_232_GrantsTheIntersection(t *testing.T) {
	inBubble(t, func(b *bench) {
		for _, each := range []struct{ asked, granted []uint16 }{
			{[]uint16{0x7001, sv2.ExtPower, 2, 2, 1, sv2.ExtPower}, []uint16{2, sv2.ExtPower}},
			{[]uint16{2}, []uint16{2}},
			{[]uint16{sv2.ExtPower, 3}, []uint16{sv2.ExtPower}},
		} {
			c := b.setUp()
			b.ask(c, 0xbeef, each.asked...)
			wantSuccess(b.tb, c, sv2.RequestExtensionsSuccess{RequestID: 0xbeef, Supported: each.granted})
			wantMining(b.tb, c)
			_ = c.Close()
		}
	})
}

// Ensure that a request without anything that is served is an Error, which a peer may mine on after,
// and that it may ask again once only.
func TestSV2_232_RefusesWhenNothingIsServed(t *testing.T) {
	inBubble(t, func(b *bench) {
		c := b.setUp()
		b.ask(c, 1, 0x7001, 3, 0x7001)
		wantError(b.tb, c, sv2.RequestExtensionsError{RequestID: 1, Unsupported: []uint16{3, 0x7001}})
		b.ask(c, 2)
		wantError(b.tb, c, sv2.RequestExtensionsError{RequestID: 2})
		time.Sleep(2 * retryWithin)
		wantMining(b.tb, c)
		b.ask(c, 3, sv2.ExtPower)
		wantEnd(b.tb, c)
	})
}

// Ensure that what is required is listed, also for an empty request, and that the peer may then ask
// for it and mine.
func TestSV2_233_ListsWhatIsRequired(t *testing.T) {
	required := []uint16{2, sv2.ExtPower}
	requiring(t, required, func(b *bench) {
		for _, first := range [][]uint16{nil, {2}, {sv2.ExtPower, 0x7001}} {
			c := b.setUp()
			b.ask(c, 1, first...)
			e := next[sv2.RequestExtensionsError](b.tb, c)
			if !cmp.Equal(e.Required, required) {
				b.tb.Errorf("%x: requires %x", first, e.Required)
			}
			b.ask(c, 2, e.Required...)
			wantSuccess(b.tb, c, sv2.RequestExtensionsSuccess{RequestID: 2, Supported: required})
			time.Sleep(2 * retryWithin)
			wantMining(b.tb, c)
			_ = c.Close()
		}
	})
}

// Ensure that a peer without what is required reads why and is disconnected: after its retry, or
// when none comes in time, and also if it asks for nothing but a channel.
func TestSV2_233_DisconnectsWithoutWhatIsRequired(t *testing.T) {
	requiring(t, []uint16{sv2.ExtPower}, func(b *bench) {
		t := b.tb
		c := b.setUp()
		b.ask(c, 1, 2)
		b.ask(c, 2, 2)
		for id := range uint16(2) {
			wantError(t, c, sv2.RequestExtensionsError{RequestID: id + 1, Required: []uint16{sv2.ExtPower}})
		}
		wantEnd(t, c)

		c = b.setUp()
		b.ask(c, 1)
		next[sv2.RequestExtensionsError](t, c)
		time.Sleep(retryWithin - time.Second)
		b.ask(c, 2, sv2.ExtPower) // still in time
		next[sv2.RequestExtensionsSuccess](t, c)
		_ = c.Close()

		for _, first := range []sv2.Message{
			sv2.RequestExtensions{Requested: []uint16{2}},
			sv2.OpenStandardMiningChannel{
				RequestID: 9, UserIdentity: "alice.one", MaxTarget: pool.MaxTarget.Bytes(),
			},
		} {
			c = b.setUp()
			if err := c.Send(first); err != nil {
				t.Fatal(err)
			}
			if _, ok := first.(sv2.OpenStandardMiningChannel); ok {
				e := next[sv2.OpenMiningChannelError](t, c)
				if e.RequestID != 9 || e.Code != sv2.CodeExtensionsMissing {
					t.Errorf("got %+v", e)
				}
			}
			asked := time.Now()
			if err := c.AwaitEnd(time.Minute); err != nil || time.Since(asked) > retryWithin {
				t.Errorf("%T: %v after %v", first, err, time.Since(asked))
			}
		}
	})
}

// Ensure that a request that comes after a channel is an Error: what the channel's shares mean does not
// change while they come. The channel stays, and is sent no extension's messages.
func TestSV2_231_RefusesALateRequest(t *testing.T) {
	inBubble(t, func(b *bench) {
		c := b.setUp()
		wantMining(t, c)
		b.ask(c, 7, 2, sv2.ExtPower)
		wantError(t, c, sv2.RequestExtensionsError{RequestID: 7, Unsupported: []uint16{2, sv2.ExtPower}})
		wantMining(t, c)

		c = b.setUp()
		ok, err := c.OpenStandard("alice.two", 0, pool.MaxTarget)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Send(sv2.CloseChannel{ChannelID: ok.ChannelID, Reason: "done"}); err != nil {
			t.Fatal(err)
		}
		b.ask(c, 8, 2)
		wantError(t, c, sv2.RequestExtensionsError{RequestID: 8, Unsupported: []uint16{2}})
	})
}

// Ensure that a request after a Success is an Error that changes nothing.
func TestSV2_235_RefusesASecondRequest(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.tb
		c, channel, link := b.powered()
		defer c.Close()
		b.ask(c, 7, 2)
		wantError(t, c, sv2.RequestExtensionsError{RequestID: 7, Unsupported: []uint16{2}})
		if err := c.Send(hello(channel)); err != nil {
			t.Fatal(err)
		}
		next[sv2.PowerHelloAck](t, c)
		if link.Actuator() == nil {
			t.Error("what was granted has gone")
		}
	})
}

// Ensure that frames of an extension that was not negotiated are ignored, whatever is in them, and
// also if they are longer than what we know by that number.
func TestSV2_235_IgnoresTrafficBeforeSuccess(t *testing.T) {
	inBubble(t, func(b *bench) {
		c := b.setUp()
		defer c.Close()
		for typ := range 256 {
			for _, extension := range []uint16{sv2.ExtPower, sv2.ExtPower | sv2.ChannelBit, 2, 0x8002} {
				if err := c.SendRaw(extension, uint8(typ), make([]byte, typ*4)); err != nil {
					b.tb.Fatal(err)
				}
			}
		}
		wantMining(b.tb, c)
	})
}

// Ensure that RequestExtensions before SetupConnection.Success ends the connection.
func TestSV2_241_EndsANegotiationBeforeTheSetup(t *testing.T) {
	inBubble(t, func(b *bench) {
		c := b.dial()
		b.ask(c, 1, sv2.ExtPower)
		wantEnd(b.tb, c)
	})
}

// Ensure that only what is served may be required.
func TestConfig_RefusesToRequireWhatIsNotServed(t *testing.T) {
	c := DefaultConfig()
	c.RequiredExtensions = []uint16{2, sv2.ExtPower}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.RequiredExtensions = []uint16{3}
	if c.Validate() == nil {
		t.Error("extension 3 may be required")
	}
}
