package pool

import "maps"

// maxClasses bounds the payouts whose jobs are kept; above it those that nobody asks for any more are
// dropped.
const maxClasses = 4096

// class is a round as it is mined for one payout by miners of one kind.
type class struct {
	base  *Round // of the pool's own jobs
	round *Round
}

// classKey tells classes apart.
type classKey struct {
	payout Payout
	limit  int // bytes of a coinbase; 0 if it does not matter
}

// For is a round for a payout: Within, for miners that take a coinbase of any size.
func (a *Assembler) For(r *Round, p Payout) *Round { return a.Within(r, p, MostCoinbase) }

// Within is a round for a payout, in coinbases of at most limit bytes (MinerClass.Coinbase): the same
// templates under another coinbase. Sessions that ask for the same get the same jobs, and what a
// round shares with the one before it, its class shares too: the future job that becomes the first of its tip
// is one job. A round older than one that was asked for gives that newer one. The pool's own payout
// costs nothing as long as nothing else is to be paid (SetOutputs).
func (a *Assembler) Within(r *Round, p Payout, limit int) *Round {
	key := classKey{payout: p}
	if a.outputs.Load() != nil {
		key.limit = limit
	} else if !p.Solo() {
		return r
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.classes[key]
	if c == nil {
		a.makeRoomLocked(r)
		c = &class{base: &Round{}, round: &Round{}}
		a.classes[key] = c
	}
	if r != c.base && r.Seq >= c.base.Seq {
		of := func(j *Job) *Job { return a.variantLocked(c, j, key) }
		*c = class{base: r, round: &Round{
			Seq: r.Seq, Tip: r.Tip, First: of(r.First), Full: of(r.Full), Next: of(r.Next),
		}}
	}
	return c.round
}

// variantLocked is a job with another payout, the same one as in the round before.
func (a *Assembler) variantLocked(c *class, j *Job, key classKey) *Job {
	switch {
	case j == nil:
		return nil
	case j == c.base.First:
		return c.round.First
	case j == c.base.Full:
		return c.round.Full
	case j == c.base.Next:
		return c.round.Next
	case !key.payout.Solo() && j.Template.Partial:
		return j
	}
	v := a.Fresh(j)
	v.Suffix = a.suffix(j.Template, key.payout, key.limit)
	return v
}

func (a *Assembler) suffix(t *Template, p Payout, limit int) []byte {
	var owed []Output
	if o := a.outputs.Load(); o != nil {
		owed = *o
	}
	return coinbaseSuffix(a.cfg.pay(t, p, owed, limit), t.Height, t.Commitment)
}

// makeRoomLocked drops classes that have not followed.
func (a *Assembler) makeRoomLocked(r *Round) {
	if len(a.classes) < maxClasses {
		return
	}
	maps.DeleteFunc(a.classes, func(_ classKey, c *class) bool { return c.base.Seq+1 < r.Seq })
}
