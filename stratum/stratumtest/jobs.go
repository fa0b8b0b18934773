package stratumtest

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashlease/hashlease/pool"
)

// Bound on the future jobs that a miner keeps; the oldest is dropped. A pool sends one or two.
const maxFuture = 16

var errNoTip = errors.New("an active job came before any SetNewPrevHash")

// job is a job that may wait for its tip.
type job struct {
	channel    uint32 // of the miner, whatever group the job was sent to
	id         uint32
	version    uint32
	root       [32]byte
	extranonce []byte
}

// jobs follows the jobs of one channel as sv2-spec 05 §5.3.15-17 and §5.3.21 say: a
// future job waits for the SetNewPrevHash that names it, which voids all others; SetTarget
// holds for later jobs and for waiting ones, never for the active one.
type jobs struct {
	target pool.Target
	tip    *tip
	future []job
}

// setTarget notes the target of jobs that become active from now on.
func (j *jobs) setTarget(t pool.Target) { j.target = t }

// add takes a new job. With a minimum time it is active at once and its work is returned.
func (j *jobs) add(n job, minTime *uint32, now time.Time) (*work, error) {
	if minTime == nil {
		if len(j.future) == maxFuture {
			j.future = append(j.future[:0], j.future[1:]...)
		}
		j.future = append(j.future, n)
		return nil, nil
	}
	if j.tip == nil {
		return nil, errNoTip
	}
	return n.ready(*j.tip, *minTime, j.target, now), nil
}

// activate starts the named future job under a new tip and forgets every other.
func (j *jobs) activate(id uint32, t tip, now time.Time) (*work, error) {
	for i := range j.future {
		if j.future[i].id != id {
			continue
		}
		w := j.future[i].ready(t, t.minTime, j.target, now)
		j.tip, j.future = &t, nil
		return w, nil
	}
	return nil, fmt.Errorf("SetNewPrevHash names job %d, which was not sent as a future job", id)
}
