package stratum

import (
	"context"
	"io"
	"math"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/stratumtest"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// step is a frame that fuzz input stands for: what to do, and a number for whatever it needs.
func step(do, n byte) []byte {
	id := uint32(n % 16)
	raw := func(ext uint16, typ byte, payload int) []byte {
		h := sv2.Header{Extension: ext, Type: typ, Length: uint32(payload)}
		return append(h.Append(nil), make([]byte, payload)...)
	}
	open := sv2.OpenStandardMiningChannel{UserIdentity: "mallory.x", MaxTarget: pool.MaxTarget.Bytes()}
	var m sv2.Message
	switch do % 18 {
	case 0:
		m = sv2.SetupConnection{MinVersion: 2, MaxVersion: 2, Flags: uint32(n % 8)}
	case 1:
		m = open
	case 2:
		m = sv2.OpenExtendedMiningChannel{
			UserIdentity: "mallory.x", MaxTarget: pool.MaxTarget.Bytes(), MinExtranonceSize: uint16(n % 32),
		}
	case 3:
		m = share(id, uint32(n/16), uint32(n))
	case 4:
		m = sv2.SubmitSharesExtended{
			ChannelID: id, JobID: uint32(n / 16), Time: uint32(time.Now().Unix()), Version: 0x20000000,
			Extranonce: make([]byte, n%33),
		}
	case 5:
		m = share(math.MaxUint32, uint32(n), uint32(n))
	case 6:
		m = sv2.UpdateChannel{
			ChannelID: id, NominalHashRate: float32(n) * 1e12, MaxTarget: pool.MaxTarget.Bytes(),
		}
	case 7:
		m = sv2.CloseChannel{ChannelID: id}
	case 8:
		m = sv2.RequestExtensions{RequestID: uint16(n), Requested: []uint16{uint16(n % 4), uint16(n)}}
	case 9:
		m = hello(id)
	case 10:
		m = sv2.PowerReport{ChannelID: id}
	case 11:
		open.NominalHashRate = float32(math.NaN())
		m = open
	case 12:
		m = sv2.SetCustomMiningJob{ChannelID: id}
	case 13:
		m = siteHello(string('a' + rune(id)))
	case 14:
		return raw(0, n, int(n))
	case 15:
		return raw(sv2.ChannelBit|uint16(n), n, 33)
	case 16:
		return raw(sv2.ExtPower, n, 20)
	default:
		open.UserIdentity = "no identity"
		m = open
	}
	return m.AppendFrame(nil)
}

// consistent checks what must hold of the server's counters at any moment.
func consistent(t *testing.T, st Stats) {
	t.Helper()
	var rejected uint64
	for _, n := range st.Rejected {
		rejected += n
	}
	if st.Submitted < st.Accepted || st.Accepted < st.Durable || st.Durable < st.Acknowledged {
		t.Errorf("submitted %d, accepted %d, durable %d, acknowledged %d",
			st.Submitted, st.Accepted, st.Durable, st.Acknowledged)
	}
	if st.Submitted != st.Accepted+rejected {
		t.Errorf("submitted %d, accepted %d, rejected %d", st.Submitted, st.Accepted, rejected)
	}
	if st.Backlog != 0 {
		t.Errorf("%d bytes of backlog, where everybody reads", st.Backlog)
	}
}

// FuzzSession_Sequence sends sequences of valid and invalid frames in any order, from before the setup on.
// Whatever they are, the session ends with its peer and leaves nothing behind, memory stays, the counters
// agree with each other, and an honest miner on another connection is served at once.
func FuzzSession_Sequence(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 1, 0, 3, 0x12, 3, 0x12, 5, 1, 6, 2, 7, 2, 3, 0x12})
	f.Add([]byte{1, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0, 0, 8, 2, 8, 2, 8, 2})
	f.Add([]byte{0, 0, 8, 3, 1, 0, 9, 2, 10, 2, 16, 1, 13, 1, 13, 2})
	f.Add([]byte{0, 1, 2, 0, 11, 0, 17, 0, 12, 1, 14, 0x7f, 15, 9, 7, 1})
	f.Add([]byte{0, 0, 2, 16, 4, 0x13, 4, 0x13, 2, 31, 7, 3, 4, 0x13})
	b := newBench(f, func(c *Config) { c.Gather, c.AckEvery, c.HandshakeRate = 0, 1, 1e6 })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	b.wg.Go(func() { _ = b.server.Run(context.Background()) })
	b.wg.Go(func() { _ = b.server.Serve(ln) })
	f.Cleanup(b.stop)
	b.publish(template(100, 1, false))
	honest, err := stratumtest.Dial(context.Background(), ln.Addr().String(), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = honest.Close() })
	if _, err := honest.Setup(0); err != nil {
		f.Fatal(err)
	}
	own, err := honest.OpenStandard("alice.one", 0, pool.MaxTarget)
	if err != nil {
		f.Fatal(err)
	}
	sequence := uint32(0)
	live := b.server.Stats().Channels
	f.Fuzz(func(t *testing.T, input []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c, err := stratumtest.Dial(context.Background(), ln.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for ; len(input) >= 2; input = input[2:] {
			if _, err := c.Conn().Write(step(input[0], input[1])); err != nil {
				break // the session has ended
			}
		}
		sequence++
		if err := honest.Send(share(own.ChannelID, math.MaxUint32, sequence)); err != nil {
			t.Fatal(err)
		}
		if e := next[sv2.SubmitSharesError](t, honest); e.Sequence != sequence {
			t.Fatalf("an honest peer got %+v for share %d", e, sequence)
		}
		_ = c.Conn().Conn.(*net.TCPConn).CloseWrite()
		_ = c.Conn().SetReadDeadline(time.Now().Add(3 * time.Second))
		_, _ = io.Copy(io.Discard, c.Conn().Conn)
		await(t, func() bool {
			st := b.server.Stats()
			return st.Sessions == 1 && st.Channels == live && st.Durable == st.Accepted
		})
		st := b.server.Stats()
		consistent(t, st)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 {
			t.Errorf("%d bytes were allocated", grown)
		}
	})
}
