package conformance

import (
	"bytes"
	"math"
	"time"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// groupRules are section 4.5.
var groupRules = []Rule{
	{
		Number: 80, Mark: Must, Source: "05§5.3.22", Check: checkRegroupAlone, Frame: kept(80),
		Sentence: "sends no SetGroupChannel where standard jobs are required",
	},
	{
		Number: 81, Mark: Must, Source: "05§5.3.22", Check: checkRegroup, Frame: kept(81),
		Sentence: "never takes the id of a channel for a group, nor the other way round",
	},
	{
		Number: 82, Mark: Must, Source: "05§5.3.16", Check: checkGroupJob,
		Needs: []string{VerbTemplate}, Alone: true,
		Sentence: "takes shares of every member for a job of the group",
	},
	{
		Number: 83, Mark: Must, Source: "05§5.3.17, §5.3.21", Check: checkGroupTip,
		Needs: []string{VerbTip}, Alone: true,
		Sentence: "moves every member by a SetNewPrevHash of the group",
	},
	{
		Number: 84, Mark: Must, Source: "05§5.3.9", Check: checkCloseGroup,
		Sentence: "closes all members at CloseChannel for their group",
	},
	{
		Number: 85, Mark: Must, Source: "05§5.3.9", Check: checkCloseChannel, Frame: kept(85),
		Sentence: "sends nothing more for a closed channel and refuses its shares",
	},
	{
		Number: 86, Mark: Impl, Source: "05§5.3.9", Check: checkCloseUnknown,
		Sentence: "ignores CloseChannel for an unknown id",
	},
	{
		Number: 87, Mark: Must, Source: "05§5.3.8", Check: checkUpdate,
		Sentence: "answers UpdateChannel with Error if it is invalid, and else not at all",
	},
	{
		Number: 88, Mark: Must, Source: "05§5.3.7", Check: checkNarrowed,
		Sentence: "lowers the target and sends SetTarget if maximum_target falls below it",
	},
	{
		Number: 89, Mark: Impl, Source: "05§5.3.7", Check: checkWidened,
		Sentence: "looks at the target anew if UpdateChannel allows an easier one",
	},
	{
		Number: 90, Mark: Should, Source: "05§5.3.7", Check: checkUpdateStorm,
		Sentence: "(proxy) sends UpdateChannel once a second at most; (pool) bounds what more of them cost",
	},
	{
		Number: 91, Mark: Must, Source: "05§5.3.7, §5.3.9",
		Sentence: "(proxy) tells the pool of miners that come and go by UpdateChannel or CloseChannel",
		Reason:   "a duty of proxies",
	},
	{
		Number: 92, Mark: Must, Source: "05§5.3.10", Check: checkNewPrefix, Frame: kept(92),
		Needs:    []string{VerbPrefix},
		Sentence: "changes the prefix of a channel, never of a group, for the jobs that come after it",
	},
	{
		Number: 93, Mark: Impl, Source: "05§5.3.10", Check: checkNewPrefix, Frame: kept(93),
		Needs:    []string{VerbPrefix},
		Sentence: "keeps the length of the extranonce when it changes a prefix",
	},
}

// members opens channels of both kinds.
func members(c *Conn) []*Channel {
	list := []*Channel{c.OpenStandard(), c.OpenExtended(), c.OpenStandard(), c.OpenExtended()}
	for _, ch := range list {
		ch.Work()
	}
	return list
}

// renewed makes the pool send other transactions and waits until every channel has a job of them.
func (t *T) renewed(list ...*Channel) {
	before := make([]*Job, len(list))
	for i, ch := range list {
		ch.c.Fence()
		before[i] = ch.Active()
	}
	t.Control().Do(t, VerbTemplate, nil)
	for i, ch := range list {
		ch.until("a job of a new template", func() bool {
			return ch.Active() != before[i] && !ch.Active().
				Future
		})
	}
}

// moved makes the pool see a new block and waits until every channel is on it, with a full job.
func (t *T) moved(list ...*Channel) {
	before := make([]int, len(list))
	for i, ch := range list {
		ch.c.Fence()
		before[i] = ch.Tips
	}
	t.Control().Do(t, VerbTip, nil)
	for i, ch := range list {
		ch.until("SetNewPrevHash for a new block", func() bool { return ch.Tips > before[i] })
		ch.Work()
	}
}

func checkGroupJob(t *T) {
	list := members(t.Setup(0))
	t.renewed(list...)
	for _, ch := range list {
		ch.Mine(ch.Work()).Accepted("a share of each channel after new transactions")
	}
	mineLate(list[0].c)
}

// mineLate mines on channels that came when their group had jobs.
func mineLate(c *Conn) {
	for _, ch := range []*Channel{c.OpenStandard(), c.OpenExtended()} {
		ch.Mine(ch.Work()).Accepted("a share of a channel that came later")
	}
}

func checkGroupTip(t *T) {
	list := members(t.Setup(0))
	t.moved(list...)
	for _, ch := range list {
		ch.Mine(ch.Work()).Accepted("a share of each channel after a new block")
	}
	mineLate(list[0].c)
	t.moved(list...)
	for _, ch := range list[0].c.channels {
		ch.Mine(ch.Work()).Accepted("a share of each channel after one more block")
	}
}

func checkCloseGroup(t *T) {
	c := t.Setup(0)
	list := members(c)
	c.Send(sv2.CloseChannel{ChannelID: list[0].Group, Reason: "rule SV2-084"})
	c.Fence()
	var others int
	for _, ch := range list {
		if ch.Group != list[0].Group {
			others++
			continue
		}
		ch.Mine(ch.Work()).Refused("a share of a member of the closed group")
	}
	if others == len(list)-1 {
		t.NA("the pool puts every channel into a group of its own")
	}
}

func checkCloseChannel(t *T) {
	c := t.Setup(0)
	list := members(c)
	shares := make([]*Share, len(list))
	for i, ch := range list {
		shares[i] = ch.Mine(ch.Work())
		c.Send(sv2.CloseChannel{ChannelID: ch.ID, Reason: "rule SV2-085"})
	}
	c.Fence()
	c.put = nil // what was under way
	for i, ch := range list {
		shares[i].Refused("a share after CloseChannel")
		c.Send(sv2.UpdateChannel{ChannelID: ch.ID, NominalHashRate: 1, MaxTarget: Easiest})
		AwaitThat(c, func(m sv2.UpdateChannelError) bool { return m.ChannelID == ch.ID })
	}
	if t.Control().Has(VerbTemplate) {
		other := t.Setup(0).OpenExtended()
		t.renewed(other)
	}
	c.Fence()
	c.Silent("all channels were closed")
}

func checkCloseUnknown(t *T) {
	c := t.Setup(0)
	ch := c.OpenExtended()
	ch.Work()
	c.Fence()
	c.put = nil
	for _, id := range []uint32{0, 0x7fffffff, math.MaxUint32} {
		if id != ch.ID && id != ch.Group {
			c.Send(sv2.CloseChannel{ChannelID: id, Reason: "rule SV2-086"})
		}
	}
	c.Fence()
	c.Silent("CloseChannel for unknown ids")
	ch.Mine(ch.Work()).Accepted("a share after CloseChannel for unknown ids")
}

func checkUpdate(t *T) {
	for _, extended := range []bool{false, true} {
		c := t.Setup(0)
		ch := c.open(extended)
		ch.Work()
		c.Send(sv2.UpdateChannel{ChannelID: ch.ID, NominalHashRate: 1, MaxTarget: Easiest})
		c.Fence()
		if refused := Taken[sv2.UpdateChannelError](c); len(refused) > 0 {
			t.Failf("expected no answer to a valid UpdateChannel, got Error %q", refused[0].Code)
		}
		for _, rate := range noNumbers {
			c.Send(sv2.UpdateChannel{ChannelID: ch.ID, NominalHashRate: rate, MaxTarget: Easiest})
			c.Fence()
			refused := Taken[sv2.UpdateChannelError](c)
			if len(refused) != 1 || refused[0].ChannelID != ch.ID {
				t.Failf("expected one UpdateChannel.Error for a hashrate of %g on channel %d, got %+v",
					rate, ch.ID, refused)
			}
		}
		ch.Mine(ch.Work()).Accepted("a share after UpdateChannel was refused")
	}
}

// open opens a channel of a kind.
func (c *Conn) open(extended bool) *Channel {
	if extended {
		return c.OpenExtended()
	}
	return c.OpenStandard()
}

// narrow makes the channel's target n times harder by UpdateChannel and waits for a job with it.
func (ch *Channel) narrow(n int64) *Job {
	target, old := ch.Target.Divide(n), ch.Work()
	ch.c.Send(sv2.UpdateChannel{ChannelID: ch.ID, NominalHashRate: 1, MaxTarget: target})
	ch.until("SetTarget of at most the new maximum_target", func() bool { return ch.Target.Cmp(target) <= 0 })
	ch.until("a job with the new target", func() bool {
		return ch.Active() != old && ch.Active().Target.Cmp(target) <= 0
	})
	return ch.Active()
}

func checkNarrowed(t *T) {
	c := t.Setup(0)
	for _, extended := range []bool{false, true} {
		c.open(extended).narrow(64)
	}
}

// easeWithin is how long a pool may take to look at targets anew.
const easeWithin = 20 * time.Second

func checkWidened(t *T) {
	c := t.Setup(0)
	ch := c.OpenExtended()
	easy := ch.Target
	hard := ch.narrow(64).Target
	c.Send(sv2.UpdateChannel{ChannelID: ch.ID, NominalHashRate: 1, MaxTarget: easy})
	c.AwaitFrame("SetTarget after an easier maximum_target", easeWithin, func(f *Frame) bool {
		m, ok := f.Msg.(sv2.SetTarget)
		return ok && (m.ChannelID == ch.ID || m.ChannelID == ch.Group) && Target(m.MaxTarget).Cmp(hard) > 0
	})
}

func checkUpdateStorm(t *T) {
	const updates, most = 200, 20
	c := t.Setup(0)
	ch := c.OpenExtended()
	ch.Work()
	for i := range int64(updates) {
		c.Send(sv2.UpdateChannel{ChannelID: ch.ID, NominalHashRate: 1, MaxTarget: ch.Target.Divide(2 + i%2)})
	}
	c.Fence()
	if n := len(Taken[sv2.SetTarget](c)); n > most {
		t.Failf("expected %d UpdateChannel in a row to change the target %d times at most, got %d", updates,
			most, n)
	}
}

// checkNewPrefix needs new work before and after: the pool may send it, or not.
func checkNewPrefix(t *T) {
	for _, extended := range []bool{false, true} {
		c := t.Setup(0)
		m, s := c.ExtendedRequest(), c.StandardRequest()
		var ch *Channel
		if extended {
			ch = c.OpenExtendedAs(m)
			s.UserIdentity = m.UserIdentity
		} else {
			ch = c.OpenStandardAs(s)
		}
		old, before := ch.Work(), bytes.Clone(ch.Prefix)
		t.Control().Do(t, VerbPrefix, map[string]string{"worker": s.UserIdentity})
		ch.until("SetExtranoncePrefix", func() bool { return !bytes.Equal(ch.Prefix, before) })
		if len(ch.Prefix) != len(before) {
			t.Failf("expected a prefix of %d bytes as before, got %d", len(before), len(ch.Prefix))
		}
		ch.Mine(old).Accepted("a share of a job from before the prefix changed, under the old prefix")
		ch.until("a job under the new prefix", func() bool {
			return bytes.Equal(ch.Active().Prefix,
				ch.Prefix)
		})
		ch.Mine(ch.Active()).Accepted("a share of a job under the new prefix")
	}
}

// soloist is an identity with a payout of its own, for VerbGroup: an address of a test network.
func soloist(name string) string {
	return "sri/solo/bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080/" + name
}

// checkRegroupAlone gives a device that takes only standard jobs another payout, if the pool lets us.
func checkRegroupAlone(t *T) {
	tour(t)
	if !t.Control().Has(VerbGroup) {
		return
	}
	c := t.Setup(sv2.RequiresStandardJobs)
	s := c.StandardRequest()
	s.UserIdentity = soloist("sv2-080")
	ch := c.OpenStandardAs(s)
	old := ch.Work()
	t.Control().Do(t, VerbGroup, Workers{Workers: []string{s.UserIdentity}})
	ch.until("a job of the other payout", func() bool { return ch.Active() != old })
	ch.Mine(ch.Active()).Accepted("a share of a job of the other payout")
	c.Fence()
}

// checkRegroup moves one channel of two to another group, if the pool lets us: both mine on, on a job
// of their group.
func checkRegroup(t *T) {
	checkChannelIDs(t)
	if !t.Control().Has(VerbGroup) {
		return
	}
	c := t.Setup(0)
	first, second := c.ExtendedRequest(), c.ExtendedRequest()
	first.UserIdentity, second.UserIdentity = soloist("sv2-081a"), soloist("sv2-081b")
	stays, moves := c.OpenExtendedAs(first), c.OpenExtendedAs(second)
	before, old := stays.Work(), moves.Work()
	t.Control().Do(t, VerbGroup, Workers{Workers: []string{second.UserIdentity}})
	moves.until("SetGroupChannel", func() bool { return moves.Group != stays.Group })
	moves.until("a job of the other group", func() bool { return moves.Active() != old })
	moves.Mine(moves.Active()).Accepted("a share of a job of the other group")
	stays.Mine(before).Accepted("a share of the group that the other channel left")
	c.Fence()
}
