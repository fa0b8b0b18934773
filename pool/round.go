package pool

// Round is everything that sessions need to mine now: the tip and its jobs, as one
// immutable value. A new one replaces it on every new tip and template.
type Round struct {
	Seq uint64 // rising by one with each Advance
	Tip Tip
	// First is the coinbase-only job that SetNewPrevHash names for this tip. It was the Next of the
	// round before, unless that one did not fit: a session that has not sent it sends it first.
	First *Job
	// Full is the newest job with transactions for this tip; nil until the node gave one.
	Full *Job
	// Next is the coinbase-only future job for the block after this one.
	Next *Job
}

// Best is the job that pays most now: Full, or First while there is none.
func (r *Round) Best() *Job {
	if r.Full != nil {
		return r.Full
	}
	return r.First
}

// Shares reports whether some job is in both rounds.
func (r *Round) Shares(o *Round) bool {
	for _, j := range [...]*Job{r.First, r.Full, r.Next} {
		if j != nil && (j == o.First || j == o.Full || j == o.Next) {
			return true
		}
	}
	return false
}
