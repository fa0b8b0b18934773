package stratum

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// minerModel is a client by the letter of sv2-spec 05: it knows nothing but the messages, and makes shares.
type minerModel struct {
	legal    *followers
	channels map[uint32]*minedChannel
	nonce    uint32 // the last that was used, never twice
}

// minedChannel is what a client has to know of a channel.
type minedChannel struct {
	kind         pool.Kind
	id, group    uint32
	prefix       []byte
	roll         int
	target       pool.Target
	prev         [32]byte
	bits         uint32
	future, live map[uint32]*minedJob
	dead         []uint32 // ids of the tip before
}

// minedJob is a job as it was sent; its target is the one of the time when it became active.
type minedJob struct {
	id, version, minTime uint32
	head, tail           []byte // the coinbase around the free part of the extranonce
	path                 [][32]byte
	root                 *[32]byte // of a standard job
	target               pool.Target
}

func sha256d(b []byte) [32]byte {
	first := sha256.Sum256(b)
	return sha256.Sum256(first[:])
}

// hash is that of the header of a share, by the job as it was sent.
func (j *minedJob) hash(c *minedChannel, s pool.Share) [32]byte {
	var root [32]byte
	if j.root != nil {
		root = *j.root
	} else {
		root = sha256d(slices.Concat(j.head, s.Extranonce, j.tail))
		for _, p := range j.path {
			root = sha256d(slices.Concat(root[:], p[:]))
		}
	}
	h := binary.LittleEndian.AppendUint32(nil, s.Version)
	h = slices.Concat(h, c.prev[:], root[:])
	for _, n := range []uint32{s.Time, c.bits, s.Nonce} {
		h = binary.LittleEndian.AppendUint32(h, n)
	}
	return sha256d(h)
}

func (m *minerModel) take(msg sv2.Message) error {
	switch msg.(type) {
	case sv2.SubmitSharesError, sv2.SubmitSharesSuccess:
		return nil // the server's counters say more
	}
	if err := m.legal.take(msg); err != nil {
		return err
	}
	switch msg := msg.(type) {
	case sv2.OpenStandardMiningChannelSuccess:
		m.open(minedChannel{
			kind: pool.Standard, id: msg.ChannelID, group: msg.GroupChannelID,
			prefix: msg.ExtranoncePrefix, target: pool.TargetFromBytes(&msg.Target),
		})
	case sv2.OpenExtendedMiningChannelSuccess:
		m.open(minedChannel{
			kind: pool.Extended, id: msg.ChannelID, group: msg.GroupChannelID,
			prefix: msg.ExtranoncePrefix, roll: int(msg.ExtranonceSize),
			target: pool.TargetFromBytes(&msg.Target),
		})
	case sv2.NewMiningJob:
		m.channels[msg.ChannelID].add(&minedJob{
			id: msg.JobID, version: msg.Version, minTime: msg.MinTime, root: (*[32]byte)(&msg.MerkleRoot),
		}, msg.Future)
	case sv2.NewExtendedMiningJob:
		for _, c := range m.members(msg.ChannelID) {
			j := &minedJob{
				id: msg.JobID, version: msg.Version, minTime: msg.MinTime,
				head: slices.Concat(msg.CoinbasePrefix, c.prefix), tail: slices.Clone(msg.CoinbaseSuffix),
			}
			for _, p := range msg.MerklePath {
				j.path = append(j.path, p)
			}
			c.add(j, msg.Future)
		}
	case sv2.SetNewPrevHash:
		for _, c := range m.members(msg.ChannelID) {
			c.activate(msg)
		}
	case sv2.SetTarget:
		for _, c := range m.members(msg.ChannelID) {
			c.target = pool.TargetFromBytes(&msg.MaxTarget)
		}
	case sv2.SetExtranoncePrefix:
		m.channels[msg.ChannelID].prefix = slices.Clone(msg.ExtranoncePrefix)
	case sv2.SetGroupChannel:
		for _, id := range msg.ChannelIDs {
			m.channels[id].group = msg.GroupChannelID
		}
	}
	return nil
}

func (m *minerModel) open(c minedChannel) {
	c.prefix = slices.Clone(c.prefix)
	c.future, c.live = map[uint32]*minedJob{}, map[uint32]*minedJob{}
	m.channels[c.id] = &c
}

func (m *minerModel) members(id uint32) (all []*minedChannel) {
	for each, c := range m.channels {
		if each == id || c.group == id {
			all = append(all, c)
		}
	}
	return all
}

func (c *minedChannel) add(j *minedJob, future bool) {
	if future {
		c.future[j.id] = j
		return
	}
	j.target = c.target
	c.live[j.id] = j
}

func (c *minedChannel) activate(m sv2.SetNewPrevHash) {
	j := c.future[m.JobID]
	c.dead = c.dead[:0]
	for id := range c.live {
		c.dead = append(c.dead, id)
	}
	j.target, j.minTime = c.target, m.MinTime
	c.prev, c.bits = m.PrevHash, m.Bits
	c.live, c.future = map[uint32]*minedJob{j.id: j}, map[uint32]*minedJob{}
}

// share looks for one on a job, and for a hash that just is none; false if it takes too long.
func (m *minerModel) share(c *minedChannel, j *minedJob, good bool) (pool.Share, bool) {
	s := pool.Share{JobID: j.id, Version: j.version, Time: max(j.minTime, uint32(time.Now().Unix()))}
	if c.kind == pool.Extended {
		s.Extranonce = make([]byte, c.roll)
	}
	for range 1 << 12 {
		m.nonce++
		s.Nonce, s.Sequence = m.nonce, m.nonce
		hash := j.hash(c, s)
		if j.target.Meets(&hash) == good {
			return s, true
		}
	}
	return s, false
}

