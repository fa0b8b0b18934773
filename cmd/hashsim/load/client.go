package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/sv2"
)

const (
	answerFor  = 30 * time.Second // a whole server may have to be waited for
	ringSize   = 256              // shares of one connection that wait for their answer
	maxFutures = 4                // future jobs that a client remembers for each channel
)

// client is one connection to the pool.
type client struct {
	crowd *crowd
	name  string
	conn  *noise.Conn
	wire  *wire

	// owned by the gatherer
	came   time.Time  // newest bytes
	unread int        // bytes that came and were not opened
	header sv2.Header // opened; its payload is not
	headed bool

	mu       sync.Mutex
	lanes    map[uint32]*lane // guarded by mu: channels by id
	first    *lane            // guarded by mu: the channel that shares go to
	levels   int              // guarded by mu: merkle levels of the newest extended job that is active
	waiting  int              // guarded by mu: channels without a job
	ready    chan struct{}    // closed when all channels have a job, or the connection has ended
	unready  bool             // guarded by mu: ready is open
	failed   error            // guarded by mu
	sequence uint32           // guarded by mu: of the next share
	acked    uint32           // guarded by mu: shares below are answered for
	ring     []sent           // guarded by mu: by sequence, nil until the first share
	sealed   []byte           // guarded by mu: scratch
	plain    []byte           // guarded by mu: scratch
	tally    tally            // guarded by mu

	newest [32]byte     // guarded by mu: tip heard of last
	behind int          // guarded by mu: channels that are not on it
	tip    atomic.Int64 // Unix nanoseconds: when the last channel was on it
}

// lane is a channel's state.
type lane struct {
	id      uint32
	job     uint32 // active; 0 before the first
	time    uint32 // smallest header time
	version uint32
	roll    int // bytes of the extranonce that it rolls; 0 on a standard channel
	futures [maxFutures]job
	next    int      // in futures
	prev    [32]byte // of the newest tip
	last    sv2.SubmitSharesStandard
}

// job is what a share has to say of its job, of either kind.
type job struct {
	channel, id uint32 // the channel may be a group's
	future      bool
	smallest    uint32 // header time
	version     uint32
}

// dial connects, opens channels and waits until each has a job.
func (k *crowd) dial(ctx context.Context, name string, channels int) (*client, error) {
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", k.address)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	_ = raw.SetDeadline(time.Now().Add(answerFor))
	conn, err := noise.Connect(raw, k.authority, time.Now())
	if err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("shaking hands: %w", err)
	}
	return k.begin(ctx, name, conn, channels)
}

// begin sets a connection up that has shaken hands.
func (k *crowd) begin(ctx context.Context, name string, conn *noise.Conn, channels int) (*client, error) {
	_ = conn.SetDeadline(time.Time{})
	g, err := k.gatherer()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c := &client{
		crowd: k, name: name, conn: conn, wire: &wire{Conn: conn.Conn}, lanes: map[uint32]*lane{},
	}
	c.await(channels)
	if c.wire.socket, err = g.add(conn.Conn, c); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	conn.Conn = c.wire
	plain := sv2.SetupConnection{
		Protocol: sv2.ProtocolMining, MinVersion: sv2.Version, MaxVersion: sv2.Version,
		Flags: sv2.RequiresStandardJobs * boolFlag(channels == 1 && k.kind == pool.Standard),
		Host:  "127.0.0.1", Vendor: "hashsim", HardwareVersion: "load", DeviceID: name,
	}.AppendFrame(nil)
	if _, err := conn.Write(c.appendOpens(plain, 0, channels)); err != nil {
		c.cut()
		return nil, fmt.Errorf("opening channels: %w", err)
	}
	return c, c.wait(ctx)
}

