package stratum

import (
	"strconv"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv1"
)

// v1Pad is the part of the extranonce that a Stratum V1 miner does not roll.
const v1Pad = rollSize - sv1.Extranonce2Size

var v1Zeros [v1Pad]byte

// v1Jobs are the jobs of a round as Stratum V1 has them, with their mining.notify written once for all
// connections: nothing in it is a connection's own. What nobody has asked for during a whole round is
// forgotten.
type v1Jobs struct {
	epoch uint16 // immutable

	mu     sync.Mutex
	round  uint64     // guarded by mu: Seq of the newest round
	due    time.Time  // guarded by mu: when again has to make other jobs
	repeat generation // guarded by mu: what again has made until then
	now    generation // guarded by mu
	before generation // guarded by mu
}

// generation is what was asked for since the last round became known.
type generation struct {
	rounds map[*pool.Round]*pool.Round
	jobs   map[*pool.Job]*v1Job // by the job that it was made of
	bySeq  map[uint64]*v1Job
}

// v1Job is a job with its time, and the message without its end.
type v1Job struct {
	pool.Job
	notify []byte
}

func newV1Jobs(epoch uint16) *v1Jobs {
	return &v1Jobs{epoch: epoch, now: newGeneration(), before: newGeneration(), repeat: newGeneration()}
}

func newGeneration() generation {
	return generation{map[*pool.Round]*pool.Round{}, map[*pool.Job]*v1Job{}, map[uint64]*v1Job{}}
}

// roundOf is a round of Stratum V1: its First is the best job there is, because there is no future job that
// had to be sent before the tip, and its Full the same.
func (j *v1Jobs) roundOf(r *pool.Round, now time.Time) *pool.Round {
	j.mu.Lock()
	defer j.mu.Unlock()
	if r.Seq > j.round {
		j.round, j.before, j.now = r.Seq, j.now, newGeneration()
	}
	if v, ok := j.now.rounds[r]; ok {
		return v
	}
	v := &pool.Round{Seq: r.Seq, Tip: r.Tip, First: j.jobLocked(r.Best(), r.Tip, now)}
	if r.Full != nil {
		v.Full = v.First
	}
	j.now.rounds[r] = v
	return v
}

// jobLocked is a job on its tip. A miner begins to count at the time that it is sent with, so that a job
// without one gets the present one.
func (j *v1Jobs) jobLocked(of *pool.Job, tip pool.Tip, now time.Time) *pool.Job {
	v := j.now.jobs[of]
	if v == nil {
		if v = j.before.jobs[of]; v == nil {
			v = &v1Job{Job: *of}
			v.Prev, v.Bits = tip.Prev, tip.Bits
			v.Time = max(of.Time, tip.MinTime, uint32(max(0, now.Unix())))
			v.notify = j.appendNotify(nil, &v.Job)
		}
		j.now.jobs[of], j.now.bySeq[v.Seq] = v, v
	}
	return &v.Job
}

// again is a job with a new salt and the present time, for miners that have heard nothing for long. It is the
// same for all who ask in half of that time: one that has it already needs one of its own.
func (j *v1Jobs) again(maker *pool.Assembler, of *pool.Job, within time.Duration, now time.Time) *pool.Job {
	j.mu.Lock()
	defer j.mu.Unlock()
	if now.After(j.due) {
		j.due, j.repeat = now.Add(within/2), newGeneration()
	}
	v := j.repeat.jobs[of]
	if v == nil {
		v = &v1Job{Job: *maker.Fresh(of)}
		v.Time = max(v.Time, uint32(max(0, now.Unix())))
		v.notify = j.appendNotify(nil, &v.Job)
		j.repeat.jobs[of] = v
	}
	j.now.bySeq[v.Seq] = v
	return &v.Job
}

// shared is the written message of a job, nil if it is of one connection alone.
func (j *v1Jobs) shared(job *pool.Job) []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	v := j.now.bySeq[job.Seq]
	if v == nil {
		v = j.before.bySeq[job.Seq]
	}
	if v == nil || &v.Job != job {
		return nil
	}
	return v.notify
}

