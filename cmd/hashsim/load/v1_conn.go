package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/hashlease/hashlease/pool"
)

const (
	v1Ring    = 64  // shares of one connection that wait for their answer
	v1FirstID = 100 // of shares; smaller ones are of the opening
	v1Limit   = 64 << 10
)

// Ids of the opening.
const (
	v1Subscribe = 1
	v1Authorize = 2
)

// v1Conn is one connection of Stratum V1. It belongs to its loop, whose mu guards all of it.
type v1Conn struct {
	loop *v1Loop
	fd   int
	name string

	began      time.Time // of the dial
	opened     time.Time // when the first job had come; zero before
	connected  bool
	subscribed bool
	authorized bool
	dead       error

	in     []byte // of a line whose end has not come; nil almost always
	out    []byte // what the socket did not take
	job    string
	time   string // ntime of the job
	prefix string // extranonce1
	work   v1Work
	prev   [64]byte // prevhash of the newest job
	tip    int64    // Unix nanoseconds: when that came
	zeros  string   // extranonce2 as 0
	next   uint32   // number of the next share
	last   string   // the newest good share, without its id
	lastOf string   // its job
	ring   []sent   // by number, nil until the first share
	unsure int      // shares that wait for their answer
}

// open sends what a connection begins with, in one go.
func (c *v1Conn) open() {
	c.connected = true
	c.write(fmt.Appendf(nil, `{"id":%d,"method":"mining.subscribe","params":["hashsim/load"]}`+"\n"+
		`{"id":%d,"method":"mining.authorize","params":["load.%s","x"]}`+"\n",
		v1Subscribe, v1Authorize, c.name))
}

// write sends bytes as far as the socket takes them; the rest follows when it can.
func (c *v1Conn) write(b []byte) {
	if len(c.out) > 0 {
		c.out = append(c.out, b...)
		return
	}
	n, err := syscall.Write(c.fd, b)
	switch {
	case err == syscall.EAGAIN:
		n = 0
	case err != nil:
		c.fail(fmt.Errorf("writing: %w", err))
		return
	}
	if n < len(b) {
		c.out = append(c.out, b[n:]...)
		c.loop.watch(c, syscall.EPOLLIN|syscall.EPOLLOUT)
	}
}

// flush sends what had to wait.
func (c *v1Conn) flush() {
	b := c.out
	c.out = nil
	c.loop.watch(c, syscall.EPOLLIN)
	c.write(b)
}

// fail ends the connection.
func (c *v1Conn) fail(err error) {
	if c.dead == nil {
		c.dead = err
		c.loop.lost++
		if c.loop.why == nil {
			c.loop.why = fmt.Errorf("connection %s: %w", c.name, err)
		}
	}
}

// feed takes what was read.
func (c *v1Conn) feed(b []byte, now time.Time) {
	if len(c.in) > 0 {
		b = append(c.in, b...)
		c.in = nil
	}
	for {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			break
		}
		c.take(b[:end], now)
		b = b[end+1:]
	}
	if len(b) > v1Limit {
		c.fail(fmt.Errorf("line is longer than %d bytes", v1Limit))
		return
	}
	if len(b) > 0 {
		c.in = append([]byte(nil), b...)
	}
}

// take acts on one line.
func (c *v1Conn) take(line []byte, now time.Time) {
	c.loop.tally.frames++
	if bytes.Contains(line, []byte(`"method"`)) {
		if bytes.Contains(line, []byte("mining.notify")) {
			c.notify(line, now)
		} else if _, rest, ok := bytes.Cut(line, []byte(`"mining.set_difficulty"`)); ok {
			_, rest, _ = bytes.Cut(rest, []byte{'['})
			level, _, _ := bytes.Cut(rest, []byte{']'})
			c.work.level = append(c.work.level[:0], level...)
		}
		return
	}
	id, ok := v1Number(line, `"id":`)
	switch {
	case !ok:
	case id >= v1FirstID:
		c.answer(uint32(id-v1FirstID), line, now)
	case id == v1Subscribe:
		c.subscribe(line)
	case id == v1Authorize:
		c.authorized = v1True(line)
		if !c.authorized {
			c.fail(fmt.Errorf("mining.authorize was answered with %s", line))
		}
		c.ready(now)
	}
}

// v1Number is the number that follows a key.
func v1Number(line []byte, key string) (n uint64, ok bool) {
	_, rest, ok := bytes.Cut(line, []byte(key))
	for _, d := range bytes.TrimLeft(rest, " [") {
		if d < '0' || d > '9' {
			break
		}
		n = n*10 + uint64(d-'0')
	}
	return n, ok
}

func v1True(line []byte) bool {
	return bytes.Contains(line, []byte(`"result":true`)) || bytes.Contains(line, []byte(`"result": true`))
}

// subscribe follows the answer to mining.subscribe.
func (c *v1Conn) subscribe(line []byte) {
	var m struct{ Result []json.RawMessage }
	if json.Unmarshal(line, &m) != nil || len(m.Result) < 3 {
		c.fail(fmt.Errorf("mining.subscribe was answered with %s", line))
		return
	}
	size, err := strconv.Atoi(string(m.Result[2]))
	if err != nil || size < 1 || size > 32 {
		c.fail(fmt.Errorf("extranonce2 has %s bytes", m.Result[2]))
		return
	}
	if err := json.Unmarshal(m.Result[1], &c.prefix); err != nil {
		c.fail(fmt.Errorf("extranonce1 is %s", m.Result[1]))
		return
	}
	c.zeros, c.subscribed = string(bytes.Repeat([]byte("00"), size)), true
}

