package conformance

import "github.com/hashlease/hashlease/stratum/sv2"

// tour makes the pool send one of most messages, for rules that look at all frames: a rule that is run
// by itself shall have seen something.
func tour(t *T) {
	c := t.Setup(0)
	std := c.OpenStandard()
	ext := c.OpenExtended()
	for _, ch := range []*Channel{std, ext} {
		ch.Work()
		c.Send(sv2.UpdateChannel{ChannelID: ch.ID, NominalHashRate: 1, MaxTarget: Easiest.Divide(2)})
	}
	c.Send(sv2.SubmitSharesStandard{ChannelID: std.ID, Sequence: 1, JobID: 0xfffffff0})
	bad := c.StandardRequest()
	bad.MaxTarget = Target{} // no hash is below it
	c.Send(bad)
	c.Fence()
	c.Send(sv2.RequestExtensions{RequestID: 7, Requested: []uint16{stranger}})
	c.Fence()
	refused := t.Dial()
	refused.Send(t.SetupRequest(1 << 31))
	refused.Ended("a refused SetupConnection")
}
