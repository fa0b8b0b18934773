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
	mine := func() { c.active[len(c.active)-1].seen = &record{n: 1} }
	c.Assign(job(1), 1, now)
	if err := c.Activate(1, &tip, now); err != nil {
		t.Fatal(err)
	}
	mine()
	for id := uint32(2); id < 1000; id++ {
		c.Assign(job(uint64(id)), id, now)
		mine()
	}
	if n := len(c.history.spent); n > maxSpentJobs || len(c.active) > MaxPastJobs+1 ||
		len(c.stale) > maxDeadJobs {
		t.Errorf("%d spent, %d active, %d stale", n, len(c.active), len(c.stale))
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
	if err := c.Activate(1000, &Tip{Height: 2, Prev: [32]byte{1}, Bits: 0x1d00ffff}, now); err != nil {
		t.Fatal(err)
	}
	if c.active[0].seen != nil || len(c.stale) > maxDeadJobs {
		t.Errorf("the future job is closed on the next tip, or %d ids are remembered", len(c.stale))
	}
}

// Ensure that a job which no share came for costs a channel nothing once it is over, and may come back.
func TestChannel_RemembersNoJobWithoutShares(t *testing.T) {
	now := time.Unix(1.8e9, 0)
	c := NewChannel(ChannelConfig{Prefix: make([]byte, ExtranonceSize), MaxTarget: MaxTarget}, now)
	j := &Job{Seq: 1, Height: 1, Prefix: make([]byte, 8), Suffix: make([]byte, 8)}
	tip := Tip{Height: 1, Bits: 0x1d00ffff}
	for id := range uint32(10) {
		c.AssignFuture(j, id)
		if err := c.Activate(id, &tip, now); err != nil {
			t.Fatal(err)
		}
	}
	if c.history != nil || c.active[0].seen != nil {
		t.Error("jobs without a share are remembered")
	}
}

// Ensure that a job keeps the merkle root of the prefix under which it was sent, though a record of it
// is shared by all its ids.
func TestChannel_RootIsOfTheJobsPrefix(t *testing.T) {
	now := time.Unix(1.8e9, 0)
	first, second := make([]byte, ExtranonceSize), make([]byte, ExtranonceSize)
	second[0] = 1
	c := NewChannel(ChannelConfig{Prefix: first, MaxTarget: MaxTarget}, now)
	j := &Job{Seq: 1, Height: 1, Prefix: make([]byte, 8), Suffix: make([]byte, 8)}
	c.AssignFuture(j, 1)
	if err := c.Activate(1, &Tip{Height: 1, Bits: 0x1d00ffff}, now); err != nil {
		t.Fatal(err)
	}
	submit := func(id uint32) { c.Submit(Share{JobID: id, Time: 1}, now) }
	submit(1)
	if !c.SetPrefix(second) {
		t.Fatal("another prefix is refused")
	}
	c.Assign(j, 2, now)
	for range 2 {
		for id, want := range map[uint32][]byte{1: first, 2: second} {
			submit(id)
			a, _ := c.find(id)
			terms := c.termsOf(a)
			if got := c.root(a, &terms.prefix); got != j.Root(want, nil) {
				t.Errorf("job %d has the root of another prefix", id)
			}
		}
	}
}
