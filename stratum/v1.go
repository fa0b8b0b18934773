package stratum

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv1"
)

// v1Mask are the version bits that Stratum V1 miners roll (BIP310, BIP320). Firmware does so without
// having asked (marketplaces put theirs in front of it), and nothing speaks against it.
const v1Mask uint32 = 0x1fffe000

// v1 is a session that speaks Stratum V1: one connection is one extended channel of a session like any
// other. Of the free part of the extranonce the miner rolls the first sv1.Extranonce2Size bytes; the
// rest is zero and is sent as the beginning of what follows it, so that the coinbase is that of V2.
type v1 struct {
	session

	// owned by the reader
	in         lines
	request    sv1.Request // in hand
	malformed  int         // lines
	inPoll     int         // lines of the poll that runs
	subscribed bool
	resumed    bool            // its prefix was another connection's a moment ago
	opening    bool            // the request in hand is to be answered when the channel is open
	user       string          // that the channel is for, as authorize named it
	wants      v1Wants         // of its difficulty
	agent      pool.MinerClass // what is known of its firmware
	known      bool            // anything is
	asking     bool            // the answer to client.get_version is waited for

	mask      atomic.Uint32     // version bits that may be rolled
	channelID atomic.Uint32     // 0 before it is open
	begun     atomic.Int64      // Unix nanoseconds: since when a line waits for its end; 0: none does
	sent      time.Time         // guarded by mu: when the newest job was
	pushes    bool              // guarded by mu: it takes set_extranonce
	owns      bool              // guarded by mu: prefix was taken and has no channel yet
	prefix    [4]byte           // guarded by mu: extranonce1
	odd       map[uint32]string // guarded by mu: ids of shares that are no plain number
	lastID    uint32            // guarded by mu: key of odd
}

// v1Wants is what a miner asked for before or after its channel was open.
type v1Wants struct {
	start float64 // difficulty to begin with; 0: any
	least float64 // easiest that it takes; 0: any
}

func newV1(srv *Server, conn net.Conn, source netip.Prefix, first []byte) *v1 {
	d := &v1{agent: srv.cfg.Classes.Named(pool.StrangerClass)}
	d.init(srv, conn, source, time.Now())
	d.coinbase = d.agent.Coinbase
	d.says, d.in = d, newLines(conn, first)
	d.standardOnly = true // it hears of its jobs alone
	d.mask.Store(v1Mask)
	return d
}

// configure makes the channel's configuration one of this dialect.
func (d *v1) configure(cfg *pool.ChannelConfig) {
	cfg.VersionMask = d.mask.Load()
	cfg.Eases = true
	cfg.Decimal, cfg.PowersOfTwo = true, cfg.PowersOfTwo || d.agent.PowersOfTwo
	if d.resumed {
		cfg.After = d.srv.rooms.Assembler.Newest()
	}
}

// read handles lines until the connection ends, or is about to rest.
func (d *v1) read() error {
	for {
		err := d.in.next(d.line)
		if errors.Is(err, syscall.EAGAIN) {
			d.flush()
			d.rests()
			return nil
		}
		if err != nil {
			return d.ended(err)
		}
		d.flush()
		if d.rests() {
			return nil
		}
	}
}

// ended is why the connection ends.
func (d *v1) ended(err error) error {
	d.flush()
	switch {
	case errors.Is(err, io.EOF):
		return errPeerGone
	case errors.Is(err, sv1.ErrLength):
		return err
	}
	return fmt.Errorf("reading a line: %w", err)
}

// rests guesses whether the next line will be long in coming, like a V2 session does.
func (d *v1) rests() bool {
	if d.times(); d.ownPoll || d.in.waits() {
		return false // the transport says when; or the line has more to come
	}
	last := d.heard
	d.heard = time.Now()
	return d.heard.Sub(last) > restAfter
}

// times keeps since when a line waits for its end.
func (d *v1) times() {
	switch begun := d.begun.Load(); {
	case !d.in.waits() && begun != 0:
		d.begun.Store(0)
	case d.in.waits() && begun == 0:
		d.begun.Store(time.Now().UnixNano())
	}
}

// lineWithin is how long a line may take from its first byte to its last.
const lineWithin = 30 * time.Second

// lookLocked ends the session of a peer that does not end its line, and sends a new job after a silence.
func (d *v1) lookLocked(now time.Time) {
	if begun := d.begun.Load(); begun != 0 && now.UnixNano()-begun > int64(lineWithin) {
		d.closeLocked(errSlowLine)
		return
	}
	c := d.channels[d.channelID.Load()]
	if c == nil || !c.group.live || now.Sub(d.sent) < d.srv.cfg.JobWithin {
		return
	}
	n := d.numberedLocked(d.srv.v1.again(d.srv.rooms.Assembler, c.group.best(), d.srv.cfg.JobWithin, now))
	d.jobLocked(0, false, c.pool.Assign(n.job, n.id, now))
}

// mostMalformed is how many lines of a connection may be no request.
const mostMalformed = 10

// line handles one line. What cannot be read is answered, and so is what is not known: firmware that
// gets no answer hangs up.
func (d *v1) line(line []byte) error {
	now := time.Now()
	var err error
	d.refused = false // by the session, or by fail
	d.request, err = sv1.ParseRequest(line)
	share := false
	switch {
	case err != nil:
		d.srv.counts.malformed.Add(1)
		d.fail(sv1.CodeOther, err.Error())
		if d.malformed++; d.malformed > mostMalformed || !d.srv.sources.garbled(d.source, now) {
			return errMalformed
		}
	case d.request.Answers():
		d.told(now)
	default:
		share = string(d.request.Method) == "mining.submit"
		d.handle(now)
	}
	if d.debt = d.chargeFor(share && !d.refused, false, now); d.debt > 0 {
		d.flush() // the wait is not for what has been answered
		d.pay()
	}
	return nil
}

// outLocked is where bytes to the peer are appended; nil if nothing may be said any more.
func (d *v1) outLocked() *[]byte {
	if d.cause != nil || d.parting {
		return nil
	}
	if d.out.pending == nil {
		d.out.pending = borrow()
	}
	return d.out.pending
}

// fail answers the request in hand with an error.
func (d *v1) fail(code int, message string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failLocked(code, message)
}

func (d *v1) failLocked(code int, message string) {
	d.refused = true
	if out := d.outLocked(); out != nil {
		*out = sv1.AppendError(*out, d.request.ID, code, message)
	}
}

// answer answers the request in hand with a JSON value.
func (d *v1) answer(result string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if out := d.outLocked(); out != nil {
		*out = sv1.AppendResult(*out, d.request.ID, result)
	}
}
