package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/stamp"
	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/sv2"
)

const (
	shareEvery = time.Second // of each miner; as often it sends one that must be refused
	noSuchJob  = 1 << 31     // far above the ids that a connection sees
)

// crowd is the honest peers of a phase and what they saw.
type crowd struct {
	wg         sync.WaitGroup
	stopMining context.CancelFunc // immutable once all have joined
	ending     atomic.Bool        // whatever ends now is our doing
	measured   atomic.Bool

	mu                sync.Mutex
	acks, errs, heard []time.Duration // guarded by mu
	sent, refused     int             // guarded by mu: good shares, and those of them that were refused
	lost              []error         // guarded by mu: why connections ended
}

func (k *crowd) note(list *[]time.Duration, d time.Duration) {
	if !k.measured.Load() {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	*list = append(*list, d)
}

// sentShare is a share that waits for its answer.
type sentShare struct {
	sequence uint32
	at       time.Time
}

// miner is one honest connection.
type miner struct {
	crowd *crowd
	conn  *noise.Conn
	wire  *stamp.Conn // owned by the reader
	ready chan error  // capacity 1: it has a job, or it failed

	mu       sync.Mutex
	mining   bool                        // guarded by mu: ready was told
	channel  uint32                      // guarded by mu
	job      sv2.SubmitSharesStandard    // guarded by mu: a share on the active job
	futures  map[uint32]sv2.NewMiningJob // guarded by mu
	sequence uint32                      // guarded by mu
	good     []sentShare                 // guarded by mu: oldest first
	bad      map[uint32]time.Time        // guarded by mu: by sequence
	sealed   []byte                      // guarded by mu
	heard    time.Time                   // guarded by mu: when the newest SetNewPrevHash came
}

// join connects a miner and waits until it has a job. One that is not idle sends shares until ctx ends.
func (k *crowd) join(ctx context.Context, s *server, name string, idle bool) (*miner, error) {
	conn, err := shake(ctx, s.address, s.authority)
	if err != nil {
		return nil, err
	}
	tcp, _ := conn.Conn.(*net.TCPConn) // as shake has made it
	wire, err := stamp.New(tcp)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	conn.Conn = wire
	m := &miner{
		crowd: k, conn: conn, wire: wire, ready: make(chan error, 1),
		futures: map[uint32]sv2.NewMiningJob{}, bad: map[uint32]time.Time{},
	}
	plain := setup(sv2.RequiresStandardJobs).AppendFrame(nil)
	if _, err := conn.Write(standard(name).AppendFrame(plain)); err != nil {
		return nil, errors.Join(fmt.Errorf("opening a channel: %w", err), conn.Close())
	}
	k.wg.Go(m.read) // ends with the connection
	wait := time.NewTimer(answerFor)
	defer wait.Stop()
	select {
	case err = <-m.ready:
	case <-wait.C:
		err = fmt.Errorf("no job came within %v", answerFor)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if !idle {
		k.wg.Go(func() { m.mine(ctx) }) // ends with ctx or the connection
	}
	return m, nil
}

// mine sends a good share and a bad one every second, at a moment of its own.
func (m *miner) mine(ctx context.Context) {
	next := time.NewTimer(rand.N(shareEvery))
	defer next.Stop()
	for bad := false; ; bad = !bad {
		select {
		case <-next.C:
		case <-ctx.Done():
			return
		}
		next.Reset(shareEvery / 2)
		if m.submit(bad) != nil {
			return // the reader says why
		}
	}
}

func (m *miner) submit(bad bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sequence++
	sh := m.job
	sh.ChannelID, sh.Sequence, sh.Nonce = m.channel, m.sequence, m.sequence
	now := time.Now()
	if bad {
		sh.JobID = noSuchJob
		m.bad[m.sequence] = now
	} else {
		m.good = append(m.good, sentShare{m.sequence, now})
	}
	m.sealed = m.conn.AppendFrame(m.sealed[:0], sh.AppendFrame(nil))
	_ = m.conn.SetWriteDeadline(now.Add(answerFor))
	_, err := m.conn.Conn.Write(m.sealed)
	if err == nil && !bad {
		m.crowd.mu.Lock()
		m.crowd.sent++
		m.crowd.mu.Unlock()
	}
	return err
}

// read handles frames until the connection ends.
func (m *miner) read() {
	var buf [1024]byte
	for {
		raw, payload, err := m.conn.ReadFrame(buf[:], nil)
		if err == nil {
			err = m.take(sv2.ParseHeader(raw), payload, m.wire.Came)
		}
		if err == nil {
			continue
		}
		m.mu.Lock()
		m.readyLocked(err)
		m.mu.Unlock()
		if !m.crowd.ending.Load() {
			m.crowd.mu.Lock()
			m.crowd.lost = append(m.crowd.lost, err)
			m.crowd.mu.Unlock()
		}
		return
	}
}

func (m *miner) readyLocked(err error) {
	if !m.mining {
		m.mining = true
		m.ready <- err
	}
}

// take acts on one message.
func (m *miner) take(h sv2.Header, payload []byte, now time.Time) error {
	msg, err := sv2.Decode(h, payload)
	if errors.Is(err, sv2.ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch msg := msg.(type) {
	case sv2.SetupConnectionError:
		return fmt.Errorf("connection was refused: %s", msg.Code)
	case sv2.OpenMiningChannelError:
		return fmt.Errorf("channel was refused: %s", msg.Code)
	case sv2.OpenStandardMiningChannelSuccess:
		m.channel = msg.ChannelID
	case sv2.NewMiningJob:
		if msg.Future {
			m.futures[msg.JobID] = msg
			return nil
		}
		m.job = sv2.SubmitSharesStandard{JobID: msg.JobID, Version: msg.Version, Time: msg.MinTime}
		m.readyLocked(nil)
	case sv2.SetNewPrevHash:
		m.tipLocked(msg, now)
	case sv2.SubmitSharesSuccess:
		for len(m.good) > 0 && int32(msg.LastSequence-m.good[0].sequence) >= 0 {
			m.crowd.note(&m.crowd.acks, now.Sub(m.good[0].at))
			m.good = m.good[1:]
		}
	case sv2.SubmitSharesError:
		m.refusedLocked(msg, now)
	}
	return nil
}

func (m *miner) tipLocked(msg sv2.SetNewPrevHash, now time.Time) {
	j, ok := m.futures[msg.JobID]
	if ok {
		m.job = sv2.SubmitSharesStandard{JobID: j.JobID, Version: j.Version, Time: msg.MinTime}
		m.readyLocked(nil)
	}
	clear(m.futures)
	m.heard = now
}

// notice adds up how long after a tip each miner heard of it. One that has not by now is as late as now.
func (k *crowd) notice(all []*miner, tip time.Time) {
	now := time.Now()
	for _, m := range all {
		m.mu.Lock()
		heard := m.heard
		m.mu.Unlock()
		if heard.Before(tip) {
			heard = now
		}
		k.note(&k.heard, heard.Sub(tip))
	}
}

// refusedLocked is the answer to a bad share, or to a good one that a tip has overtaken.
func (m *miner) refusedLocked(msg sv2.SubmitSharesError, now time.Time) {
	if at, ok := m.bad[msg.Sequence]; ok {
		delete(m.bad, msg.Sequence)
		m.crowd.note(&m.crowd.errs, now.Sub(at))
		return
	}
	for i, g := range m.good {
		if g.sequence == msg.Sequence {
			m.good = append(m.good[:i], m.good[i+1:]...)
			m.crowd.mu.Lock()
			m.crowd.refused++
			m.crowd.mu.Unlock()
			return
		}
	}
}

// waiting is how many shares have no answer.
func (m *miner) waiting() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.good) + len(m.bad)
}