// modelRun is a session against its model.
type modelRun struct {
	t      *testing.T
	rt     *rapid.T
	s      *session
	client *noise.Conn
	chain  *chain
	miner  *minerModel
	seq    uint64
}

// hear gives the model everything that was sent.
func (r *modelRun) hear() {
	for _, m := range messages(r.t, r.s, r.client) {
		if err := r.miner.take(m); err != nil {
			r.rt.Fatal(err)
		}
	}
}

// channel is any open one, nil if there is none.
func (r *modelRun) channel() *minedChannel {
	ids := make([]uint32, 0, len(r.miner.channels))
	for id := range r.miner.channels {
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	return r.miner.channels[rapid.SampledFrom(ids).Draw(r.rt, "channel")]
}

// counted submits a share and says whether it was accepted.
func (r *modelRun) counted(c *minedChannel, s pool.Share) bool {
	before := r.s.srv.counts.accepted.Load()
	r.s.submit(c.id, s, c.kind, nil, time.Now())
	return r.s.srv.counts.accepted.Load() > before
}

// mine submits what the model thinks good, too easy, or late.
func (r *modelRun) mine(c *minedChannel) {
	ids := make([]uint32, 0, len(c.live))
	for id := range c.live {
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return
	}
	slices.Sort(ids)
	j := c.live[rapid.SampledFrom(ids).Draw(r.rt, "job")]
	good := rapid.IntRange(0, 3).Draw(r.rt, "good") > 0
	s, ok := r.miner.share(c, j, good)
	if !ok {
		return
	}
	if r.counted(c, s) != good {
		r.rt.Fatalf("share on job %d of channel %d: the pool and a miner that heard %s disagree",
			j.id, c.id, fmt.Sprint(j.target))
	}
	if good && r.counted(c, s) {
		r.rt.Fatalf("a share on job %d of channel %d counted twice", j.id, c.id)
	}
	for _, id := range c.dead {
		if s.JobID = id; c.live[id] == nil && r.counted(c, s) {
			r.rt.Fatalf("a share on the dead job %d of channel %d counted", id, c.id)
		}
	}
}

// others are payouts of miners for themselves.
var others = []pool.Payout{
	{Script: "\x51miner"}, {Script: "\x51miner", Percent: 10}, {Script: "\x51other"},
}

func (r *modelRun) step() {
	now := time.Now()
	step := rapid.SampledFrom([]string{
		"publish", "open", "expect", "close", "prefix", "payout", "update", "mine", "mine", "mine", "mine",
	}).Draw(r.rt, "step")
	c := r.channel()
	switch {
	case step == "publish":
		r.s.followRound(r.chain.step(r.rt), now)
	case step == "open" || c == nil:
		kinds := []pool.Kind{pool.Standard, pool.Extended}
		if r.s.standardOnly {
			kinds = kinds[:1]
		}
		r.s.open(opening{
			identity:  rapid.SampledFrom([]string{"a.b", "a.c", "miner.1", "tither.1"}).Draw(r.rt, "who"),
			kind:      rapid.SampledFrom(kinds).Draw(r.rt, "kind"),
			maxTarget: pool.MaxTarget, nominal: 1000,
		}, now)
	case step == "expect":
		r.seq++
		rate := unit.Hashrate(rapid.Float64Range(0, 1e5).Draw(r.rt, "rate"))
		for _, l := range r.chain.fleet.Links("a.b") {
			l.Expect(fleet.Expectation{Seq: r.seq, Hashrate: rate})
		}
		r.s.expect(now)
	case step == "close":
		r.s.closeChannel(c.id, now)
		delete(r.miner.channels, c.id)
		r.miner.legal.channels[c.id].closed = true
	case step == "prefix":
		if err := r.s.srv.SetPrefix(r.s.id, c.id); err != nil {
			r.rt.Fatal(err)
		}
	case step == "payout":
		p := rapid.SampledFrom(others).Draw(r.rt, "payout")
		solo := r.s.channels[c.id].group.payout.Solo()
		if err := r.s.srv.SetPayout(r.s.id, c.id, p); (err == nil) != solo {
			r.rt.Fatalf("changing the payout of a channel that is solo: %v", solo)
		}
	case step == "update":
		hard := pool.TargetForHashes(float64(rapid.IntRange(1, 200).Draw(r.rt, "hashes")))
		r.s.update(sv2.UpdateChannel{ChannelID: c.id, NominalHashRate: 1, MaxTarget: hard.Bytes()}, now)
	default:
		r.mine(c)
	}
	r.hear()
}

// Ensure that whatever happens to a connection, every share that a miner makes from nothing but the
// messages counts exactly if the miner thinks so, on old jobs and new ones, and once (SV2-082,
// SV2-092, SV2-101 to SV2-106).
func TestSession_AgreesWithAMinerThatKnowsTheMessages(t *testing.T) {
	for _, flags := range []uint32{0, sv2.RequiresStandardJobs} {
		t.Run(fmt.Sprint("flags ", flags), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				b := newBench(t, nil)
				s, client := b.tcpSession()
				defer s.close(errPeerGone)
				s.srv.rooms.Solo = soloists
				s.standardOnly = flags != 0
				r := &modelRun{
					t: t, rt: rt, s: s, client: client, chain: &chain{bench: b, height: 100, prev: 1},
					miner: &minerModel{legal: newFollowers(), channels: map[uint32]*minedChannel{}},
				}
				for range rapid.IntRange(5, 50).Draw(rt, "steps") {
					r.step()
				}
				n, accepted := len(s.shard.swapAccepted(nil)), s.srv.counts.accepted.Load()
				if uint64(n) != accepted {
					rt.Fatalf("%d shares go to the journal, %d were accepted", n, accepted)
				}
			})
		})
	}
}
