package stratum

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/stratumtest"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// frames are the frames that fuzz input stands for: extension 2, type 1, length 1, payload.
func frames(input []byte) (list [][]byte) {
	for len(input) >= 4 {
		n := min(int(input[3]), len(input)-4)
		h := sv2.Header{
			Extension: uint16(input[0]) | uint16(input[1])<<8, Type: input[2], Length: uint32(n),
		}
		list = append(list, append(h.Append(nil), input[4:4+n]...))
		input = input[4+n:]
	}
	return list
}

// unframe is the fuzz input for messages.
func unframe(msgs ...sv2.Message) (input []byte) {
	for _, m := range msgs {
		f := m.AppendFrame(nil)
		input = append(append(input, f[:4]...), f[sv2.HeaderSize:]...)
	}
	return input
}

// FuzzSession_Frames sends arbitrary frames to a session that was set up, has negotiated all
// extensions and has a channel of each kind. It must not panic, and must end and leave nothing behind
// when its peer does.
func FuzzSession_Frames(f *testing.F) {
	now := uint32(time.Now().Unix())
	f.Add([]byte{})
	f.Add(unframe(sv2.SetupConnection{}, sv2.CloseChannel{ChannelID: firstGroup}))
	f.Add(unframe(sv2.CloseChannel{ChannelID: 2}, share(2, 2, 1), share(3, 5, 1)))
	f.Add(unframe(
		sv2.OpenExtendedMiningChannel{UserIdentity: "a.b", MaxTarget: pool.MaxTarget.Bytes()},
		sv2.SubmitSharesExtended{
			ChannelID: 3, JobID: 5, Time: now, Version: 0x20000000, Extranonce: make([]byte, 16),
		},
		sv2.UpdateChannel{ChannelID: 3, NominalHashRate: 1e30, MaxTarget: pool.MaxTarget.Bytes()},
		sv2.SetCustomMiningJob{ChannelID: 3},
	))
	f.Add(unframe(hello(2), sv2.PowerReport{ChannelID: 2}, sv2.SitePowerReport{},
		sv2.SetPowerTargetSuccess{ChannelID: 2}, sv2.SetPowerTargetError{ChannelID: 2},
		sv2.RequestExtensions{Requested: []uint16{1, 2}}))
	f.Add(unframe(siteHello("x"), siteHello("y"), sv2.SitePowerReport{Site: "x"}, siteHello("x"),
		sv2.SetSitePowerTargetSuccess{Site: "x"}, sv2.SetSitePowerTargetError{Site: "y"}))
	named := unframe(sv2.SubmitSharesExtended{
		ChannelID: 3, JobID: 5, Time: now, Version: 0x20000000, Extranonce: make([]byte, 16),
	})
	named[3] += uint8(len(tlv("rig1"))) // the length that frames reads
	f.Add(append(named, tlv("rig1")...))
	b := newBench(f, func(c *Config) { c.Gather = 0 })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	b.wg.Go(func() { _ = b.server.Run(context.Background()) })
	b.wg.Go(func() { _ = b.server.Serve(ln) })
	f.Cleanup(b.stop)
	b.publish(template(100, 1, false))
	f.Fuzz(func(t *testing.T, input []byte) {
		c, err := stratumtest.Dial(context.Background(), ln.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Setup(0); err != nil {
			t.Fatal(err)
		}
		_ = c.Send(sv2.RequestExtensions{Requested: []uint16{sv2.ExtWorkerIdentity, sv2.ExtPower}})
		if _, err := c.OpenStandard("a.b", 0, pool.MaxTarget); err != nil {
			t.Fatal(err)
		}
		if _, err := c.OpenExtended("a.b", 0, pool.MaxTarget); err != nil {
			t.Fatal(err)
		}
		for _, frame := range frames(input) {
			if _, err := c.Conn().Write(frame); err != nil {
				break // the session has ended
			}
		}
		_ = c.Conn().Conn.(*net.TCPConn).CloseWrite()
		_ = c.Conn().SetReadDeadline(time.Now().Add(3 * time.Second))
		_, _ = io.Copy(io.Discard, c.Conn().Conn)
		deadline := time.Now().Add(3 * time.Second)
		for b.server.Stats().Sessions > 0 || b.server.prefixes.Live() > 0 {
			if time.Now().After(deadline) {
				t.Fatalf("left over: %+v", b.server.Stats())
			}
			time.Sleep(100 * time.Microsecond) // another process's end: real sockets
		}
	})
}
