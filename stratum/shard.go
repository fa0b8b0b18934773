package stratum

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/pool"
)

// Rhythm of a shard.
const (
	ackTick      = 100 * time.Millisecond // how precisely AckAfter is kept
	retargetTick = time.Second            // each session's difficulty is looked at this often, shares or not
	sweeps       = int(retargetTick / ackTick)

	ackSlots = 64 // ticks ahead that acknowledgements are planned for; later ones are planned again
)

// news is a round with the time that it became known.
type news struct {
	round   *pool.Round
	at      time.Time
	waiting atomic.Int32 // shards that have not written it yet
}

// shard is a group of sessions with two goroutines of its own: one follows the feed, the
// governor's expectations and the clock; one commits credits.
type shard struct {
	srv *Server // immutable

	wake    chan struct{}      // capacity 1: something below is new
	credits chan struct{}      // capacity 1: accepted is not empty
	flush   chan chan struct{} // asks for a commit now; answered by closing

	newest atomic.Pointer[news]

	mu       sync.Mutex
	sessions []*session // guarded by mu, in no order; each knows its place
	poked    []*session // guarded by mu: expectations changed; each at most once
	accepted []accepted // guarded by mu: shares waiting for the next commit
	unsure   int        // guarded by mu: shares enqueued, and neither durable nor given up
	// owed are sessions with durable shares that are not acknowledged yet, each at most once: by the
	// tick at which the first of them is due, a ring that begins at turn. Guarded by mu.
	owed [ackSlots][]*session
	turn int
	room *sync.Cond // on mu: accepted is below its bound

	// owned by follow
	sweep  int
	due    []*session // scratch
	listed []*session // scratch
}

func newShard(s *Server) *shard {
	sh := &shard{
		srv:  s,
		wake: make(chan struct{}, 1), credits: make(chan struct{}, 1), flush: make(chan chan struct{}),
	}
	sh.room = sync.NewCond(&sh.mu)
	return sh
}

// signal wakes the other side without blocking; a wake already waiting is enough.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (sh *shard) publish(n *news) {
	sh.newest.Store(n)
	signal(sh.wake)
}

func (sh *shard) add(s *session) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.place = len(sh.sessions)
	sh.sessions = append(sh.sessions, s)
}

func (sh *shard) remove(s *session) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	last := len(sh.sessions) - 1
	if s.place > last || sh.sessions[s.place] != s {
		return // it was removed before
	}
	moved := sh.sessions[last]
	sh.sessions[s.place], moved.place = moved, s.place
	sh.sessions[last] = nil
	sh.sessions = sh.sessions[:last]
}

// poke asks for a look at the session's expectations. It is called by the governor.
func (sh *shard) poke(s *session) {
	if s.poked.Swap(true) {
		return
	}
	sh.mu.Lock()
	sh.poked = append(sh.poked, s)
	sh.mu.Unlock()
	signal(sh.wake)
}

// follow brings every session to the newest round, applies expectations, releases
// acknowledgements and retargets.
func (sh *shard) follow() {
	tick := time.NewTicker(ackTick)
	defer tick.Stop()
	var seen *news
	for {
		select {
		case <-sh.wake:
		case <-tick.C:
			sh.tick(time.Now())
			continue
		case <-sh.srv.done:
			return
		}
		if n := sh.newest.Load(); n != seen {
			seen = n
			sh.bring(n.round)
			if n.waiting.Add(-1) == 0 {
				sh.srv.counts.tipToLastJob.observe(time.Since(n.at))
			}
		}
		for _, s := range sh.takePoked() {
			s.poked.Store(false)
			s.expect(time.Now())
		}
	}
}

// bring tells every session of a round. Those with many channels come last: a job for 2,000 channels
// takes as long as one for a thousand connections, and one peer must not be ahead of so many.
func (sh *shard) bring(r *pool.Round) {
	list := sh.borrowList()
	for _, s := range list {
		if !s.many.Load() {
			s.followRound(r, time.Now())
		}
	}
	for _, s := range list {
		if s.many.Load() {
			s.followRound(r, time.Now())
		}
	}
}

// tick releases acknowledgements that have waited long enough and sometimes looks at all sessions.
func (sh *shard) tick(now time.Time) {
	for _, s := range sh.takeDue() {
		s.acknowledgeLate(now)
	}
	sh.sweep = (sh.sweep + 1) % sweeps
	if sh.sweep == 0 {
		for _, s := range sh.borrowList() {
			s.look(now)
		}
	}
}

// takeDue is the sessions whose acknowledgements are due at this tick, in memory that is used again
// at the next one.
func (sh *shard) takeDue() []*session {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	slot := &sh.owed[sh.turn]
	sh.turn = (sh.turn + 1) % ackSlots
	clear(sh.due)
	sh.due, *slot = *slot, sh.due[:0]
	return sh.due
}

func (sh *shard) list() []*session {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return slices.Clone(sh.sessions)
}

// borrowList is list for follow, in memory that is used again at the next call: nothing is allocated
// for a tip.
func (sh *shard) borrowList() []*session {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	clear(sh.listed)
	sh.listed = append(sh.listed[:0], sh.sessions...)
	return sh.listed
}

func (sh *shard) takePoked() []*session {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	p := sh.poked
	sh.poked = nil
	return p
}
