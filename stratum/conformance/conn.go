package conformance

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// errSilence means that nothing more came in time.
var errSilence = errors.New("nothing more came")

// Conn is one connection to the pool. Its reader only queues frames; whoever runs the check takes them
// from the queue, in order, and what the connection knows of channels is as old as the frame taken last.
type Conn struct {
	t        *T
	noise    *noise.Conn
	extended atomic.Bool // extensions were asked for
	book     *book

	// owned by the check
	plain, sealed []byte
	put           []*Frame // taken from the queue and wanted by nobody yet
	channels      []*Channel
	fences        uint32
	requests      uint32

	mu      sync.Mutex
	queue   []*Frame      // guarded by mu
	count   int           // guarded by mu
	over    error         // guarded by mu: why the reader ended
	arrived chan struct{} // capacity 1: a wake for the check
}

// Dial connects and shakes hands, and sends nothing yet.
func (t *T) Dial() *Conn {
	raw := t.DialTCP()
	c := t.handshake(raw)
	go c.read() // ends when the connection does, at the latest with the check
	return c
}

// DialTCP only connects. The connection ends with the check.
func (t *T) DialTCP() net.Conn {
	d := net.Dialer{Timeout: t.Patience()}
	raw, err := d.DialContext(t.ctx, "tcp", t.address)
	if err != nil {
		t.Failf("a TCP connection: %v", err)
	}
	t.cleanup(func() { _ = raw.Close() })
	return raw
}

// handshake must be followed by a reader.
func (t *T) handshake(raw net.Conn) *Conn {
	_ = raw.SetDeadline(time.Now().Add(t.Patience()))
	secured, err := noise.Connect(raw, t.run.pool.Authority, time.Now())
	if err != nil {
		t.Failf("a handshake: %v", err)
	}
	_ = raw.SetDeadline(time.Time{})
	return &Conn{t: t, noise: secured, book: newBook(), arrived: make(chan struct{}, 1)}
}

func (c *Conn) read() {
	for {
		raw, payload, err := c.noise.ReadFrame(nil, nil)
		c.mu.Lock()
		if err != nil {
			c.over = err
		} else {
			f := newFrame(c, raw, payload, c.count)
			c.count++
			c.queue = append(c.queue, f)
			c.book.came(f)
			c.t.run.observe(f)
		}
		c.mu.Unlock()
		select {
		case c.arrived <- struct{}{}:
		default: // a wake is pending
		}
		if err != nil {
			_ = c.noise.Close() // as the peer may wait for
			return
		}
	}
}

// Send sends messages in one write.
func (c *Conn) Send(messages ...sv2.Message) {
	c.plain = c.plain[:0]
	for _, m := range messages {
		c.plain = m.AppendFrame(c.plain)
	}
	c.SendPlain(c.plain)
}

// SendPlain seals whole frames and sends them in one write.
func (c *Conn) SendPlain(frames []byte) { c.SendSealed(c.Seal(frames)) }

// Seal is the sealed form of whole frames. It uses up nonces: what it returns must be sent next. It is
// good until the next call.
func (c *Conn) Seal(frames []byte) []byte {
	c.sealed = c.sealed[:0]
	for len(frames) > 0 {
		h := sv2.ParseHeader([6]byte(frames[:6]))
		n := sv2.HeaderSize + int(h.Length)
		if m, err := sv2.Decode(h, frames[sv2.HeaderSize:n]); err == nil {
			c.book.sent(m)
		}
		c.sealed = c.noise.AppendFrame(c.sealed, frames[:n])
		frames = frames[n:]
	}
	return c.sealed
}

// SendSealed writes bytes as they are. A failed write is no failed rule: the pool may have ended the
// connection by right, and the check will look for that.
func (c *Conn) SendSealed(b []byte) {
	_ = c.noise.SetWriteDeadline(time.Now().Add(c.t.Patience()))
	_, _ = c.noise.Conn.Write(b)
}

// Close ends the connection.
func (c *Conn) Close() { _ = c.noise.Close() }

// frameOf is any frame, sound or not.
func frameOf(extension uint16, typ uint8, payload []byte) []byte {
	h := sv2.Header{Extension: extension, Type: typ, Length: uint32(len(payload))}
	return append(h.Append(nil), payload...)
}

// next takes the next frame off the queue, or the error that ended the connection, or errSilence.
func (c *Conn) next(within time.Duration) (*Frame, error) {
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	for {
		c.mu.Lock()
		if len(c.queue) > 0 {
			f := c.queue[0]
			c.queue = c.queue[1:]
			c.mu.Unlock()
			c.follow(f)
			return f, nil
		}
		over := c.over
		c.mu.Unlock()
		if over != nil {
			return nil, over
		}
		select {
		case <-c.arrived:
		case <-timeout.C:
			return nil, errSilence
		case <-c.t.ctx.Done():
			return nil, c.t.ctx.Err()
		}
	}
}

// Next is the next frame that nobody waited for yet, whatever it is.
func (c *Conn) Next(what string) *Frame {
	if len(c.put) > 0 {
		f := c.put[0]
		c.put = c.put[1:]
		return f
	}
	f, err := c.next(c.t.Patience())
	if err != nil {
		c.t.Failf("expected %s, got %s", what, ending(err))
	}
	return f
}

