package conformance

import "github.com/hashlease/hashlease/stratum/sv2"

// difficultyRules are section 4.7.
var difficultyRules = []Rule{
	{
		Number: 130, Mark: Must, Source: "05§5.3.21", Check: checkAboveTarget,
		Sentence: "refuses a share whose hash is above its job's target",
	},
	{
		Number: 131, Mark: Must, Source: "05§5.3.21", Check: checkTargetOfFuture,
		Needs: []string{VerbTip}, Alone: true,
		Sentence: "applies SetTarget to later jobs and to waiting future ones, not to active ones",
	},
	{
		Number: 132, Mark: Impl, Source: "05§5.3.21", Check: checkTargetOfActive,
		Sentence: "judges each share by the target that its job became active with",
	},
	{
		Number: 133, Mark: Must, Source: "05§5.3.2, §5.3.7", Check: checkMaximum, Frame: kept(133),
		Sentence: "never sends a target above the maximum that the client declared",
	},
	{
		Number: 134, Mark: Impl, Source: "05§5.3.21", Check: checkCommanded,
		Needs:    []string{VerbExpect},
		Sentence: "follows a planned change of hashrate by SetTarget and a fresh job, at once",
		Tests:    []string{"stratum TestServer_SendsTargetAndFreshJobOnACommandedThrottle"},
	},
	{
		Number: 135, Mark: Impl, Source: "05§5.3.21", Check: checkComparison,
		Sentence: "compares hash and target as numbers of 256 bits",
		Tests:    []string{"pool TestTarget_ComparesAsNumber"},
	},
	{
		Number: 136, Mark: Impl, Source: "05§5.3.21",
		Sentence: "takes a share whose hash equals the target, and keeps fractions of difficulty",
		Tests: []string{
			"pool TestSV2_136_HashEqualToTargetCounts", "pool TestSV2_136_DifficultyKeepsFractions",
			"stratum TestAcks_CarryTheFraction",
		},
	},
	{
		Number: 137, Mark: Impl, Source: "-",
		Sentence: "eases within bounds when a channel is silent",
		Tests:    []string{"pool TestSV2_137_EasingOnSilenceIsBounded"},
	},
	{
		Number: 138, Mark: Impl, Source: "-",
		Sentence: "converges after steps of -50 % and -90 %, pause and resume",
		Tests:    []string{"pool TestSV2_138_ConvergesAfterSteps"},
	},
}

func checkAboveTarget(t *T) {
	c := t.Setup(0)
	for _, ch := range []*Channel{c.OpenStandard(), c.OpenExtended()} {
		for range 8 {
			ch.MineAbove(ch.Work()).Refused("a share above its job's target")
			ch.Mine(ch.Work()).Accepted("a share below its job's target")
		}
	}
}

// MineBetween grinds a share that meets one target and not the other, harder one.
func (ch *Channel) MineBetween(j *Job, met, missed Target) *Share {
	return ch.MineWhere(j, met.Hashes(), func(h [32]byte) bool { return met.Meets(h) && !missed.Meets(h) })
}

func checkTargetOfFuture(t *T) {
	c := t.Setup(0)
	for _, ch := range []*Channel{c.OpenStandard(), c.OpenExtended()} {
		ch.Work()
		easy := ch.Target
		hard := ch.narrow(64).Target
		tips := ch.Tips
		t.Control().Do(t, VerbTip, nil)
		ch.until("SetNewPrevHash for a new block", func() bool { return ch.Tips > tips })
		j := ch.Job(ch.Tip.JobID)
		ch.MineBetween(j, easy, hard).
			Refused("a share above the target that a job activated after SetTarget has")
		ch.Mine(j).Accepted("a share below the target of a job activated after SetTarget")
	}
}

func checkTargetOfActive(t *T) {
	c := t.Setup(0)
	for _, ch := range []*Channel{c.OpenStandard(), c.OpenExtended()} {
		old := ch.Work()
		fresh := ch.narrow(64)
		ch.MineBetween(old, old.Target, fresh.Target).
			Accepted("a share that meets the target its job had when it became active, after SetTarget")
		ch.MineBetween(fresh, old.Target, fresh.Target).
			Refused("a share above the target of the job after SetTarget")
		ch.Mine(fresh).Accepted("a share of the job after SetTarget")
	}
}

// checkMaximum declares harder maxima from the start and later; every SetTarget is looked at.
func checkMaximum(t *T) {
	c := t.Setup(0)
	for _, n := range []int64{1 << 8, 1 << 12} {
		m := c.ExtendedRequest()
		m.MaxTarget = Easiest.Divide(n)
		ch := c.OpenExtendedAs(m)
		if limit := Easiest.Divide(n); ch.Target.Cmp(limit) > 0 {
			t.Failf("expected a target of at most %v, got %v", limit, ch.Target)
		}
		ch.narrow(4)
		// A low hashrate is no reason to go above it.
		c.Send(sv2.UpdateChannel{ChannelID: ch.ID, NominalHashRate: 0.001, MaxTarget: Easiest.Divide(n)})
		c.Fence()
	}
}

func checkCommanded(t *T) {
	for _, extended := range []bool{false, true} {
		c := t.Setup(0)
		std, ext := c.StandardRequest(), c.ExtendedRequest()
		std.NominalHashRate, ext.NominalHashRate = 1e12, 1e12
		var ch *Channel
		worker := std.UserIdentity
		if extended {
			ch, worker = c.OpenExtendedAs(ext), ext.UserIdentity
		} else {
			ch = c.OpenStandardAs(std)
		}
		ch.Work()
		c.Fence()
		c.put = nil
		before := ch.Target
		// Upwards first: silence never makes work harder, so this can only be the command.
		t.Control().Do(t, VerbExpect, Expectation{Worker: worker, Hashrate: 1e13})
		ch.until("SetTarget after a commanded rise", func() bool { return ch.Target.Cmp(before) < 0 })
		c.Fence()
		c.put, before = nil, ch.Target
		t.Control().Do(t, VerbExpect, Expectation{Worker: worker, Hashrate: 1e11})
		ch.until("SetTarget after a commanded throttle", func() bool { return ch.Target.Cmp(before) > 0 })
		c.put = nil
		if f := c.Next("a fresh job right after SetTarget"); ch.Active().Frame != f {
			t.Failf("expected an active job right after SetTarget, got %v", f)
		}
	}
}

// checkComparison looks for hashes that a comparison of bytes from the front gets wrong.
func checkComparison(t *T) {
	c := t.Setup(0)
	m := c.ExtendedRequest()
	m.MaxTarget = Easiest.Divide(3) // 55 in every byte: the first one decides nothing
	ch := c.OpenExtendedAs(m)
	j := ch.Work()
	first := j.Target[0]
	if first > 0 {
		ch.MineWhere(j, 64, func(h [32]byte) bool { return !j.Target.Meets(h) && h[0] < first }).
			Refused("a share above the target though its first byte is below")
	}
	if first < 0xff {
		ch.MineWhere(j, 64*j.Target.Hashes(), func(h [32]byte) bool {
			return j.Target.Meets(h) &&
				h[0] > first
		}).
			Accepted("a share below the target though its first byte is above")
	}
}
