package pool

import (
	"testing"
	"time"
)

// Ensure that a job whose duplicate set was dropped stays closed on its tip however many jobs
// came since, and that what is remembered for that is bounded.
func TestChannel_SpentJobsAreNeverForgottenOnTheirTip(t *testing.T) {
	now := time.Unix(1.8e9, 0)
	c := NewChannel(ChannelConfig{Prefix: make([]byte, ExtranonceSize), MaxTarget: MaxTarget}, now)
	tip := Tip{Height: 1, Bits: 0x1d00ffff}
	job := func(seq uint64) *Job {
		return &Job{Seq: seq, Height: 1, Prefix: make([]byte, 8), Suffix: make([]byte, 8)}
	}
	c.Assign(job(1), 1, now)
	if err := c.Activate(1, tip, now); err != nil {
		t.Fatal(err)
	}
	for id := uint32(2); id < 1000; id++ {
		c.Assign(job(uint64(id)), id, now)
	}
	if len(c.spent) > maxSpentJobs || len(c.active) > MaxPastJobs+1 || len(c.aged) > maxDeadJobs {
		t.Errorf("%d spent, %d active, %d aged", len(c.spent), len(c.active), len(c.aged))
	}
	for _, seq := range []uint64{1, 2, 700, 900, 948} {
		if d := c.seenOn(job(seq)); d == nil || !d.closed {
			t.Errorf("job %d may be used again", seq)
		}
	}
	if c.seenOn(job(1000)) != nil {
		t.Error("a new job may not be used")
	}
	c.Assign(&Job{Seq: 500, Height: 2, Prefix: make([]byte, 8), Suffix: make([]byte, 8)}, 1000, now)
	if err := c.Activate(1000, Tip{Height: 2, Prev: [32]byte{1}, Bits: 0x1d00ffff}, now); err != nil {
		t.Fatal(err)
	}
	if c.active[0].seen != nil || len(c.dead) > maxDeadJobs {
		t.Errorf("the future job is closed on the next tip, or %d ids are remembered", len(c.dead))
	}
}
