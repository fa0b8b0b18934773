package stratum_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/stratum"
	"github.com/hashlease/hashlease/stratum/stratumtest"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// Ensure that messages which a mining server never takes are not given the memory that their own
// protocol would need (SV2-030).
func TestServer_RefusesLongFramesOfMessagesThatItDoesNotTake(t *testing.T) {
	w := newWorld(t, nil)
	for _, typ := range []uint8{
		sv2.TypeProvideMissingTransactionsSuccess, sv2.TypeSubmitSolution, sv2.TypeSetCustomMiningJob,
		sv2.TypeNewExtendedMiningJob, 0x7f,
	} {
		c := w.setUp(0)
		if err := c.SendRaw(0, typ, make([]byte, 8<<10)); err != nil {
			t.Fatal(err)
		}
		if err := c.AwaitEnd(stratumtest.AwaitFor); err != nil {
			t.Errorf("type %#02x of 8 KiB: %v", typ, err)
		}
	}
}

// Ensure that short frames of messages which a mining server never takes are ignored (SV2-027, SV2-029).
func TestServer_IgnoresShortFramesOfMessagesThatItDoesNotTake(t *testing.T) {
	w := newWorld(t, nil)
	c := w.setUp(0)
	for _, typ := range []uint8{sv2.TypeSubmitSolution, sv2.TypeNewMiningJob, sv2.TypeReconnect, 0x7f} {
		for _, extension := range []uint16{0, sv2.ChannelBit, 0x1234, 0x1234 | sv2.ChannelBit, sv2.ExtPower} {
			if err := c.SendRaw(extension, typ, make([]byte, 300)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := c.OpenStandard("alice.one", 1, pool.MaxTarget); err != nil {
		t.Fatal(err)
	}
}

// Ensure that a refused peer reads the reason and then a clean end, though it had already sent
// more: a reset could overtake the reason (SV2-053).
func TestServer_LingersAfterItRefusedASetup(t *testing.T) {
	w := newWorld(t, nil)
	c := w.dial()
	send(t, c, sv2.SetupConnection{Protocol: sv2.ProtocolMining, MinVersion: 3, MaxVersion: 3})
	for range 50 {
		send(t, c, sv2.CloseChannel{ChannelID: 1})
	}
	await[sv2.SetupConnectionError](t, c)
	_ = c.Conn().SetReadDeadline(time.Now().Add(stratumtest.AwaitFor))
	if _, _, err := c.Conn().ReadFrame(nil, nil); !errors.Is(err, io.EOF) {
		t.Errorf("after the reason came %v, want a clean end", err)
	}
}

// withHashrate is a frame whose nominal_hash_rate has been overwritten.
func withHashrate(m sv2.Message, at int, rate float64) (typ uint8, payload []byte) {
	frame := m.AppendFrame(nil)
	binary.LittleEndian.PutUint32(frame[sv2.HeaderSize+at:], math.Float32bits(float32(rate)))
	return frame[2], frame[sv2.HeaderSize:]
}

// Ensure that a nominal hashrate which is no number is refused by an answer and not by an end (SV2-065).
func TestServer_RefusesHashratesThatAreNoNumbers(t *testing.T) {
	w := newWorld(t, nil)
	c := w.setUp(0)
	ok, err := c.OpenStandard("alice.one", 1, pool.MaxTarget)
	if err != nil {
		t.Fatal(err)
	}
	for _, rate := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, math.Copysign(0, -1)} {
		for _, m := range []sv2.Message{
			sv2.OpenStandardMiningChannel{RequestID: 5, UserIdentity: "a.b"},
			sv2.OpenExtendedMiningChannel{RequestID: 5, UserIdentity: "a.b"},
		} {
			typ, payload := withHashrate(m, 4+4, rate)
			if err := c.SendRaw(0, typ, payload); err != nil {
				t.Fatal(err)
			}
			e := await[sv2.OpenMiningChannelError](t, c)
			if e.RequestID != 5 || e.Code != sv2.CodeInvalidHashrate {
				t.Errorf("%T with %v got %+v", m, rate, e)
			}
		}
		typ, payload := withHashrate(sv2.UpdateChannel{ChannelID: ok.ChannelID}, 4, rate)
		if err := c.SendRaw(sv2.ChannelBit, typ, payload); err != nil {
			t.Fatal(err)
		}
		e := await[sv2.UpdateChannelError](t, c)
		if e.ChannelID != ok.ChannelID || e.Code != sv2.CodeInvalidHashrate {
			t.Errorf("update with %v got %+v", rate, e)
		}
	}
}

// Ensure the rules of UpdateChannel: errors for what cannot be, a lower target at once (SV2-087, SV2-088).
func TestServer_AnswersUpdateChannel(t *testing.T) {
	w := newWorld(t, nil)
	w.publish(w.template(100, 1, false))
	c := w.setUp(0)
	channel, _ := w.openEasy(c, "alice.one")
	for _, bad := range []struct {
		update sv2.UpdateChannel
		code   string
	}{
		{sv2.UpdateChannel{ChannelID: 99, MaxTarget: pool.MaxTarget.Bytes()}, sv2.CodeInvalidChannelID},
		{sv2.UpdateChannel{ChannelID: channel, NominalHashRate: 1}, sv2.CodeMaxTargetOutOfRange},
	} {
		send(t, c, bad.update)
		e := await[sv2.UpdateChannelError](t, c)
		if e.Code != bad.code || e.ChannelID != bad.update.ChannelID {
			t.Errorf("%+v got %+v", bad.update, e)
		}
	}
	hard := pool.TargetForHashes(0x1p40)
	send(t, c, sv2.UpdateChannel{ChannelID: channel, NominalHashRate: 1, MaxTarget: hard.Bytes()})
	m := await[sv2.SetTarget](t, c)
	if got := pool.TargetFromBytes(&m.MaxTarget); got.Cmp(hard) > 0 {
		t.Errorf("target is %v, above the declared maximum %v", got, hard)
	}
}

// Ensure that updates in a row cost one job a second, and that the last one counts (SV2-090).
func TestServer_HoldsBackUpdatesInARow(t *testing.T) {
	t.Parallel() // it waits for a look, every 5 s
	w := newWorld(t, nil)
	w.publish(w.template(100, 1, false))
	c := w.setUp(0)
	channel, _ := w.openEasy(c, "alice.one")
	const n = 50
	for i := range n {
		hard := pool.TargetForHashes(0x1p40 * float64(i+1))
		send(t, c, sv2.UpdateChannel{ChannelID: channel, NominalHashRate: 1, MaxTarget: hard.Bytes()})
	}
	last := pool.TargetForHashes(0x1p40 * n)
	targets := 0
	deadline := time.Now().Add(15 * time.Second)
	for {
		m, err := stratumtest.Await[sv2.SetTarget](c, time.Until(deadline))
		if err != nil {
			t.Fatalf("the last update was never applied; %d targets came: %v", targets, err)
		}
		targets++
		if got := pool.TargetFromBytes(&m.MaxTarget); got.Cmp(last) <= 0 {
			break
		}
	}
	if targets > 10 {
		t.Errorf("%d updates in a row made %d targets", n, targets)
	}
}

// Ensure that the device's words are short and printable before anybody sees them (SV2-034).
func TestServer_BoundsAndCleansWhatDevicesSay(t *testing.T) {
	w := newWorld(t, nil)
	c := w.dial()
	long := make([]byte, 255)
	for i := range long {
		long[i] = 'x'
	}
	send(t, c, sv2.SetupConnection{
		MinVersion: 2, MaxVersion: 2, Vendor: string(long), HardwareVersion: "a\x00\x1b[31m\nb",
		Firmware: "\xff\xfeok", DeviceID: "n\u00e9\u202ex",
	})
	await[sv2.SetupConnectionSuccess](t, c)
	if _, err := c.OpenStandard("alice.one", 1, pool.MaxTarget); err != nil {
		t.Fatal(err)
	}
	got := w.server.Channels()[0].Device
	got.Address = ""
	want := stratum.Device{
		Vendor: string(long[:64]), Hardware: "a??[31m?b", Firmware: "??ok", ID: "n\u00e9?x",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("device (-want +got):\n%s", diff)
	}
}

// Ensure that an expectation which comes while its channel is being opened is not lost.
func TestServer_AppliesAnExpectationThatCameBeforeTheChannelWasThere(t *testing.T) {
	w := newWorld(t, nil)
	w.publish(w.template(100, 1, false))
	w.opening = func() {
		go func() { // ends when the link is there
			for len(w.registry.Links("alice.one")) == 0 {
				time.Sleep(10 * time.Microsecond)
			}
			w.registry.Links("alice.one")[0].Expect(fleet.Expectation{Hashrate: 1e12})
		}()
	}
	for range 20 {
		c := w.setUp(0)
		ok, err := c.OpenStandard("alice.one", 1e6, pool.MaxTarget)
		if err != nil {
			t.Fatal(err)
		}
		want := pool.TargetForHashrate(1e12, 60)
		for got := pool.TargetFromBytes(&ok.Target); got.Cmp(want) > 0; {
			m := await[sv2.SetTarget](t, c)
			got = pool.TargetFromBytes(&m.MaxTarget)
		}
		_ = c.Close()
		eventually(t, "the link ends", func() bool { return len(w.registry.Links("alice.one")) == 0 })
	}
}

// Ensure that a peer which sends nothing after connecting does not hold up the end of the server.
func TestServer_DoesNotWaitForSilentPeersAtShutdown(t *testing.T) {
	w := newWorld(t, func(c *stratum.Config) { c.HandshakeTimeout = time.Minute })
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	eventually(t, "the connection is counted", func() bool { return w.server.Stats().Sessions == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := w.server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// Ensure that a device's connection without a channel ends in time, and that one whose channels have
// all been closed gets the same time again (SV2-054).
func TestServer_EndsConnectionsWithoutAChannelInTime(t *testing.T) {
	t.Parallel() // it waits for a look, every 5 s
	w := newWorld(t, func(c *stratum.Config) { c.OpenTimeout = time.Second })
	silent := w.dial()
	idle := w.setUp(sv2.RequiresStandardJobs)
	busy := w.setUp(sv2.RequiresStandardJobs)
	channel, err := busy.OpenStandard("alice.one", 1, pool.MaxTarget)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*stratumtest.Client{idle, silent} {
		if err := c.AwaitEnd(20 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	send(t, busy, sv2.CloseChannel{ChannelID: channel.ChannelID})
	if _, err := busy.OpenStandard("alice.one", 1, pool.MaxTarget); err != nil {
		t.Errorf("opening again: %v", err)
	}
}

// Ensure that the bound on channels of the whole server holds over connections (SV2-074).
func TestSV2_074_BoundsChannelsOverAllConnections(t *testing.T) {
	w := newWorld(t, func(c *stratum.Config) { c.MaxAllChannels = 2 })
	for range 2 {
		if _, err := w.setUp(0).OpenStandard("alice.one", 1, pool.MaxTarget); err != nil {
			t.Fatal(err)
		}
	}
	c := w.setUp(0)
	send(t, c, sv2.OpenStandardMiningChannel{UserIdentity: "a.b", MaxTarget: pool.MaxTarget.Bytes()})
	if e := await[sv2.OpenMiningChannelError](t, c); e.Code != sv2.CodeTooManyChannels {
		t.Errorf("got %+v", e)
	}
}

// Ensure that one address cannot take every connection.
func TestServer_BoundsConnectionsOfOneAddress(t *testing.T) {
	w := newWorld(t, func(c *stratum.Config) { c.MaxPerAddress = 1 })
	first := w.setUp(0)
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(stratumtest.AwaitFor))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a second connection got %v", err)
	}
	_ = first.Close()
	eventually(t, "the place is free again", func() bool { return w.server.Stats().Sessions == 0 })
	w.setUp(0)
}
