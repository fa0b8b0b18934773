package stratum

import (
	"io"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
)

// crowd is a session with channels of a kind and jobs; its messages are read and dropped.
func (b *bench) crowd(kind pool.Kind, channels int) *session {
	b.tb.Helper()
	b.publish(template(100, 1, false))
	s, client := b.tcpSession()
	go func() { _, _ = io.Copy(io.Discard, client.Conn) }() // ends with the connection
	now := time.Now()
	for range channels {
		s.open(opening{identity: "a.b", kind: kind, maxTarget: pool.MaxTarget}, now)
	}
	if len(s.channels) != channels {
		b.tb.Fatalf("%d of %d channels opened: %v", len(s.channels), channels, s.why())
	}
	return s
}

// Ensure that a new job and a new tip cost no memory that was not there, however many channels hear of them.
func TestGroup_FollowsRoundsWithoutAllocating(t *testing.T) {
	if raced {
		t.Skip("allocations cannot be counted under the race detector")
	}
	const warm, runs = 200, 100
	for _, kind := range []pool.Kind{pool.Standard, pool.Extended} {
		t.Run(kind.String(), func(t *testing.T) {
			b := newBench(t, nil)
			s := b.crowd(kind, 10)
			now := time.Now()
			rounds := make([]*pool.Round, 0, warm+runs+1)
			for n := range cap(rounds) {
				rounds = append(rounds, b.publish(template(101+int32(n/2), byte(n/2), n%2 == 0)))
			}
			next := 0
			follow := func() { s.followRound(rounds[next], now); next++ }
			for range warm {
				follow()
			}
			if n := testing.AllocsPerRun(runs, follow); n >= 1 {
				t.Errorf("%v allocations for a round and ten channels", n)
			}
			if s.cause != nil {
				t.Error(s.cause)
			}
		})
	}
}

// Ensure that one connection more channels are cheap: what is the same for many is held once.
func TestGroup_BoundsTheMemoryOfAChannel(t *testing.T) {
	const first, more, limit = 10, 400, 1792
	for _, kind := range []pool.Kind{pool.Standard, pool.Extended} {
		t.Run(kind.String(), func(t *testing.T) {
			b := newBench(t, nil)
			s := b.crowd(kind, first)
			before := used()
			now := time.Now()
			for range more {
				s.open(opening{identity: "a.b", kind: kind, maxTarget: pool.MaxTarget}, now)
			}
			s.writer.Wait()
			bytes := (int64(used()) - int64(before)) / more
			if t.Logf("%d bytes for a channel", bytes); bytes > limit {
				t.Errorf("%d bytes for a channel more, at most %d are wanted", bytes, limit)
			}
			s.close(io.EOF)
		})
	}
}
