package stratum

import (
	"io"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// Ensure that a share costs no allocation on its whole way: read from a socket, opened, judged, credited
// and acknowledged. What a commit allocates does not depend on what is in it.
func TestAllocs_NonePerShare(t *testing.T) {
	if raced {
		t.Skip("allocations cannot be counted under the race detector")
	}
	b := newBench(t, nil)
	s, client := b.tcpSession()
	go func() { _, _ = io.Copy(io.Discard, client.Conn) }() // ends with the connection
	b.publish(template(100, 1, false))
	now := time.Now() // stands still, so that the target does
	s.setUp = true
	s.open(opening{identity: "a.b", kind: pool.Standard, maxTarget: pool.MaxTarget}, now)
	channel := s.channels[firstGroup+1]
	sum := credits{index: map[pool.WorkerID]int{}}
	var batch []accepted
	var plain, sealed []byte
	nonce := uint32(0)
	run := func(shares int) {
		for range shares {
			nonce++
			m := share(channel.id, channel.group.full.id, nonce)
			plain = m.AppendFrame(plain[:0])
			sealed = client.AppendFrame(sealed[:0], plain)
			if _, err := client.Conn.Write(sealed); err != nil {
				t.Fatal(err)
			}
			raw, err := s.conn.ReadHeader()
			if err != nil {
				t.Fatal(err)
			}
			if err := s.readFrame(sv2.ParseHeader(raw)); err != nil {
				t.Fatal(err)
			}
		}
		batch = s.shard.swapAccepted(batch)
		s.shard.commitBatch(t.Context(), batch, &sum)
	}
	run(4200) // buffers have grown, and the duplicate set beyond what follows
	before := b.server.counts.accepted.Load()
	few := testing.AllocsPerRun(20, func() { run(16) })
	many := testing.AllocsPerRun(20, func() { run(128) })
	if many > few {
		t.Errorf("%v allocations for 128 shares, %v for 16", many, few)
	}
	if n := b.server.counts.accepted.Load() - before; n != 21*(16+128) {
		t.Errorf("%d shares were accepted, want %d: %v", n, 21*(16+128), b.server.Stats().Rejected)
	}
}

// Ensure that a shard lists each of its sessions once, whoever came and went in between, and that to
// remove a session twice removes no other.
func TestShard_ListsEachSessionOnce(t *testing.T) {
	sh := newShard(nil)
	all := make([]*session, 9)
	for i := range all {
		all[i] = &session{}
		sh.add(all[i])
	}
	left := map[*session]bool{}
	for i, s := range all {
		if i%3 == 0 {
			sh.remove(s)
			sh.remove(s)
			continue
		}
		left[s] = true
	}
	for _, list := range [][]*session{sh.list(), sh.borrowList()} {
		seen := map[*session]bool{}
		for _, s := range list {
			if !left[s] || seen[s] {
				t.Error("a session is listed twice, or after it has gone")
			}
			seen[s] = true
		}
		if len(seen) != len(left) {
			t.Errorf("%d sessions are listed, want %d", len(seen), len(left))
		}
	}
}

// Ensure that a session which owes acknowledgements is looked at in the tick in which they are due, not
// later and not at every tick before, and that what is due later than can be planned for is kept.
func TestShard_PlansAcknowledgements(t *testing.T) {
	for wait, ticks := range map[time.Duration]int{
		-time.Second: 1, 0: 1, ackTick: 1, 2 * ackTick: 2, time.Second: 10, time.Hour: ackSlots,
	} {
		sh, s := newShard(nil), &session{}
		for range 5 { // a ring has no beginning
			sh.takeDue()
		}
		sh.oweAck(s, wait)
		n := 1
		for len(sh.takeDue()) == 0 {
			n++
		}
		if n != ticks {
			t.Errorf("%v ahead: looked at in tick %d, want %d", wait, n, ticks)
		}
	}
}

// Ensure that a new tip and its jobs cost no allocation for each connection: nothing on the way from
// the round to the socket.
func TestAllocs_NonePerJobAndConnection(t *testing.T) {
	if raced {
		t.Skip("allocations cannot be counted under the race detector")
	}
	for _, kind := range []pool.Kind{pool.Standard, pool.Extended} {
		b := newBench(t, nil)
		s, client := b.tcpSession()
		go func() { _, _ = io.Copy(io.Discard, client.Conn) }() // ends with the connection
		now := time.Now()
		b.publish(template(100, 1, false))
		s.open(opening{identity: "a.b", kind: kind, maxTarget: pool.MaxTarget}, now)
		var rounds []*pool.Round
		for n := range byte(250) { // each tip is known by its header first
			rounds = append(rounds, b.publish(template(101+int32(n), 2+n, true)),
				b.publish(template(101+int32(n), 2+n, false)))
		}
		follow := func() {
			s.followRound(rounds[0], now)
			s.followRound(rounds[1], now)
			rounds = rounds[2:]
		}
		for range 140 { // lists of dead jobs have grown to their bounds
			follow()
		}
		if n := testing.AllocsPerRun(100, follow); n > 0 {
			t.Errorf("%v channel: %v allocations for a tip, its full job and the next future job", kind, n)
		}
		if s.why() != nil {
			t.Errorf("%v channel: session ended: %v", kind, s.why())
		}
	}
}
