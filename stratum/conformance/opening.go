package conformance

import (
	"bytes"
	"fmt"
	"math"
	"strings"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// openingRules are section 4.4.
var openingRules = []Rule{
	{
		Number: 60, Mark: Must, Source: "05§5.2.2", Check: checkBothKinds,
		Sentence: "opens extended channels, and standard ones unless its flags say extended alone",
	},
	{
		Number: 61, Mark: Must, Source: "05§5.3.2", Check: checkRequestID, Frame: kept(61),
		Sentence: "echoes the request_id of an opening and does not interpret it",
	},
	{
		Number: 62, Mark: Must, Source: "05§5.2, §5.2.3", Check: checkChannelIDs, Frame: kept(62),
		Sentence: "gives every channel of a connection an id of its own, never used again",
	},
	{
		Number: 63, Mark: Must, Source: "05§5.3.2", Check: checkMaxTarget, Frame: kept(63),
		Sentence: "assigns a target of at most max_target, or answers Error",
	},
	{
		Number: 64, Mark: Impl, Source: "05§5.3.2", Check: checkFloor,
		Sentence: "keeps a minimum difficulty of its own, whatever a client declares",
	},
	{
		Number: 65, Mark: Must, Source: "05§5.3.2", Check: checkNominal,
		Sentence: "takes a nominal_hash_rate of 0.0 and refuses what is no number",
	},
	{
		Number: 66, Mark: Must, Source: "05§5.3.4-5", Check: checkExtranonceSize, Frame: kept(66),
		Sentence: "grants min_extranonce_size or more within 32 bytes in all, or answers Error",
	},
	{
		Number: 67, Mark: Must, Source: "05§5.1", Check: checkPrefixesApart,
		Sentence: "gives live channels extranonce prefixes that do not overlap",
		Tests: []string{
			"pool TestSV2_067_PrefixesNeverOverlap", "stratum TestHandover_SearchSpacesDoNotOverlap",
		},
	},
	{
		Number: 68, Mark: Impl, Source: "05§5.1", Check: checkPrefixRests,
		Sentence: "does not give a released prefix away while jobs made under it may live",
		Tests:    []string{"pool TestSV2_067_PrefixesNeverOverlap"},
	},
	{
		Number: 69, Mark: Must, Source: "05§5.2.1, §5.3.1", Check: checkStandardOnly, Frame: kept(69),
		Sentence: "opens no extended channel and sends no extended job where standard jobs are required",
	},
	{
		Number: 70, Mark: Must, Source: "05§5.2.3", Check: checkBothKinds, Frame: kept(70),
		Sentence: "puts every channel into a group, whose id is no channel's",
	},
	{
		Number: 71, Mark: Must, Source: "05§5.1.2.1, §5.2.3", Check: checkBothKinds, Frame: kept(71),
		Sentence: "gives all members of a group extranonces of the same length",
	},
	{
		Number: 72, Mark: Must, Source: "05§5.3.15", Check: checkFirstJob, Frame: kept(72),
		Sentence: "follows Success with a future job and the SetNewPrevHash that activates it",
	},
	{
		Number: 73, Mark: Impl, Source: "05§5.3.6", Check: checkUnknownUser,
		Sentence: "refuses an unknown user by Error and keeps the connection",
	},
	{
		Number: 74, Mark: Impl, Source: "05§5.2",
		Sentence: "bounds the channels of a connection, and of all, before it allocates anything",
		Tests:    []string{"stratum TestSV2_074_BoundsChannelsOverAllConnections"},
	},
	{
		Number: 75, Mark: Must, Source: "05§5.3.15-16", Check: checkFirstJob, Frame: kept(75),
		Sentence: "sends a channel its first job on its own id, though it joins a group",
	},
	{
		Number: 76, Mark: Impl, Source: "-",
		Sentence: "binds account and payout to the channel, never to the connection",
		Tests:    []string{"stratum TestSV2_076_CreditsTheChannelsWorker"},
	},
}

// answer is how an opening was answered: a channel, or the code of an Error.
func (c *Conn) answer(request uint32) (*Channel, *sv2.OpenMiningChannelError) {
	var ch *Channel
	var refused *sv2.OpenMiningChannelError
	c.AwaitFrame("an answer to the opening of a channel", c.t.Patience(), func(f *Frame) bool {
		switch m := f.Msg.(type) {
		case sv2.OpenStandardMiningChannelSuccess:
			if m.RequestID == request {
				ch = c.Channel(m.ChannelID)
			}
		case sv2.OpenExtendedMiningChannelSuccess:
			if m.RequestID == request {
				ch = c.Channel(m.ChannelID)
			}
		case sv2.OpenMiningChannelError:
			if m.RequestID == request {
				refused = &m
			}
		}
		return ch != nil || refused != nil
	})
	return ch, refused
}

func checkBothKinds(t *T) {
	c := t.Dial()
	c.Send(t.SetupRequest(0))
	f := c.Next("SetupConnection.Success")
	m, _ := f.Msg.(sv2.SetupConnectionSuccess)
	c.OpenExtended().Work()
	c.Send(c.StandardRequest())
	ch, refused := c.answer(c.requests)
	switch {
	case ch != nil:
		ch.Work()
		c.OpenExtended().Work()
		c.OpenStandard().Work()
	case m.Flags&sv2.RequiresExtendedChannels == 0:
		t.Failf("expected a standard channel, as REQUIRES_EXTENDED_CHANNELS was not set, got Error %q",
			refused.Code)
	}
}

func checkRequestID(t *T) {
	c := t.Setup(0)
	for _, id := range []uint32{0, 7, 7, math.MaxUint32, 1 << 31} {
		std, ext := c.StandardRequest(), c.ExtendedRequest()
		std.RequestID, ext.RequestID = id, id
		c.OpenStandardAs(std)
		c.OpenExtendedAs(ext)
		ext.MinExtranonceSize = 40
		c.Send(ext)
		if ch, _ := c.answer(id); ch != nil {
			t.Failf("expected OpenMiningChannel.Error for 40 bytes of extranonce, got a channel")
		}
	}
}

func checkChannelIDs(t *T) {
	c := t.Setup(0)
	for range 4 {
		var list []*Channel
		for range 8 {
			list = append(list, c.OpenStandard(), c.OpenExtended())
		}
		for _, ch := range list {
			c.Send(sv2.CloseChannel{ChannelID: ch.ID, Reason: "rule SV2-062"})
		}
	}
	c.Fence()
}

func checkMaxTarget(t *T) {
	c := t.Setup(0)
	for _, n := range []int64{2, 3, 1000, 1 << 20, 1 << 40, 1 << 60} {
		std, ext := c.StandardRequest(), c.ExtendedRequest()
		std.MaxTarget, ext.MaxTarget = Easiest.Divide(n), Easiest.Divide(n)
		c.Send(std, ext)
		for _, id := range []uint32{std.RequestID, ext.RequestID} {
			if ch, _ := c.answer(id); ch != nil && ch.Target.Cmp(std.MaxTarget) > 0 {
				t.Failf("expected a target of at most %v, got %v", Target(std.MaxTarget), ch.Target)
			}
		}
	}
	none := c.StandardRequest()
	none.MaxTarget = Target{}
	c.Send(none)
	if ch, _ := c.answer(none.RequestID); ch != nil && ch.Target != (Target{}) {
		t.Failf("expected Error for a max_target of 0, got a channel with target %v", ch.Target)
	}
}

func checkFloor(t *T) {
	c := t.Setup(0)
	for _, nominal := range []float32{0, math.SmallestNonzeroFloat32, 1} {
		std, ext := c.StandardRequest(), c.ExtendedRequest()
		std.NominalHashRate, ext.NominalHashRate = nominal, nominal
		for _, ch := range []*Channel{c.OpenStandardAs(std), c.OpenExtendedAs(ext)} {
			if ch.Target.Hashes() < 2 {
				t.Failf("expected work for %g H/s and max_target ff..ff, got target %v", nominal, ch.Target)
			}
		}
	}
}

// noNumbers are hashrates that cannot be.
var noNumbers = []float32{
	float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), -1, float32(math.Copysign(0, -1)),
}

