package conformance

import (
	"bytes"
	"slices"
	"time"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// Channel is what a connection was told of one of its channels.
type Channel struct {
	c *Conn

	ID, Group uint32
	Extended  bool
	Prefix    []byte // of jobs that come from now on
	Size      int    // what an extended channel appends
	Target    Target // of jobs that become active from now on
	Closed    bool   // by the pool

	Jobs     []*Job // all that came, oldest first
	Tip      *Tip   // nil before the first SetNewPrevHash
	Tips     int    // how many came
	sequence uint32
}

// Tip is a SetNewPrevHash.
type Tip struct {
	sv2.SetNewPrevHash

	Number int // of the tip on its channel, from 1
	At     time.Time
}

// Job is a job as its channel was told of it.
type Job struct {
	ID      uint32
	Version uint32
	Rolling bool // the version may be rolled
	Future  bool // it came without a time
	Frame   *Frame

	// Of an extended job; nil for a standard one.
	Extended *sv2.NewExtendedMiningJob
	Root     [32]byte // of a standard job

	Prefix  []byte // the channel's when the job came
	MinTime uint32 // once active
	Target  Target // fixed when it became active
	Tip     *Tip   // nil while it is not active
}

// Active is the newest active job of the present tip, nil if there is none.
func (ch *Channel) Active() *Job {
	for _, j := range slices.Backward(ch.Jobs) {
		if j.Tip != nil && j.Tip == ch.Tip {
			return j
		}
	}
	return nil
}

// Work is the newest active job; it waits for one.
func (ch *Channel) Work() *Job {
	ch.until("an active job", func() bool { return ch.Active() != nil })
	return ch.Active()
}

// until takes frames until a condition holds. They stay for Await and Taken.
func (ch *Channel) until(what string, holds func() bool) {
	end := time.Now().Add(ch.c.t.Patience())
	for !holds() {
		f, err := ch.c.next(time.Until(end))
		if err != nil {
			ch.c.t.Failf("expected %s, got %s%s", what, ending(err), ch.c.seen())
		}
		ch.c.put = append(ch.c.put, f)
	}
}

// follow brings the channels up to a frame.
func (c *Conn) follow(f *Frame) {
	switch m := f.Msg.(type) {
	case sv2.OpenStandardMiningChannelSuccess:
		c.channels = append(c.channels, &Channel{
			c: c, ID: m.ChannelID, Group: m.GroupChannelID,
			Prefix: bytes.Clone(m.ExtranoncePrefix), Target: m.Target,
		})
	case sv2.OpenExtendedMiningChannelSuccess:
		c.channels = append(c.channels, &Channel{
			c: c, ID: m.ChannelID, Group: m.GroupChannelID, Extended: true, Size: int(m.ExtranonceSize),
			Prefix: bytes.Clone(m.ExtranoncePrefix), Target: m.Target,
		})
	case sv2.NewMiningJob:
		c.each(m.ChannelID, func(ch *Channel) {
			ch.add(&Job{
				ID: m.JobID, Version: m.Version, Rolling: true, Future: m.Future, MinTime: m.MinTime,
				Root: m.MerkleRoot, Frame: f,
			})
		})
	case sv2.NewExtendedMiningJob:
		c.each(m.ChannelID, func(ch *Channel) {
			ch.add(&Job{
				ID: m.JobID, Version: m.Version, Rolling: m.VersionRolling, Future: m.Future,
				MinTime: m.MinTime, Extended: &m, Frame: f,
			})
		})
	case sv2.SetNewPrevHash:
		c.each(m.ChannelID, func(ch *Channel) { ch.activate(m, f.At) })
	case sv2.SetTarget:
		c.each(m.ChannelID, func(ch *Channel) { ch.Target = m.MaxTarget })
	default:
		c.followChange(f.Msg)
	}
}

// followChange follows what changes a channel itself.
func (c *Conn) followChange(msg sv2.Message) {
	switch m := msg.(type) {
	case sv2.SetExtranoncePrefix:
		c.each(m.ChannelID, func(ch *Channel) { ch.Prefix = bytes.Clone(m.ExtranoncePrefix) })
	case sv2.SetGroupChannel:
		for _, ch := range c.channels {
			if slices.Contains(m.ChannelIDs, ch.ID) {
				ch.Group = m.GroupChannelID
			}
		}
	case sv2.CloseChannel:
		c.each(m.ChannelID, func(ch *Channel) { ch.Closed = true })
	}
}

// each calls f with the channel of an id, or with all members of the group that it is.
func (c *Conn) each(id uint32, f func(*Channel)) {
	for _, ch := range c.channels {
		if ch.ID == id || ch.Group == id {
			f(ch)
		}
	}
}

func (ch *Channel) add(j *Job) {
	j.Prefix = ch.Prefix
	if !j.Future {
		j.Tip, j.Target = ch.Tip, ch.Target
	}
	ch.Jobs = append(ch.Jobs, j)
}

func (ch *Channel) activate(m sv2.SetNewPrevHash, at time.Time) {
	ch.Tips++
	ch.Tip = &Tip{m, ch.Tips, at}
	for _, j := range ch.Jobs {
		if j.ID == m.JobID && j.Tip == nil {
			j.Tip, j.MinTime, j.Target = ch.Tip, m.MinTime, ch.Target
		}
	}
}

// Job is the channel's job of an id, nil if there is none; the newest, if an id came twice.
func (ch *Channel) Job(id uint32) *Job {
	for _, j := range slices.Backward(ch.Jobs) {
		if j.ID == id {
			return j
		}
	}
	return nil
}

// nextRequest is a request id that the connection has not used.
func (c *Conn) nextRequest() uint32 {
	c.requests++
	return c.requests
}

// StandardRequest asks for a standard channel that takes every target.
func (c *Conn) StandardRequest() sv2.OpenStandardMiningChannel {
	return sv2.OpenStandardMiningChannel{
		RequestID: c.nextRequest(), UserIdentity: c.t.Identity(), MaxTarget: Easiest,
	}
}

// ExtendedRequest asks for an extended channel that takes every target.
func (c *Conn) ExtendedRequest() sv2.OpenExtendedMiningChannel {
	return sv2.OpenExtendedMiningChannel{
		RequestID: c.nextRequest(), UserIdentity: c.t.Identity(), MaxTarget: Easiest, MinExtranonceSize: 4,
	}
}

// OpenStandard opens a standard channel.
func (c *Conn) OpenStandard() *Channel { return c.OpenStandardAs(c.StandardRequest()) }

// OpenStandardAs opens the standard channel of a request.
func (c *Conn) OpenStandardAs(m sv2.OpenStandardMiningChannel) *Channel {
	c.Send(m)
	return c.opened(m.RequestID)
}

// OpenExtended opens an extended channel.
func (c *Conn) OpenExtended() *Channel { return c.OpenExtendedAs(c.ExtendedRequest()) }

// OpenExtendedAs opens the extended channel of a request.
func (c *Conn) OpenExtendedAs(m sv2.OpenExtendedMiningChannel) *Channel {
	c.Send(m)
	return c.opened(m.RequestID)
}

// opened waits for the answer to a request; an Error fails the check.
func (c *Conn) opened(request uint32) *Channel {
	var id uint32
	c.AwaitFrame("a Success that opens the channel", c.t.Patience(), func(f *Frame) bool {
		switch m := f.Msg.(type) {
		case sv2.OpenStandardMiningChannelSuccess:
			id = m.ChannelID
			return m.RequestID == request
		case sv2.OpenExtendedMiningChannelSuccess:
			id = m.ChannelID
			return m.RequestID == request
		case sv2.OpenMiningChannelError:
			if m.RequestID == request {
				c.t.Failf("expected a channel to open for %q, got %v", c.t.run.pool.User, f)
			}
		}
		return false
	})
	return c.Channel(id)
}

// Channel is the newest channel of an id, nil if there is none.
func (c *Conn) Channel(id uint32) *Channel {
	for _, ch := range slices.Backward(c.channels) {
		if ch.ID == id {
			return ch
		}
	}
	return nil
}
