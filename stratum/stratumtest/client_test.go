package stratumtest

import (
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// dialled is a client and the scripted pool's side of its connection.
func dialled(t *testing.T) (client, server *Client) {
	t.Helper()
	p := newScriptedPool(t)
	accepted := make(chan *Client, 1)
	go func() { accepted <- p.accept() }()
	c, err := Dial(t.Context(), p.endpoint().Address, &p.authority)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, <-accepted
}

// Ensure that a script waits for what it asks for and finds later, in order, what came in between.
func TestClient_KeepsWhatIsNotAwaitedYet(t *testing.T) {
	c, server := dialled(t)
	send(
		t, server,
		sv2.SetTarget{ChannelID: 1}, sv2.SetTarget{ChannelID: 2}, sv2.Reconnect{Host: "elsewhere"},
		sv2.SetTarget{ChannelID: 3},
	)
	if m := must[sv2.Reconnect](t, c); m.Host != "elsewhere" {
		t.Fatalf("message is %+v", m)
	}
	for want := range uint32(3) {
		f, err := c.AwaitType(AwaitFor, sv2.TypeSetTarget)
		if m, ok := f.Message.(sv2.SetTarget); err != nil || !ok || m.ChannelID != want+1 {
			t.Fatalf("frame is %+v, %v", f, err)
		}
	}
	if _, err := Await[sv2.Reconnect](c, 10*time.Millisecond); err == nil {
		t.Fatal("nothing was sent, something was awaited")
	}
}

// Ensure that the openings say what they are given and return the pool's answer.
func TestClient_OpensChannels(t *testing.T) {
	c, server := dialled(t)
	send(
		t, server, sv2.SetupConnectionSuccess{UsedVersion: sv2.Version, Flags: 2},
		sv2.OpenStandardMiningChannelSuccess{RequestID: 1, ChannelID: 5},
		sv2.OpenExtendedMiningChannelSuccess{ChannelID: 6},
	)
	setup, err := c.Setup(sv2.RequiresVersionRolling)
	if err != nil || setup.Flags != 2 {
		t.Fatalf("setup is %+v, %v", setup, err)
	}
	if m := must[sv2.SetupConnection](t, server); m.Flags != sv2.RequiresVersionRolling || m.Vendor == "" {
		t.Fatalf("server saw %+v", m)
	}
	standard, err := c.OpenStandard("a.b", 5000, easy)
	if err != nil || standard.ChannelID != 5 {
		t.Fatalf("channel is %+v, %v", standard, err)
	}
	m := must[sv2.OpenStandardMiningChannel](t, server)
	if m.UserIdentity != "a.b" || m.NominalHashRate != 5000 || pool.TargetFromBytes(&m.MaxTarget) != easy {
		t.Fatalf("server saw %+v", m)
	}
	extended, err := c.OpenExtended("a.b", 5000, easy)
	if err != nil || extended.ChannelID != 6 {
		t.Fatalf("channel is %+v, %v", extended, err)
	}
}

// Ensure that a script can send any frame, and bytes that are none, and sees the end that follows.
func TestClient_SendsWhatNobodyShould(t *testing.T) {
	c, server := dialled(t)
	if err := c.SendRaw(0x7777|sv2.ChannelBit, 0xee, []byte("whatever")); err != nil {
		t.Fatal(err)
	}
	f, err := server.Next(AwaitFor)
	if err != nil || f.Message != nil || f.Header.ID() != 0x7777 || string(f.Payload) != "whatever" {
		t.Fatalf("frame is %+v, %v", f, err)
	}
	if err := c.SendBytes(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Next(AwaitFor); err == nil {
		t.Fatal("bytes without a seal were accepted")
	}
	if err := c.AwaitEnd(10 * time.Millisecond); err == nil {
		t.Fatal("the end was seen too early")
	}
	_ = server.Close()
	if err := c.AwaitEnd(AwaitFor); err != nil {
		t.Fatal(err)
	}
}
