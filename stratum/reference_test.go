package stratum_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/hashlease/hashlease/stratum"
	"github.com/hashlease/hashlease/stratum/stratumtest"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// Ensure that a drain closes the reference translator without Reconnect, on which it aborts with
// every miner behind it, and still acknowledges its shares first.
func TestServer_DrainsTheReferenceTranslatorWithoutReconnect(t *testing.T) {
	w := newWorld(t, func(c *stratum.Config) { easy(c); c.AckAfter = time.Hour; c.AckEvery = 10_000 })
	w.publish(w.template(100, 1, false))
	c := w.dial()
	send(t, c, sv2.SetupConnection{
		Protocol: sv2.ProtocolMining, MinVersion: sv2.Version, MaxVersion: sv2.Version,
		Vendor: "SRI", HardwareVersion: "Translator Proxy",
	})
	await[sv2.SetupConnectionSuccess](t, c)
	channel, job := w.openEasy(c, "alice.one")
	send(t, c, anyShare(channel, job, 1))
	eventually(t, "a durable share", func() bool { return w.server.Stats().Durable == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := w.server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	await[sv2.SubmitSharesSuccess](t, c)
	_ = c.Conn().SetReadDeadline(time.Now().Add(stratumtest.AwaitFor))
	for {
		header, _, err := c.Conn().ReadFrame(nil, nil)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if h := sv2.ParseHeader(header); h.Type == sv2.TypeReconnect {
			t.Fatal("got Reconnect, want the connection closed")
		}
	}
}