func boolFlag(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// more opens further channels and waits for their jobs.
func (c *client) more(ctx context.Context, channels int) error {
	c.mu.Lock()
	have := len(c.lanes)
	c.mu.Unlock()
	c.await(channels)
	if _, err := c.conn.Write(c.appendOpens(nil, have, channels)); err != nil {
		return fmt.Errorf("opening channels: %w", err)
	}
	return c.wait(ctx)
}

func (c *client) appendOpens(plain []byte, from, n int) []byte {
	for i := range n {
		m := sv2.OpenStandardMiningChannel{
			RequestID: uint32(from + i), UserIdentity: fmt.Sprintf("load.%sx%d", c.name, from+i),
			NominalHashRate: 1, MaxTarget: pool.MaxTarget.Bytes(),
		}
		if c.crowd.kind == pool.Standard {
			plain = m.AppendFrame(plain)
			continue
		}
		plain = sv2.OpenExtendedMiningChannel{
			RequestID: m.RequestID, UserIdentity: m.UserIdentity, NominalHashRate: m.NominalHashRate,
			MaxTarget: m.MaxTarget,
		}.AppendFrame(plain)
	}
	return plain
}

// await notes that so many channels were asked for.
func (c *client) await(channels int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting, c.ready, c.unready = channels, make(chan struct{}), true
}

// wait returns when every channel that was asked for has a job.
func (c *client) wait(ctx context.Context) error {
	t := time.NewTimer(answerFor)
	defer t.Stop()
	select {
	case <-c.ready:
	case <-t.C:
		return fmt.Errorf("no job came within %v", answerFor)
	case <-ctx.Done():
		return ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// cut ends the connection as a power cut would.
func (c *client) cut() { c.wire.socket.cut() }

// sealedHeader is the size of a frame's header on the wire.
const sealedHeader = noise.HeaderSize + noise.Overhead

// receive implements receiver: it opens the frames that are whole.
func (c *client) receive(b []byte, came time.Time) error {
	c.came = came
	c.unread += len(b)
	c.wire.feed(b)
	for {
		if !c.headed {
			if c.unread < sealedHeader {
				return nil
			}
			raw, err := c.conn.ReadHeader()
			if err != nil {
				return err
			}
			c.header, c.headed = sv2.ParseHeader(raw), true
			c.unread -= sealedHeader
		}
		sealed := noise.SealedSize(int(c.header.Length)) - sealedHeader
		if c.unread < sealed {
			return nil
		}
		payload, err := c.conn.ReadPayload(c.crowd.payload[:])
		if err != nil {
			return err
		}
		c.unread -= sealed
		c.headed = false
		if err := c.take(c.header, payload); err != nil {
			return err
		}
	}
}

// ended implements receiver.
func (c *client) ended(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = fmt.Errorf("reading: %w", err)
	if errors.Is(err, io.EOF) {
		c.failed = errors.New("server closed the connection")
	}
	c.crowd.lost.Add(1)
	c.readyLocked()
}

func (c *client) readyLocked() {
	if c.unready {
		c.unready = false
		close(c.ready)
	}
}

// take acts on one message.
func (c *client) take(h sv2.Header, payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tally.frames++
	switch h.Type {
	case sv2.TypeNewMiningJob, sv2.TypeNewExtendedMiningJob:
		return c.takeJobLocked(h.Type, payload)
	case sv2.TypeSetNewPrevHash:
		m, _, err := sv2.DecodeSetNewPrevHash(payload)
		if err != nil {
			return err
		}
		c.tipLocked(m)
	case sv2.TypeSubmitSharesSuccess:
		m, _, err := sv2.DecodeSubmitSharesSuccess(payload)
		if err != nil {
			return err
		}
		c.ackLocked(m)
	case sv2.TypeSubmitSharesError:
		m, _, err := sv2.DecodeSubmitSharesError(payload)
		if err != nil {
			return err
		}
		c.refusalLocked(m)
	case sv2.TypeOpenStandardMiningChannelSuccess, sv2.TypeOpenExtendedMiningChannelSuccess:
		return c.takeOpenLocked(h.Type, payload)
	case sv2.TypeOpenMiningChannelError:
		m, _, err := sv2.DecodeOpenMiningChannelError(payload)
		if err == nil {
			err = fmt.Errorf("channel was refused: %s", m.Code)
		}
		return err
	case sv2.TypeSetupConnectionError:
		return errors.New("connection was refused")
	}
	return nil
}

// takeJobLocked acts on a job of either kind.
func (c *client) takeJobLocked(kind uint8, payload []byte) error {
	switch kind {
	case sv2.TypeNewMiningJob:
		m, _, err := sv2.DecodeNewMiningJob(payload)
		if err != nil {
			return err
		}
		c.jobLocked(job{m.ChannelID, m.JobID, m.Future, m.MinTime, m.Version})
	case sv2.TypeNewExtendedMiningJob:
		m, _, err := sv2.DecodeNewExtendedMiningJob(payload)
		if err != nil {
			return err
		}
		if !m.Future {
			c.levels = len(m.MerklePath)
		}
		c.jobLocked(job{m.ChannelID, m.JobID, m.Future, m.MinTime, m.Version})
	}
	return nil
}

// takeOpenLocked acts on a channel of either kind.
func (c *client) takeOpenLocked(kind uint8, payload []byte) error {
	switch kind {
	case sv2.TypeOpenStandardMiningChannelSuccess:
		m, _, err := sv2.DecodeOpenStandardMiningChannelSuccess(payload)
		if err != nil {
			return err
		}
		c.openedLocked(&lane{id: m.ChannelID})
	case sv2.TypeOpenExtendedMiningChannelSuccess:
		m, _, err := sv2.DecodeOpenExtendedMiningChannelSuccess(payload)
		if err != nil {
			return err
		}
		c.openedLocked(&lane{id: m.ChannelID, roll: int(m.ExtranonceSize)})
	}
	return nil
}

func (c *client) openedLocked(l *lane) {
	c.lanes[l.id] = l
	if c.first == nil {
		c.first = l
	}
}

// jobLocked follows a job, of a channel or of the whole group.
func (c *client) jobLocked(j job) {
	if l := c.lanes[j.channel]; l != nil {
		c.giveLocked(l, j)
		return
	}
	for _, l := range c.lanes {
		c.giveLocked(l, j)
	}
}

func (c *client) giveLocked(l *lane, j job) {
	if j.future {
		l.futures[l.next] = j
		l.next = (l.next + 1) % maxFutures
		return
	}
	c.activeLocked(l, j.id, j.smallest, j.version)
}

// tipLocked follows SetNewPrevHash, of a channel or of the whole group.
func (c *client) tipLocked(m sv2.SetNewPrevHash) {
	if c.newest != m.PrevHash {
		c.newest, c.behind = m.PrevHash, len(c.lanes)
	}
	_, own := c.lanes[m.ChannelID]
	for id, l := range c.lanes {
		if own && id != m.ChannelID {
			continue
		}
		if l.prev != m.PrevHash {
			l.prev = m.PrevHash
			if c.behind--; c.behind == 0 {
				c.tip.Store(c.came.UnixNano())
				c.crowd.tips.Add(1)
			}
		}
		for _, j := range l.futures {
			if j.id == m.JobID {
				c.activeLocked(l, m.JobID, m.MinTime, j.version)
			}
		}
	}
}

func (c *client) activeLocked(l *lane, job, smallest, version uint32) {
	if l.job == 0 {
		if c.waiting--; c.waiting == 0 {
			c.readyLocked()
		}
	}
	l.job, l.time, l.version = job, smallest, version
}
