package conformance

import (
	"encoding/hex"
	"math"
	"slices"
	"time"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// shareRules are section 4.8.
var shareRules = []Rule{
	{
		Number: 150, Mark: Must, Source: "05§5.3.11-12", Check: checkShareKind,
		Sentence: "refuses a share whose message is for the other kind of channel, or for none",
	},
	{
		Number: 151, Mark: Must, Source: "05§5.3.12", Check: checkShareExtranonce,
		Sentence: "refuses an extranonce that has not the size which was granted",
	},
	{
		Number: 152, Mark: Must, Source: "05§5.3.11, 10§10.2", Check: checkShareTime,
		Sentence: "takes every ntime from the job's min_ntime on that consensus does, and none else",
		Tests:    []string{"pool TestChannel_TimesFollowTheJob"},
	},
	{
		Number: 153, Mark: Must, Source: "05§5.3.15-16", Check: checkShareVersion,
		Sentence: "refuses a version with a bit changed that may not be rolled",
	},
	{
		Number: 154, Mark: Impl, Source: "05§5.3.14", Check: checkDuplicate,
		Sentence: "refuses a share that was submitted before on the channel",
		Tests:    []string{"pool TestRecord_NeverForgetsAndNeverInvents"},
	},
	{
		Number: 155, Mark: Must, Source: "05§5.3.14", Check: checkRefusals,
		Sentence: "answers every bad share by Error with its sequence_number, at once",
	},
	{
		Number: 156, Mark: Must, Source: "05§5.3.13", Check: checkBatches, Waits: WaitAck,
		Sentence: "counts each accepted share in one SubmitShares.Success",
	},
	{
		Number: 157, Mark: Must, Source: "05§5.3.13", Check: checkLastSequence, Waits: WaitAck,
		Sentence: "names the sequence_number of the latest accepted share, rising or not",
	},
	{
		Number: 158, Mark: Must, Source: "05§5.3.13", Check: checkShareSum, Waits: WaitAck,
		Sentence: "sums up the difficulties of the jobs in new_shares_sum, fractions carried",
		Tests:    []string{"stratum TestAcks_CarryTheFraction"},
	},
	{
		Number: 159, Mark: Impl, Source: "05§5.3.13", Check: checkAckInTime, Waits: WaitAck,
		Sentence: "acknowledges a single share in time",
	},
	{
		Number: 160, Mark: Impl, Source: "05§5.3.9, §5.3.13", Check: checkAckBeforeClose,
		Sentence: "acknowledges what it has accepted before a channel closes",
		Tests:    []string{"stratum TestServer_DrainsWithoutLosingAnAcknowledgement"},
	},
	{
		Number: 161, Mark: Impl, Source: "05§5.3.14", Check: checkBlockBelowShare,
		Needs:    []string{VerbBlocks},
		Sentence: "takes a block that misses its job's target, and gives no credit for it",
	},
	{
		Number: 162, Mark: Must, Source: "03§3, 07§7.7", Check: checkBlock, Needs: []string{VerbBlocks},
		Sentence: "hands a found block on at once",
	},
	{
		Number: 163, Mark: Should, Source: "05§5.3.14, 10§10.3",
		Sentence: "queues shares for a prev_hash that it has not seen yet",
		Reason: "a share names a job, never a prev_hash: only a custom job can be ahead of the pool's tip, " +
			"and a pool that refuses work selection has none",
		Tests: []string{"stratum TestSV2_163_RefusesCustomJobs"},
	},
	{
		Number: 164, Mark: Impl, Source: "05§5.3.15", Check: checkFutureShare,
		Sentence: "refuses a share of a job that is not active yet",
	},
	{
		Number: 165, Mark: Impl, Source: "05§5.3.14", Check: checkNeighbours,
		Sentence: "lets no bad share of one channel touch another",
	},
	{
		Number: 166, Mark: Must, Source: "X2§1.2-1.3", Check: checkNamedShares,
		Sentence: "takes shares with a user_identity and without, negotiated or not",
		Tests: []string{
			"stratum TestSV2_166_CreditsTheNamedWorker",
			"stratum TestSV2_166_NeedsNegotiationAndCountsMissingNames",
		},
	},
}

// both are channels of both kinds on one connection.
func both(t *T) (c *Conn, list []*Channel) {
	c = t.Setup(0)
	return c, []*Channel{c.OpenStandard(), c.OpenExtended()}
}

func checkShareKind(t *T) {
	c, list := both(t)
	std, ext := list[0].Mine(list[0].Work()), list[1].Mine(list[1].Work())
	c.Send(sv2.SubmitSharesExtended{
		ChannelID: std.Channel.ID, Sequence: std.Sequence, JobID: std.JobID, Nonce: std.Nonce, Time: std.Time,
		Version: std.Version,
	}, sv2.SubmitSharesStandard{
		ChannelID: ext.Channel.ID, Sequence: ext.Sequence, JobID: ext.JobID, Nonce: ext.Nonce, Time: ext.Time,
		Version: ext.Version,
	}, sv2.SubmitSharesStandard{ChannelID: 0x7ffffff0, Sequence: 9, JobID: std.JobID, Version: std.Version})
	c.Fence()
	refused := Taken[sv2.SubmitSharesError](c)
	if len(refused) != 3 || refused[0].ChannelID != std.Channel.ID ||
		refused[1].ChannelID != ext.Channel.ID ||
		refused[2].ChannelID != 0x7ffffff0 {
		t.Failf("expected SubmitShares.Error for the other kind's message on both channels and "+
			"for an unknown channel, got %+v", refused)
	}
	std.Accepted("the same share in the message of its kind")
	ext.Accepted("the same share in the message of its kind")
}

func checkShareExtranonce(t *T) {
	ch := t.Setup(0).OpenExtended()
	j := ch.Work()
	for _, size := range []int{0, 1, ch.Size - 1, ch.Size + 1, 32} {
		if size == ch.Size || size < 0 || size > 32 {
			continue
		}
		extranonce := make([]byte, size)
		ch.Mine(j, func(s *Share) { s.Extranonce = extranonce }).
			Refused("a share with an extranonce of another size than granted")
	}
	ch.Mine(j).Accepted("a share with an extranonce of the size that was granted")
}

const day = 86400

func checkShareTime(t *T) {
	_, list := both(t)
	for _, ch := range list {
		j := ch.Work()
		now := uint32(time.Now().Unix())
		elapsed := uint32(time.Since(j.Tip.At).Seconds())
		good := []uint32{
			j.MinTime, j.MinTime + elapsed, j.MinTime + 1, j.MinTime + 2, max(now, j.MinTime),
			j.MinTime + 7200,
		}
		for _, at := range good {
			ch.Mine(j, func(s *Share) { s.Time = at }).Accepted("a share with an ntime within consensus")
		}
		for _, at := range []uint32{0, j.MinTime - day, j.MinTime + 2*day, math.MaxUint32} {
			ch.Mine(j, func(s *Share) { s.Time = at }).Refused("a share with an ntime that no block may have")
		}
	}
}

func checkShareVersion(t *T) {
	_, list := both(t)
	for _, ch := range list {
		j := ch.Work()
		for bit := range 32 {
			if flip := uint32(1) << bit; flip&rollable == 0 {
				ch.Mine(j, func(s *Share) { s.Version ^= flip }).
					Refused("a share with a version bit changed that BIP323 does not give away")
			}
		}
		if j.Rolling { // BIP320 did not give the lowest bit away, BIP323 does
			ch.Mine(j, func(s *Share) { s.Version ^= 1 << 5 }).
				Accepted("a share with bit 5 of its version rolled")
		}
	}
}

func checkDuplicate(t *T) {
	c, list := both(t)
	for _, ch := range list {
		s := ch.Mine(ch.Work())
		s.Accepted("a new share")
		s.Refused("the same share again")
		var shares []*Share
		for range 20 {
			shares = append(shares, ch.Mine(ch.Work()))
			c.Send(shares[len(shares)-1].Message())
		}
		c.Fence()
		if refused := Taken[sv2.SubmitSharesError](c); len(refused) > 0 {
			t.Failf("expected 20 new shares to be accepted, got SubmitShares.Error %q", refused[0].Code)
		}
		for _, again := range shares {
			ch.sequence++
			again.Sequence = ch.sequence
			again.Refused("a share that came before others")
		}
		s.Refused("the first share again")
	}
}

func checkRefusals(t *T) {
	c, list := both(t)
	for _, ch := range list {
		good := ch.Mine(ch.Work())
		var want []uint32
		for i := range uint32(20) {
			bad := *good
			bad.Sequence = 1_000_000_007 * (i + 1)
			bad.JobID = 0x70000000 + i
			want = append(want, bad.Sequence)
			c.Send(bad.Message())
		}
		c.Send(good.Message())
		c.Fence()
		var got []uint32
		for _, m := range Taken[sv2.SubmitSharesError](c) {
			if m.ChannelID != ch.ID || m.Code == "" {
				t.Failf("expected SubmitShares.Error on channel %d with a code, got %+v", ch.ID, m)
			}
			got = append(got, m.Sequence)
		}
		if !slices.Equal(got, want) {
			t.Failf("expected SubmitShares.Error for the sequence numbers %d, got %d", want, got)
		}
	}
}

// acknowledged submits shares and waits until so many were acknowledged; more than those fail the check.
func (ch *Channel) acknowledged(shares []*Share) (all []sv2.SubmitSharesSuccess) {
	t := ch.c.t
	for _, s := range shares {
		ch.c.Send(s.Message())
	}
	var n int
	for n < len(shares) {
		f := ch.c.AwaitFrame("SubmitShares.Success", t.Timeout()+t.Patience(), func(f *Frame) bool {
			m, ok := f.Msg.(sv2.SubmitSharesSuccess)
			return ok && m.ChannelID == ch.ID
		})
		m, _ := f.Msg.(sv2.SubmitSharesSuccess) // just matched
		n += int(m.Accepted)
		all = append(all, m)
	}
	if n > len(shares) {
		t.Failf("expected %d shares to be acknowledged, got %d", len(shares), n)
	}
	return all
}

// batch mines shares and does not submit them.
func (ch *Channel) batch(n int) (list []*Share) {
	for range n {
		list = append(list, ch.Mine(ch.Work()))
	}
	return list
}

func checkBatches(t *T) {
	c, list := both(t)
	for _, ch := range list {
		for _, n := range []int{3, 1, 40, 2} {
			ch.acknowledged(ch.batch(n))
		}
		c.Fence()
		if more := Taken[sv2.SubmitSharesSuccess](c); len(more) > 0 {
			t.Failf("expected each share to be acknowledged once, got one more Success for %d",
				more[0].Accepted)
		}
	}
}

func checkLastSequence(t *T) {
	_, list := both(t)
	for _, ch := range list {
		for _, sequences := range [][]uint32{{1, 2, 3}, {100, 7, 50}, {math.MaxUint32, 0}} {
			shares := ch.batch(len(sequences))
			for i, s := range shares {
				s.Sequence = sequences[i]
			}
			all := ch.acknowledged(shares)
			if got, want := all[len(all)-1].LastSequence, sequences[len(sequences)-1]; got != want {
				t.Failf("expected last_sequence_number %d after shares %d, got %d", want, sequences, got)
			}
		}
	}
}

func checkShareSum(t *T) {
	_, list := both(t)
	for _, ch := range list {
		var want float64
		var got uint64
		for range 3 {
			shares := ch.batch(10)
			for _, s := range shares {
				want += s.Job.Target.Difficulty()
			}
			for _, m := range ch.acknowledged(shares) {
				got += m.SharesSum
			}
		}
		if math.Abs(float64(got)-want) > 1 {
			t.Failf("expected new_shares_sum to come to %.3g over 30 shares, within 1, got %d", want, got)
		}
	}
}

func checkAckInTime(t *T) {
	_, list := both(t)
	for _, ch := range list {
		ch.acknowledged(ch.batch(1))
	}
}

func checkAckBeforeClose(t *T) {
	c, list := both(t)
	for _, ch := range list {
		shares := ch.batch(3)
		for _, s := range shares {
			s.Accepted("a share")
		}
		if f, err := c.next(moment); err == nil { // until what was accepted is written down
			c.put = append(c.put, f)
		}
		c.Send(sv2.CloseChannel{ChannelID: ch.ID, Reason: "rule SV2-160"})
		c.Fence()
		var n int
		for _, m := range Taken[sv2.SubmitSharesSuccess](c) {
			n += int(m.Accepted)
		}
		if n != len(shares) {
			t.Failf("expected %d accepted shares to be acknowledged before the channel closed, got %d",
				len(shares), n)
		}
	}
}

// blocks are the hashes that the pool handed on, by what explorers write.
func (t *T) blocks() (list []string) {
	t.Control().Get(t, VerbBlocks, &list)
	return list
}

// handedOn waits until the pool has handed a block on.
func (t *T) handedOn(hash [32]byte) {
	slices.Reverse(hash[:])
	name := hex.EncodeToString(hash[:])
	for end := time.Now().Add(t.Patience()); !slices.Contains(t.blocks(), name); {
		if time.Now().After(end) {
			t.Failf("expected block %s to be handed on, it was not after %v", name, t.Patience())
		}
	}
}

func checkBlock(t *T) {
	_, list := both(t)
	for _, ch := range list {
		j := ch.Work()
		network := NetworkTarget(j.Tip.Bits)
		s := ch.MineWhere(j, network.Hashes(), network.Meets)
		s.Accepted("a share that is a block")
		t.handedOn(s.Hash)
	}
}

func checkBlockBelowShare(t *T) {
	_, list := both(t)
	for _, ch := range list {
		ch.Work()
		ch.narrow(1 << 20)
		j := ch.Work()
		network := NetworkTarget(j.Tip.Bits)
		if j.Target.Cmp(network) >= 0 {
			t.NA("the pool gives no work that is harder than a block")
		}
		s := ch.MineWhere(j, network.Hashes(), func(h [32]byte) bool {
			return network.Meets(h) &&
				!j.Target.Meets(h)
		})
		s.Refused("a block that misses its job's target")
		t.handedOn(s.Hash)
		if s.Refused("the same block again"); count(t.blocks(), s.Hash) != 1 {
			t.Failf("expected a block to be handed on once")
		}
	}
}

func count(names []string, hash [32]byte) (n int) {
	slices.Reverse(hash[:])
	name := hex.EncodeToString(hash[:])
	for _, other := range names {
		if other == name {
			n++
		}
	}
	return n
}

func checkFutureShare(t *T) {
	_, list := both(t)
	for _, ch := range list {
		ch.Work()
		ch.c.Fence()
		var waiting *Job
		for _, j := range ch.Jobs {
			if j.Tip == nil {
				waiting = j
			}
		}
		if waiting == nil {
			t.NA("the pool sends no future jobs ahead")
		}
		ch.MineWhere(waiting, ch.Target.Hashes(), func(h [32]byte) bool {
			return ch.Target.Meets(h)
		}, func(s *Share) { s.Time = ch.Work().MinTime }).Refused("a share of a job that is not active")
	}
}

func checkNeighbours(t *T) {
	c := t.Setup(0)
	list := members(c)
	for _, bad := range list {
		j := bad.Work()
		for range 5 {
			s := bad.Mine(j)
			s.JobID = 0x7ffffff0
			s.Refused("a share of no job")
			s = bad.MineAbove(j)
			s.Refused("a share above its target")
			c.Send(sv2.SubmitSharesExtended{
				ChannelID: bad.ID, JobID: j.ID, Version: j.Version, Time: j.MinTime,
				Extranonce: make([]byte, 3),
			})
		}
		for _, other := range list {
			if other != bad {
				other.Mine(other.Work()).Accepted("a share of a channel beside one with bad shares")
			}
		}
	}
}

func checkNamedShares(t *T) {
	name := sv2.TLV{Extension: sv2.ExtWorkerIdentity, Field: sv2.FieldUserIdentity, Value: []byte("rig")}
	plain := t.Setup(0).OpenExtended()
	plain.submitWith(name, "a share with a user_identity that was not negotiated")
	c := t.Setup(0)
	c.negotiate(sv2.ExtWorkerIdentity)
	ch := c.OpenExtended()
	ch.submitWith(name, "a share with a user_identity")
	ch.Mine(ch.Work()).Accepted("a share without a user_identity")
	name.Value = nil
	ch.submitWith(name, "a share with an empty user_identity")
}

func (ch *Channel) submitWith(tlv sv2.TLV, what string) {
	s := ch.Mine(ch.Work())
	ch.c.SendPlain(sv2.AppendTLV(s.Message().AppendFrame(nil), 0, tlv))
	if code := ch.Refusal(s.Sequence); code != "" {
		ch.c.t.Failf("expected %s to be accepted, got %q", what, code)
	}
}
