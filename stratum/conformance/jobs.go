package conformance

import "github.com/hashlease/hashlease/stratum/sv2"

// rollable are the header version bits that BIP323 gives to miners.
const rollable = 0x1fffffe0

// jobRules are section 4.6.
var jobRules = []Rule{
	{
		Number: 100, Mark: Must, Source: "05§5.1.1-2", Check: checkBothKinds, Frame: kept(100),
		Sentence: "sends NewMiningJob to standard channels, NewExtendedMiningJob to extended ones and groups",
	},
	{
		Number: 101, Mark: Must, Source: "05§5.3.15-16", Check: checkGenerations, Frame: kept(101),
		Sentence: "gives no job the id of another one that is valid on the channel", Alone: true,
		Tests: []string{"stratum TestFollow_IsUnderstoodByTheLetter"},
	},
	{
		Number: 102, Mark: Must, Source: "05§5.3.15", Check: checkGenerations, Frame: kept(102),
		Sentence: "sends jobs with min_ntime when there is a tip to mine them on", Alone: true,
	},
	{
		Number: 103, Mark: Must, Source: "05§5.3.17", Check: checkGenerations, Frame: kept(103),
		Sentence: "names a future job of the channel or group in SetNewPrevHash", Alone: true,
	},
	{
		Number: 104, Mark: Must, Source: "05§5.3.17", Check: checkDeadJobs,
		Needs: []string{VerbTip}, Alone: true,
		Sentence: "lets every job die but the one that SetNewPrevHash names",
	},
	{
		Number: 105, Mark: Should, Source: "05§5.3.14", Check: checkStaleCode,
		Needs: []string{VerbTip}, Alone: true,
		Sentence: "calls a share of a dead job stale",
	},
	{
		Number: 106, Mark: Impl, Source: "05§5.3.16", Check: checkPastJobs,
		Needs: []string{VerbTemplate}, Alone: true,
		Sentence: "takes shares of older jobs of the same tip, within a bound",
		Tests:    []string{"pool TestSV2_106_PastJobsAreBounded"},
	},
	{
		Number: 107, Mark: Should, Source: "05§5.1.3", Check: checkFullJob,
		Needs: []string{VerbTip}, Alone: true,
		Sentence: "follows a new tip with a job that has transactions, at once",
	},
	{
		Number: 108, Mark: Must, Source: "05§5.3.15", Check: checkRolledVersions, Frame: kept(108),
		Sentence: "sends a valid header version and lets every BIP323 bit of it be rolled",
	},
	{
		Number: 109, Mark: Must, Source: "05§5.3.1", Check: checkRollingAllowed, Frame: kept(109),
		Sentence: "allows version rolling to a client that requires it",
	},
	{
		Number: 110, Mark: Must, Source: "05§5.3.16", Check: checkUnrolledVersion,
		Sentence: "refuses a share with another version than its job's, if the job forbids rolling",
		Tests:    []string{"pool TestSV2_110_FixedVersionIsKept"},
	},
	{
		Number: 111, Mark: Must, Source: "03§3.7.1, 05§5.3.16", Check: checkDerivation, Frame: kept(111),
		Sentence: "strips BIP141 bytes from the coinbase of extended jobs",
		Tests:    []string{"pool TestSV2_111_BlockHasTheWitnessBack"},
	},
	{
		Number: 112, Mark: Must, Source: "05§5.3.16, §5.1.2.1", Check: checkDerivation, Frame: kept(112),
		Sentence: "counts the full extranonce in the scriptSig of extended jobs",
	},
	{
		Number: 113, Mark: Must, Source: "05§5.3.16", Check: checkDerivation,
		Sentence: "folds merkle_path in order, the running hash on the left",
		Tests:    []string{"pool TestMerklePath_IsThatOfMainnet"},
	},
	{
		Number: 114, Mark: Must, Source: "05§5.1.2.1", Check: checkDerivation,
		Sentence: "derives a standard job's merkle_root as an extended job's with the channel's prefix",
		Tests:    []string{"pool TestSV2_114_RootIsTheSameForBothKinds"},
	},
	{
		Number: 115, Mark: Must, Source: "05§5.1",
		Sentence: "does not make search space by reordering transactions",
		Tests:    []string{"pool TestSV2_115_FreshKeepsTransactions"},
	},
	{
		Number: 116, Mark: Must, Source: "03§3.7", Check: checkCommitment, Frame: kept(116),
		Sentence: "commits to witnesses in the coinbase of a job with transactions",
		Tests:    []string{"pool TestSV2_116_BlockCommitsToWitnesses"},
	},
	{
		Number: 117, Mark: Must, Source: "05§5.1.1",
		Sentence: "gives standard channels new jobs before 2^56 hashes a header second are used up",
		Reason:   "no machine does 72 PH/s: vectors of rate and time, not of messages",
	},
	{
		Number: 118, Mark: Impl, Source: "07§7.2",
		Sentence: "pays out exactly what the template lets the coinbase claim",
		Tests:    []string{"pool TestSV2_118_OutputsSumUp"},
	},
	{
		Number: 119, Mark: Impl, Source: "07§7.1", Check: checkDerivation, Frame: kept(119),
		Sentence: "keeps the scriptSig within the 100 bytes of consensus",
		Tests:    []string{"pool TestSV2_119_ScriptSigFitsWithTheLongestTag"},
	},
	{
		Number: 120, Mark: Must, Source: "05§5.3.1", Check: checkWorkSelection,
		Sentence: "pushes no jobs to a client that selects its work, if it takes one at all",
	},
}