// AwaitFrame is the first frame that match accepts. Those before it stay for others.
func (c *Conn) AwaitFrame(what string, within time.Duration, match func(*Frame) bool) *Frame {
	for i, f := range c.put {
		if match(f) {
			c.put = append(c.put[:i:i], c.put[i+1:]...)
			return f
		}
	}
	end := time.Now().Add(within)
	for {
		f, err := c.next(time.Until(end))
		if err != nil {
			c.t.Failf("expected %s, got %s%s", what, ending(err), c.seen())
		}
		if match(f) {
			return f
		}
		c.put = append(c.put, f)
	}
}

// Await is the first message of a type. Frames before it stay for others.
func Await[M sv2.Message](c *Conn) M {
	return AwaitThat(c, func(M) bool { return true })
}

// AwaitThat is the first message of a type for which that holds.
func AwaitThat[M sv2.Message](c *Conn, that func(M) bool) M {
	var zero M
	f := c.AwaitFrame(nameOf(zero), c.t.Patience(), func(f *Frame) bool {
		m, ok := f.Msg.(M)
		return ok && that(m)
	})
	m, _ := f.Msg.(M) // just matched
	return m
}

// Taken is every message of a type that came up to now and nobody waited for; they are taken.
func Taken[M sv2.Message](c *Conn) []M {
	var found []M
	var rest []*Frame
	for _, f := range c.put {
		if m, ok := f.Msg.(M); ok {
			found = append(found, m)
		} else {
			rest = append(rest, f)
		}
	}
	c.put = rest
	return found
}

// Fence returns when the pool has handled everything sent before: it answers in order, and what it had to
// say is there, for Taken and Await. The question is an UpdateChannel of a channel that cannot exist.
func (c *Conn) Fence() {
	if err := c.fence(c.t.Patience()); err != nil {
		c.t.Failf("expected the connection to go on (UpdateChannel.Error for an unknown channel), got %s%s",
			ending(err), c.seen())
	}
}

func (c *Conn) fence(within time.Duration) error {
	c.fences++
	id := 0xfff00000 + c.fences
	c.Send(sv2.UpdateChannel{ChannelID: id, NominalHashRate: 1, MaxTarget: Easiest})
	end := time.Now().Add(within)
	for {
		f, err := c.next(time.Until(end))
		if err != nil {
			return err
		}
		if m, ok := f.Msg.(sv2.UpdateChannelError); ok && m.ChannelID == id {
			return nil
		}
		c.put = append(c.put, f)
	}
}

// Ended waits for the pool to end the connection. The frames before the end stay for Taken.
func (c *Conn) Ended(why string) {
	c.EndedWithin(why, c.t.Patience())
}

// EndedWithin is Ended with a time of its own.
func (c *Conn) EndedWithin(why string, within time.Duration) {
	end := time.Now().Add(within)
	for {
		f, err := c.next(time.Until(end))
		switch {
		case errors.Is(err, errSilence):
			c.t.Failf("expected the connection to end after %s, but it is open after %v%s",
				why, within, c.seen())
		case err != nil:
			return
		}
		c.put = append(c.put, f)
	}
}

// Silent fails if frames came that nobody waited for.
func (c *Conn) Silent(after string) {
	if len(c.put) > 0 {
		c.t.Failf("expected no message after %s, got %v", after, c.put[0])
	}
}

// seen lists what came instead, for people.
func (c *Conn) seen() string {
	if len(c.put) == 0 {
		return ""
	}
	s := " after"
	for i, f := range c.put {
		if i == 6 {
			return s + fmt.Sprintf(" and %d more", len(c.put)-i)
		}
		if i > 0 {
			s += ","
		}
		s += " " + f.String()
	}
	return s
}

func ending(err error) string {
	if errors.Is(err, errSilence) {
		return "nothing"
	}
	return "the end of the connection (" + err.Error() + ")"
}

// hostPort is the pool's address as SetupConnection carries it.
func (t *T) hostPort() (host string, port uint16) {
	host, text, err := net.SplitHostPort(t.address)
	if err != nil {
		return t.address, 0
	}
	n, _ := strconv.ParseUint(text, 10, 16)
	return host, uint16(n)
}

// SetupRequest is a sound SetupConnection.
func (t *T) SetupRequest(flags uint32) sv2.SetupConnection {
	host, port := t.hostPort()
	return sv2.SetupConnection{
		Protocol: sv2.ProtocolMining, MinVersion: sv2.Version, MaxVersion: sv2.Version, Flags: flags,
		Host: host, Port: port, Vendor: "sv2conform", HardwareVersion: "none", Firmware: "1",
	}
}

// Setup is a connection that is ready for channels.
func (t *T) Setup(flags uint32) *Conn {
	c := t.Dial()
	c.Send(t.SetupRequest(flags))
	f := c.Next("SetupConnection.Success")
	if _, ok := f.Msg.(sv2.SetupConnectionSuccess); !ok {
		t.Failf("expected SetupConnection.Success for flags 0x%x, got %v", flags, f)
	}
	return c
}