func checkNominal(t *T) {
	c := t.Setup(0)
	c.OpenStandard()
	c.OpenExtended()
	for _, nominal := range noNumbers {
		std, ext := c.StandardRequest(), c.ExtendedRequest()
		std.NominalHashRate, ext.NominalHashRate = nominal, nominal
		c.Send(std, ext)
		for _, id := range []uint32{std.RequestID, ext.RequestID} {
			if ch, _ := c.answer(id); ch != nil {
				t.Failf("expected Error for a nominal_hash_rate of %g, got channel %d", nominal, ch.ID)
			}
		}
	}
	c.OpenStandard().Work()
}

func checkExtranonceSize(t *T) {
	c := t.Setup(0)
	for _, size := range []uint16{0, 1, 2, 4, 6, 8, 10, 12, 16, 20, 31, 32, 33, 255, 256, math.MaxUint16} {
		m := c.ExtendedRequest()
		m.MinExtranonceSize = size
		c.Send(m)
		ch, refused := c.answer(m.RequestID)
		switch {
		case ch != nil && (ch.Size < int(size) || ch.Size+len(ch.Prefix) > 32):
			t.Failf("expected %d bytes or more within 32, got a prefix of %d and %d", size, len(ch.Prefix),
				ch.Size)
		case refused != nil && size <= 8:
			t.Failf("expected 8 bytes of extranonce and less to be granted, got Error %q for %d",
				refused.Code, size)
		}
	}
}

