package load

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// badEvery is how many shares there are to one that is bad on purpose.
const badEvery = 50

// badKinds are what a bad share must be refused for, in turn.
var badKinds = [...]pool.Reject{
	pool.RejectUnknownJob, pool.RejectDuplicate, pool.RejectVersionBits, pool.RejectTime,
}

// sent is a share that waits for its answer.
type sent struct {
	at      time.Time // zero: answered
	bad     pool.Reject
	counted bool // its latencies are wanted
}

// tally is what a connection has seen since it was last asked.
type tally struct {
	good, bad int // sent
	skipped   int // not sent, because too many were not answered
	accepted  int // acknowledged, by the server's counts
	refused   int // bad ones, for the right reason
	wrong     int // good ones refused, bad ones for another reason, counts that do not add up
	example   string
	frames    int
	acks      []time.Duration // share to its acknowledgement
	refusals  []time.Duration // share to its refusal
}

// add merges another connection's.
func (t *tally) add(o *tally) {
	t.good += o.good
	t.bad += o.bad
	t.skipped += o.skipped
	t.accepted += o.accepted
	t.refused += o.refused
	t.wrong += o.wrong
	t.frames += o.frames
	if t.example == "" {
		t.example = o.example
	}
	t.acks = append(t.acks, o.acks...)
	t.refusals = append(t.refusals, o.refusals...)
}

// submit sends the next share. Whether it is bad depends on a number of the caller's.
func (c *client) submit(n int, counted bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.first
	if c.ring == nil {
		c.ring = make([]sent, ringSize)
	}
	slot := &c.ring[c.sequence%ringSize]
	if l == nil || l.job == 0 || !slot.at.IsZero() || c.sequence-c.acked >= ringSize-1 {
		c.tally.skipped++
		return nil
	}
	s, bad := l.share(c.sequence, n)
	c.plain = l.appendShare(c.plain[:0], s)
	c.sealed = c.conn.AppendFrame(c.sealed[:0], c.plain)
	*slot = sent{at: time.Now(), bad: bad, counted: counted}
	c.sequence++
	if bad == pool.RejectNone {
		l.last = s
		c.tally.good++
	} else {
		c.tally.bad++
	}
	_, err := c.conn.Conn.Write(c.sealed)
	return err
}

// share is a share of the lane: as bad as its number says.
func (l *lane) share(sequence uint32, n int) (s sv2.SubmitSharesStandard, bad pool.Reject) {
	s = sv2.SubmitSharesStandard{
		ChannelID: l.id, Sequence: sequence, JobID: l.job, Nonce: sequence, Time: l.time, Version: l.version,
	}
	if n%badEvery != badEvery-1 {
		return s, pool.RejectNone
	}
	bad = badKinds[n/badEvery%len(badKinds)]
	switch {
	case bad == pool.RejectDuplicate && l.last.JobID == l.job:
		s = l.last
		s.Sequence = sequence
	case bad == pool.RejectVersionBits:
		s.Version ^= 1
	case bad == pool.RejectTime:
		s.Time -= 1e9
	default:
		bad = pool.RejectUnknownJob
		s.JobID += 1e6
	}
	return s, bad
}

// appendShare appends a share as its channel submits it: an extended one rolls the extranonce, too.
func (l *lane) appendShare(dst []byte, s sv2.SubmitSharesStandard) []byte {
	if l.roll == 0 {
		return s.AppendFrame(dst)
	}
	var rolled [32]byte
	binary.LittleEndian.PutUint32(rolled[:], s.Nonce)
	return sv2.SubmitSharesExtended{
		ChannelID: s.ChannelID, Sequence: s.Sequence, JobID: s.JobID, Nonce: s.Nonce, Time: s.Time,
		Version: s.Version, Extranonce: rolled[:l.roll],
	}.AppendFrame(dst)
}

// ackLocked follows SubmitShares.Success: it answers for every good share up to its sequence number.
func (c *client) ackLocked(m sv2.SubmitSharesSuccess) {
	now := c.came
	var found uint32
	for ; c.acked != m.LastSequence+1 && c.acked != c.sequence; c.acked++ {
		s := &c.ring[c.acked%ringSize]
		if s.at.IsZero() || s.bad != pool.RejectNone {
			continue
		}
		found++
		if s.counted {
			c.tally.acks = append(c.tally.acks, now.Sub(s.at))
		}
		*s = sent{}
	}
	c.tally.accepted += int(m.Accepted)
	if found != m.Accepted {
		c.wrongLocked("%d shares acknowledged up to %d: %d were good", m.Accepted, m.LastSequence, found)
	}
}

// refusalLocked follows SubmitShares.Error.
func (c *client) refusalLocked(m sv2.SubmitSharesError) {
	if c.ring == nil {
		return
	}
	s := &c.ring[m.Sequence%ringSize]
	switch {
	case s.at.IsZero():
		c.wrongLocked("share %d was refused (%s) after its answer", m.Sequence, m.Code)
		return
	case s.bad == pool.RejectNone || m.Code != s.bad.Code():
		c.wrongLocked("share %d was refused with %q instead of %q", m.Sequence, m.Code, s.bad.Code())
	case s.counted:
		c.tally.refused++
	}
	if s.counted {
		c.tally.refusals = append(c.tally.refusals, c.came.Sub(s.at))
	}
	*s = sent{}
}

func (c *client) wrongLocked(format string, args ...any) {
	c.tally.wrong++
	if c.tally.example == "" {
		c.tally.example = fmt.Sprintf(format, args...)
	}
}

// Spread is a distribution of times in milliseconds.
type Spread struct {
	Count int     `json:"count"`
	Min   float64 `json:"min_ms"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

// spread sorts the samples.
func spread(samples []time.Duration) Spread {
	if len(samples) == 0 {
		return Spread{}
	}
	slices.Sort(samples)
	at := func(p float64) float64 { return millis(samples[int(p*float64(len(samples)-1)+0.5)]) }
	return Spread{Count: len(samples), Min: at(0), P50: at(0.5), P99: at(0.99), Max: at(1)}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