// appendNotify appends the message of a job but for its end. The job must have its tip's values.
func (j *v1Jobs) appendNotify(dst []byte, job *pool.Job) []byte {
	b := borrow()
	defer giveBack(b)
	id := j.appendID((*b)[:0], job)
	suffix := append(append(id[len(id):], v1Zeros[:]...), job.Suffix...)
	return sv1.AppendNotify(dst, &sv1.Notify{
		Job: id, PrevHash: job.Prev, Prefix: job.Prefix, Suffix: suffix, Path: job.Path,
		Version: job.Version, Bits: job.Bits, Time: job.Time,
	})
}

// appendID appends the id of a job: its number, and the process that made it, so that a job of the
// process before is known to be old. Firmware may read it as a number and lose zeros in front.
func (j *v1Jobs) appendID(dst []byte, job *pool.Job) []byte {
	dst = strconv.AppendUint(dst, uint64(uint32(job.Seq)), 16)
	const digits = "0123456789abcdef"
	for shift := 12; shift >= 0; shift -= 4 {
		dst = append(dst, digits[j.epoch>>shift&15])
	}
	return dst
}

// idOf is the number of a job on a connection, and whether this process made it.
func (j *v1Jobs) idOf(text []byte) (id uint32, ok bool) {
	epoch := len(text) - 4
	if epoch < 1 || epoch > 8 {
		return 0, false
	}
	id, ok = sv1.ParseHex(text[:epoch])
	made, valid := sv1.ParseHex(text[epoch:])
	return id, ok && valid && made == uint32(j.epoch)
}

func (d *v1) roundLocked(r *pool.Round, p pool.Payout) *pool.Round {
	return d.srv.v1.roundOf(d.srv.rooms.Assembler.Within(r, p, d.coinbase), time.Now())
}

func (d *v1) numberLocked(j *pool.Job) uint32 { return uint32(j.Seq) }

// jobLocked sends a job that is mined at once. One of this connection alone begins a search space of its
// own, under a new target or prefix: what is being worked on is to be dropped.
func (d *v1) jobLocked(_ uint32, _ bool, a pool.Assignment) {
	if !a.Future {
		d.notifyLocked(a.Job, d.srv.v1.shared(a.Job) == nil)
	}
}

// tipLocked sends the job of a tip. One that is spent for a channel that begins is not sent: what
// replaces it follows at once, and some firmware would mine the first of both for a while.
func (d *v1) tipLocked(_ uint32, n numbered, _ *pool.Tip) {
	c := d.channels[d.channelID.Load()]
	if c != nil && !c.group.live && c.pool.Spent(n.job) {
		return
	}
	d.notifyLocked(n.job, true)
}

func (d *v1) notifyLocked(job *pool.Job, clean bool) {
	out := d.outLocked()
	if out == nil {
		return
	}
	if shared := d.srv.v1.shared(job); shared != nil {
		*out = append(*out, shared...)
	} else {
		*out = d.srv.v1.appendNotify(*out, job)
	}
	*out = sv1.AppendClean(*out, clean)
	d.sent = time.Now()
}

func (d *v1) openedLocked(c *channel, _ uint32, target pool.Target) {
	d.owns = false
	d.channelID.Store(c.id)
	out := d.outLocked()
	if out == nil {
		return
	}
	if d.opening {
		*out = sv1.AppendTrue(*out, d.request.ID)
	}
	d.targetLocked(0, target)
}

func (d *v1) targetLocked(_ uint32, t pool.Target) {
	if out := d.outLocked(); out != nil {
		*out = sv1.AppendSetDifficulty(*out, t.Difficulty())
	}
}

func (d *v1) movesLocked() bool { return d.pushes }

// prefixLocked tells the miner its new extranonce1.
func (d *v1) prefixLocked(c *channel) {
	d.prefix = c.prefix
	if out := d.outLocked(); out != nil {
		*out = sv1.AppendSetExtranonce(*out, c.prefix[:], sv1.Extranonce2Size)
	}
}

func (d *v1) closedLocked(_ uint32, reason string) { d.showLocked(reason) }

func (d *v1) showsLocked() bool { return true }

func (d *v1) showLocked(text string) {
	if out := d.outLocked(); out != nil {
		*out = sv1.AppendShowMessage(*out, text)
	}
}

func (d *v1) awayLocked() {
	if out := d.outLocked(); out != nil {
		*out = sv1.AppendReconnect(*out)
	}
}

// goneLocked gives back what no channel has taken over.
func (d *v1) goneLocked() {
	if d.owns {
		d.srv.prefixes.Release(d.prefix)
		d.owns = false
	}
}
