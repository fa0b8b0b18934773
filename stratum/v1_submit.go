package stratum

import (
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv1"
)

// oddID marks the number that stands for an id which is none.
const oddID = 1 << 31

// submitShare judges the share in hand. A refusal is answered at once, everything else when it is durable.
func (d *v1) submitShare(now time.Time) {
	m, err := sv1.ParseSubmit(d.request.Params)
	switch {
	case err != nil:
		d.fail(sv1.CodeOther, err.Error())
		return
	case !d.subscribed:
		d.fail(sv1.CodeNotSubscribed, "not subscribed")
		return
	case !d.authorized(m.Worker):
		d.fail(sv1.CodeUnauthorized, "worker is not authorized")
		return
	}
	var roll [rollSize]byte
	copy(roll[:], m.Extranonce2[:])
	sh := pool.Share{
		Sequence: d.key(), Nonce: m.Nonce, Time: m.Time, Version: m.Bits, Rolling: pool.RolledNone,
		Extranonce: roll[:],
	}
	if m.Rolled {
		sh.Rolling = pool.RolledBits
	}
	job, ok := d.srv.v1.idOf(m.Job)
	if !ok {
		d.refuseV1(sh.Sequence, pool.RejectStale)
		return
	}
	sh.JobID = job
	d.submit(d.channelID.Load(), sh, pool.Extended, d.other(m.Worker), now)
}

// authorized reports whether a worker may mine here.
func (d *v1) authorized(user []byte) bool {
	if d.user == "" || string(user) == d.user {
		return d.user != ""
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.channels[d.channelID.Load()]
	return c != nil && c.names()[string(user)] != nil
}

// other is the name of a worker that is not the channel's own, else nil.
func (d *v1) other(user []byte) []byte {
	if string(user) == d.user {
		return nil
	}
	return user
}

// refuseV1 refuses a share that no channel can judge.
func (d *v1) refuseV1(sequence uint32, r pool.Reject) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.srv.counts.submitted.Add(1)
	if c := d.channels[d.channelID.Load()]; c != nil {
		c.rejected++
	}
	d.session.rejectLocked(d.channelID.Load(), sequence, r)
}

// key is the number under which the id in hand is kept until its share is durable: the id itself, if it
// is a small number.
func (d *v1) key() uint32 {
	if n, ok := d.request.ID.Number(); ok && n < oddID {
		return n
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.odd == nil {
		d.odd = map[uint32]string{}
	}
	d.lastID = (d.lastID + 1) % oddID
	d.odd[oddID|d.lastID] = string(d.request.ID)
	return oddID | d.lastID
}

// durableLocked acknowledges a share, also when its channel was closed meanwhile: every request is answered.
func (d *v1) durableLocked(a *accepted, now time.Time) {
	id := d.odd[a.sequence]
	delete(d.odd, a.sequence)
	out := d.outLocked()
	if out == nil {
		return // nobody to tell
	}
	if a.sequence < oddID {
		*out = sv1.AppendTrueNumber(*out, a.sequence)
	} else {
		*out = sv1.AppendTrue(*out, sv1.Value(id))
	}
	d.srv.counts.shareToAck.observe(now.Sub(a.read))
	d.srv.counts.acknowledged.Add(1)
}

// rejectLocked refuses the share in hand.
func (d *v1) rejectLocked(_, sequence uint32, r pool.Reject) {
	delete(d.odd, sequence)
	d.failLocked(r.SV1(), strings.ReplaceAll(r.Code(), "-", " "))
}