// checkGenerations passes through templates and tips; what came is judged frame by frame.
func checkGenerations(t *T) {
	for _, flags := range []uint32{0, sv2.RequiresStandardJobs} {
		c := t.Setup(flags)
		list := []*Channel{c.OpenStandard(), c.OpenStandard()}
		if flags == 0 {
			list = append(list, c.OpenExtended(), c.OpenExtended())
		}
		for _, ch := range list {
			ch.Work()
		}
		for range 3 {
			if t.Control().Has(VerbTemplate) {
				t.renewed(list...)
				t.renewed(list...)
			}
			if t.Control().Has(VerbTip) {
				t.moved(list...)
			}
		}
		for _, ch := range list {
			ch.narrow(2)
		}
		c.Fence()
	}
}

// beforeAndAfter is a share for every job that was valid before a new tip, sent after it, with the
// channel.
func beforeAndAfter(t *T) (late []*Share) {
	list := members(t.Setup(0))
	if t.Control().Has(VerbTemplate) {
		t.renewed(list...)
	}
	for _, ch := range list {
		for _, j := range ch.Jobs {
			if j.Tip != nil {
				late = append(late, ch.Mine(j))
			}
		}
	}
	t.moved(list...)
	return late
}

func checkDeadJobs(t *T) {
	late := beforeAndAfter(t)
	for _, s := range late {
		s.Refused("a share of a job from before SetNewPrevHash")
	}
	for _, ch := range late[0].Channel.c.channels {
		ch.Mine(ch.Work()).Accepted("a share of a job from after SetNewPrevHash")
	}
}

func checkStaleCode(t *T) {
	for _, s := range beforeAndAfter(t) {
		if code := s.Refused("a share of a dead job"); code != "stale-share" {
			t.Failf("expected stale-share for a share of a dead job, got %q", code)
		}
	}
}

func checkPastJobs(t *T) {
	list := members(t.Setup(0))
	for range 4 {
		t.renewed(list...)
	}
	for _, ch := range list {
		for _, j := range ch.Jobs {
			if j.Tip != nil && j.Tip == ch.Tip {
				ch.Mine(j).Accepted("a share of each job since the last tip")
			}
		}
	}
}

func checkFullJob(t *T) {
	ch := t.Setup(0).OpenExtended()
	ch.Work()
	t.moved(ch)
	ch.until("an active job with transactions after a new tip", func() bool {
		return len(ch.Active().Extended.MerklePath) > 0
	})
	ch.Mine(ch.Active()).Accepted("a share of the full job")
}

func checkRolledVersions(t *T) {
	c := t.Setup(sv2.RequiresVersionRolling)
	for _, ch := range []*Channel{c.OpenStandard(), c.OpenExtended()} {
		j := ch.Work()
		for bit := range 32 {
			if flip := uint32(1) << bit; flip&rollable != 0 {
				ch.Mine(j, func(s *Share) { s.Version ^= flip }).
					Accepted("a share with a BIP323 bit of its version rolled")
			}
		}
		ch.Mine(j, func(s *Share) { s.Version ^= rollable }).Accepted("a share with all BIP323 bits rolled")
	}
}

func checkRollingAllowed(t *T) {
	if j := t.Setup(sv2.RequiresVersionRolling).OpenExtended().Work(); !j.Rolling {
		t.Failf("expected version_rolling_allowed, which the client requires")
	}
}

func checkUnrolledVersion(t *T) {
	ch := t.Setup(0).OpenExtended()
	j := ch.Work()
	if j.Rolling {
		t.NA("the pool forbids no version rolling")
	}
	ch.Mine(j, func(s *Share) { s.Version ^= 1 << 13 }).Refused("a share with a rolled version")
	ch.Mine(j).Accepted("a share with the job's version")
}

// checkDerivation lets the pool judge headers that were computed here of what it sent.
func checkDerivation(t *T) {
	c := t.Setup(0)
	ext, std := c.OpenExtended(), c.OpenStandard()
	for range 4 {
		if t.Control().Has(VerbTemplate) {
			t.renewed(ext, std)
		}
		ext.Mine(ext.Work()).Accepted("a share of an extended job, its root derived as specified")
		std.Mine(std.Work()).Accepted("a share of a standard channel with the same transactions")
	}
}

func checkCommitment(t *T) {
	ch := t.Setup(0).OpenExtended()
	ch.until("a job with transactions", func() bool {
		return ch.Active() != nil && len(ch.Active().Extended.MerklePath) > 0
	})
}

func checkWorkSelection(t *T) {
	c := t.Dial()
	c.Send(t.SetupRequest(sv2.RequiresWorkSelection | sv2.RequiresVersionRolling))
	f := c.Next("an answer to SetupConnection")
	switch m := f.Msg.(type) {
	case sv2.SetupConnectionError:
		if m.Flags != sv2.RequiresWorkSelection {
			t.Failf("expected SetupConnection.Error to name work selection (0x%x) alone, got flags 0x%x",
				sv2.RequiresWorkSelection, m.Flags)
		}
		return
	case sv2.SetupConnectionSuccess:
	default:
		t.Failf("expected an answer to SetupConnection, got %v", f)
	}
	c.OpenExtended()
	c.Fence()
	c.Silent("a channel was opened for a client that selects its work")
}
