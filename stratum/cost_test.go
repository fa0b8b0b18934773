package stratum

import (
	"fmt"
	"io"
	"math"
	"runtime"
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
	for i := range channels {
		s.open(opening{identity: fmt.Sprintf("a.b%d", i), kind: kind, maxTarget: pool.MaxTarget}, now)
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

// Ensure that a further channel of a connection, with a worker of its own, is cheap: what is the same for
// many is held once, and what only shares need is made when they come. About 540 bytes are the channel's own,
// 96 its jobs, 170 those of its worker (a link, the registry's entry), the rest entries of maps and lists.
func TestGroup_BoundsTheMemoryOfAChannel(t *testing.T) {
	const first, more, limit = 10, 400, 960
	for _, kind := range []pool.Kind{pool.Standard, pool.Extended} {
		t.Run(kind.String(), func(t *testing.T) {
			// What earlier tests still end meanwhile adds to one try, not to all.
			bytes := int64(math.MaxInt64)
			for range 3 {
				bytes = min(bytes, bytesOfChannels(t, kind, first, more))
			}
			if t.Logf("%d bytes for a channel", bytes); bytes > limit {
				t.Errorf("%d bytes for a channel more, at most %d are wanted", bytes, limit)
			}
		})
	}
}

// bytesOfChannels is what each of more channels takes on a connection that has a few.
func bytesOfChannels(t *testing.T, kind pool.Kind, first, more int) int64 {
	t.Helper()
	b := newBench(t, nil)
	s := b.crowd(kind, first)
	openings := make([]opening, more)
	for i := range openings {
		openings[i] = opening{
			identity: fmt.Sprintf("a.c%d", i), kind: kind, maxTarget: pool.MaxTarget,
		}
	}
	before, now := used(), time.Now()
	for i := range openings {
		s.open(openings[i], now)
	}
	s.writer.Wait()
	bytes := (int64(used()) - int64(before)) / int64(more)
	runtime.KeepAlive(openings)
	s.close(io.EOF)
	return bytes
}

// v1Crowd is connections of Stratum V1 that mine, over a transport that takes all at once: how far a kernel's
// buffers reach is another matter.
func (b *bench) v1Crowd(n int) []*v1 {
	b.tb.Helper()
	crowd := make([]*v1, n)
	for i := range crowd {
		d := b.v1Session()
		d.writer.Wait()
		d.out.conn = new(sealedShares)
		crowd[i] = d
	}
	return crowd
}

// Ensure that a tip and its full job are written once for all connections of Stratum V1: what that allocates
// is the same for one connection and for many.
func TestV1_FollowsRoundsWithoutAllocating(t *testing.T) {
	if raced {
		t.Skip("allocations cannot be counted under the race detector")
	}
	const warm, runs = 140, 100
	cost := func(connections int) float64 {
		b := newBench(t, nil)
		b.publish(template(100, 1, false))
		crowd := b.v1Crowd(connections)
		now := time.Now()
		rounds := make([]*pool.Round, 0, 2*(warm+runs+1))
		for n := range warm + runs + 1 { // each tip is known by its header first
			rounds = append(rounds, b.publish(template(101+int32(n), byte(2+n), true)),
				b.publish(template(101+int32(n), byte(2+n), false)))
		}
		follow := func() {
			for _, r := range rounds[:2] {
				for _, d := range crowd {
					d.followRound(r, now)
				}
			}
			rounds = rounds[2:]
		}
		for range warm { // lists of dead jobs have grown to their bounds
			follow()
		}
		n := testing.AllocsPerRun(runs, follow)
		for _, d := range crowd {
			if d.why() != nil {
				t.Errorf("a session ended: %v", d.why())
			}
		}
		return n
	}
	const more = 20
	one, many := cost(1), cost(1+more)
	t.Logf("%v allocations for a tip and its job, %v with %d connections more", one, many, more)
	if many > one+1 { // buffers that are lent may have to be made anew after a collection
		t.Errorf("%d connections more cost %v allocations for a tip and its job, want none", more, many-one)
	}
}