// notify follows a job: its id and prevhash come first, its time last but one.
func (c *v1Conn) notify(line []byte, now time.Time) {
	_, rest, _ := bytes.Cut(line, []byte(`"params"`))
	job, rest := v1Quoted(rest)
	prev, _ := v1Quoted(rest)
	end := bytes.LastIndexByte(rest, '"')
	if len(prev) != 64 || end < 8 {
		c.fail(fmt.Errorf("no job is %s", line))
		return
	}
	c.job, c.time = string(job), string(rest[end-8:end])
	c.work.line = append(c.work.line[:0], line...)
	if !bytes.Equal(prev, c.prev[:]) {
		copy(c.prev[:], prev)
		c.tip = now.UnixNano()
		c.loop.tips++
	}
	c.ready(now)
}

// v1Quoted is the next string and what follows it.
func v1Quoted(b []byte) (s, rest []byte) {
	_, b, _ = bytes.Cut(b, []byte{'"'})
	s, rest, _ = bytes.Cut(b, []byte{'"'})
	return s, rest
}

// ready notes the moment at which the connection can mine.
func (c *v1Conn) ready(now time.Time) {
	if c.opened.IsZero() && c.authorized && c.subscribed && c.job != "" {
		c.opened = now
		c.loop.ready++
		c.loop.dialing--
	}
}

// share appends the next share: as bad as its number says. It reports whether there was room for it.
func (c *v1Conn) share(dst []byte, n int, counted bool, now time.Time) ([]byte, bool) {
	if c.ring == nil {
		c.ring = make([]sent, v1Ring)
	}
	slot := &c.ring[c.next%v1Ring]
	if c.dead != nil || c.opened.IsZero() || !slot.at.IsZero() {
		c.loop.tally.skipped++
		return dst, false
	}
	if err := c.prepare(); err != nil {
		c.fail(err)
		return dst, false
	}
	tail, bad := c.tail(n)
	*slot = sent{at: now, bad: bad, counted: counted}
	if bad == pool.RejectNone {
		c.last, c.lastOf = tail, c.job
		c.loop.tally.good++
	} else {
		c.loop.tally.bad++
	}
	dst = append(dst, `{"id":`...)
	dst = strconv.AppendUint(dst, uint64(c.next)+v1FirstID, 10)
	dst = append(append(dst, `,"method":"mining.submit","params":["load.`...), c.name...)
	dst = append(append(append(dst, `","`...), tail...), '\n')
	c.next++
	c.unsure++
	return dst, true
}

// v1BadKinds are what a bad share must be refused for, in turn.
var v1BadKinds = [...]pool.Reject{
	pool.RejectUnknownJob, pool.RejectDuplicate, pool.RejectVersionBits, pool.RejectTime,
}

// tail is a share behind the name of its worker.
func (c *v1Conn) tail(n int) (tail string, bad pool.Reject) {
	job, moment, bits := c.job, c.time, ""
	if n%badEvery == badEvery-1 {
		bad = v1BadKinds[n/badEvery%len(v1BadKinds)]
		switch {
		case bad == pool.RejectDuplicate && c.lastOf == c.job:
			return c.last, bad
		case bad == pool.RejectVersionBits:
			bits = `","00000001`
		case bad == pool.RejectTime:
			moment = "00000001"
		default:
			bad = pool.RejectUnknownJob
			job = "ffffffff"
		}
	}
	number := c.next
	if bad == pool.RejectNone {
		number = c.work.grind()
	}
	var nonce [8]byte
	const digits = "0123456789abcdef"
	for i := range nonce {
		nonce[i] = digits[number>>(28-4*i)&15]
	}
	return job + `","` + c.zeros + `","` + moment + `","` + string(nonce[:]) + bits + `"]}`, bad
}

// answer follows the answer to a share.
func (c *v1Conn) answer(number uint32, line []byte, now time.Time) {
	k := &c.loop.tally
	if c.ring == nil || c.next-number-1 >= v1Ring || c.ring[number%v1Ring].at.IsZero() {
		k.fault("an answer came to share %d, which did not wait for one: %s", number, line)
		return
	}
	s := &c.ring[number%v1Ring]
	took := now.Sub(s.at)
	accepted := v1True(line)
	code, _ := v1Number(line, `"error":`)
	switch {
	case accepted && s.bad == pool.RejectNone:
		k.accepted++
		if s.counted {
			k.acks = append(k.acks, took)
		}
	case !accepted && s.bad != pool.RejectNone && int(code) == s.bad.SV1():
		if s.counted {
			k.refused++
			k.refusals = append(k.refusals, took)
		}
	default:
		k.fault("a share that is %v was answered with %s (difficulty %s)", s.bad, line, c.work.level)
	}
	*s = sent{}
	c.unsure--
	c.loop.answered(c)
}

func (t *tally) fault(format string, args ...any) {
	t.wrong++
	if t.example == "" {
		t.example = fmt.Sprintf(format, args...)
	}
}