// prefixes opens channels and is the prefixes of those that are extended and of the others.
func prefixes(c *Conn, n int) (list [][]byte) {
	for range n {
		list = append(list, c.OpenExtended().Prefix, c.OpenStandard().Prefix)
	}
	return list
}

func checkPrefixesApart(t *T) {
	var all [][]byte
	for range 4 {
		all = append(all, prefixes(t.Setup(0), 16)...)
	}
	for i, a := range all {
		for j, b := range all {
			if i != j && bytes.HasPrefix(a, b) {
				t.Failf("expected prefixes of which none begins with another, got %x and %x", a, b)
			}
		}
	}
}

func checkPrefixRests(t *T) {
	c := t.Setup(0)
	var gone [][]byte
	for range 8 {
		for _, ch := range []*Channel{c.OpenExtended(), c.OpenStandard()} {
			ch.Work()
			gone = append(gone, ch.Prefix)
			c.Send(sv2.CloseChannel{ChannelID: ch.ID})
		}
	}
	c.Fence()
	for _, p := range prefixes(t.Setup(0), 8) {
		for _, g := range gone {
			if bytes.HasPrefix(p, g) || bytes.HasPrefix(g, p) {
				t.Failf("expected no prefix whose jobs are alive on this tip, got %x after %x was released",
					p, g)
			}
		}
	}
}

func checkStandardOnly(t *T) {
	c := t.Setup(sv2.RequiresStandardJobs)
	m := c.ExtendedRequest()
	c.Send(m)
	if ch, _ := c.answer(m.RequestID); ch != nil {
		t.Failf("expected Error for an extended channel where standard jobs are required, got channel %d",
			ch.ID)
	}
	for range 2 {
		ch := c.OpenStandard()
		ch.Mine(ch.Work()).Accepted("a share of a standard job")
	}
}

func checkFirstJob(t *T) {
	for _, flags := range []uint32{0, sv2.RequiresStandardJobs, sv2.RequiresVersionRolling} {
		c := t.Setup(flags)
		for range 3 {
			if flags != sv2.RequiresStandardJobs {
				c.OpenExtended().started()
			}
			c.OpenStandard().started()
		}
	}
}

// started waits until the channel has an active job and fails if its first message was no future job.
func (ch *Channel) started() {
	ch.Work()
	if first := ch.Jobs[0]; !first.Future || first.Tip == nil {
		ch.c.t.Failf("expected the first job of channel %d to be future and then activated, got job %d",
			ch.ID, first.ID)
	}
}

func checkUnknownUser(t *T) {
	c := t.Setup(0)
	var refused int
	for _, user := range []string{"", ".", strings.Repeat("x", 255), "\x00\x01\x02", fmt.Sprintf("%c.",
		0x202e)} {
		m := c.StandardRequest()
		m.UserIdentity = user
		c.Send(m)
		if ch, _ := c.answer(m.RequestID); ch == nil {
			refused++
		}
	}
	if refused == 0 {
		t.NA("the pool takes every identity")
	}
	ch := c.OpenStandard()
	ch.Mine(ch.Work()).Accepted("a share after an identity was refused")
}
