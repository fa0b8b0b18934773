package stratum_test

import (
	"testing"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// Ensure that shares are credited to the worker of their channel, whoever else mines on the connection.
func TestSV2_076_CreditsTheChannelsWorker(t *testing.T) {
	w := newWorld(t, easy)
	w.publish(w.template(100, 1, false))
	c := w.setUp(sv2.RequiresStandardJobs)
	shares := map[pool.WorkerID]int{"alice.one": 3, "bob.one": 5, "alice.two": 1}
	for worker, n := range shares {
		channel, job := w.openEasy(c, string(worker))
		for i := range n {
			send(t, c, anyShare(channel, job, uint32(i)))
		}
	}
	eventually(t, "all credited to their own", func() bool {
		for worker, n := range shares {
			if int(w.credited(worker).Shares) != n {
				return false
			}
		}
		return true
	})
}

// Ensure that no job can be on a tip that the server does not know: a custom job is refused, and so is
// work selection, so there is no share for an unknown prev_hash that could be queued.
func TestSV2_163_RefusesCustomJobs(t *testing.T) {
	w := newWorld(t, easy)
	w.publish(w.template(100, 1, false))
	c := w.setUp(0)
	ok, err := c.OpenExtended("alice.one", 0, pool.MaxTarget)
	if err != nil {
		t.Fatal(err)
	}
	send(t, c, sv2.SetCustomMiningJob{ChannelID: ok.ChannelID, RequestID: 7, PrevHash: [32]byte{1, 2, 3}})
	e := await[sv2.SetCustomMiningJobError](t, c)
	if e.RequestID != 7 || e.Code != sv2.CodeJobDeclarationMissing {
		t.Errorf("got %+v", e)
	}
	send(t, c, sv2.SubmitSharesExtended{
		ChannelID: ok.ChannelID, Sequence: 1, JobID: 7, Extranonce: make([]byte, 16),
	})
	if e := await[sv2.SubmitSharesError](t, c); e.Code != "invalid-job-id" {
		t.Errorf("a share of the refused job got %q", e.Code)
	}
}
