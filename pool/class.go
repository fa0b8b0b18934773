package pool

import "maps"

// maxClasses bounds the payouts whose jobs are kept; above it those that nobody asks for any more are
// dropped.
const maxClasses = 4096

// class is a round as it is mined for one payout.
type class struct {
	base  *Round // of the pool's own jobs
	round *Round
}

// For is a round for a payout: the same templates under another coinbase. Sessions that ask for the
// same get the same jobs, and what a round shares with the one before it, its class shares
// too: the future job that becomes the first of its tip is one job. A round older than one that
// was asked for gives that newer one. The pool's own payout costs nothing.
func (a *Assembler) For(r *Round, p Payout) *Round {
	if !p.Solo() {
		return r
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.classes[p]
	if c == nil {
		a.makeRoomLocked(r)
		c = &class{base: &Round{}, round: &Round{}}
		a.classes[p] = c
	}
	if r != c.base && r.Seq >= c.base.Seq {
		*c = class{base: r, round: &Round{
			Seq: r.Seq, Tip: r.Tip,
			First: a.variant(c, r.First, p), Full: a.variant(c, r.Full, p), Next: a.variant(c, r.Next, p),
		}}
	}
	return c.round
}

// variant is a job with another payout, the same one as in the round before.
func (a *Assembler) variant(c *class, j *Job, p Payout) *Job {
	switch j {
	case nil:
		return nil
	case c.base.First:
		return c.round.First
	case c.base.Full:
		return c.round.Full
	case c.base.Next:
		return c.round.Next
	}
	v := a.Fresh(j)
	v.Suffix = a.suffix(j.Template, p)
	return v
}

func (a *Assembler) suffix(t *Template, p Payout) []byte {
	return coinbaseSuffix(p.outputs(a.cfg.Script, t.Value), t.Height, t.Commitment)
}

// makeRoomLocked drops classes that have not followed.
func (a *Assembler) makeRoomLocked(r *Round) {
	if len(a.classes) < maxClasses {
		return
	}
	maps.DeleteFunc(a.classes, func(_ Payout, c *class) bool { return c.base.Seq+1 < r.Seq })
}
