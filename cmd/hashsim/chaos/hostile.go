package chaos

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/sv2"
)

const (
	visitEvery = time.Second // a peer comes again not sooner
	batchEvery = 100 * time.Millisecond
)

// errOver is the end of the phase, not the server's doing.
var errOver = errors.New("the phase is over")

// Outcome is what became of the peers of one kind.
type Outcome struct {
	Kind       string `json:"kind"`
	Peers      int    `json:"peers"`
	Visits     int64  `json:"visits"`          // connections begun
	Refused    int64  `json:"refused"`         // ... that did not come about
	Handshakes int64  `json:"handshakes"`      // ... that were encrypted
	Frames     int64  `json:"frames"`          // sent
	Answers    int64  `json:"answers"`         // frames that came
	Ended      int64  `json:"ended_by_server"` // connections
	Left       int64  `json:"ended_by_peer"`
	Open       int64  `json:"open_at_the_end"`
}

// counts is an Outcome while it grows.
type counts struct {
	visits, refused, handshakes, frames, answers, ended, left, open atomic.Int64
}

// peer is one that misbehaves.
type peer struct {
	ctx     context.Context //nolint:containedctx // a visit is one call whose steps share it
	address string
	kind    *kind
	rate    int
	counts  *counts

	tcp     *net.TCPConn
	conn    *noise.Conn
	channel uint32
	job     sv2.SubmitSharesStandard
}

// run visits the server until the phase is over.
func (p *peer) run() {
	for p.ctx.Err() == nil {
		began := time.Now()
		p.visit()
		if pause(p.ctx, visitEvery-time.Since(began)+rand.N(visitEvery/4)) != nil {
			return
		}
	}
}

func (p *peer) visit() {
	p.counts.visits.Add(1)
	p.conn, p.channel = nil, 0
	tcp, err := connect(p.ctx, p.address)
	if err != nil {
		p.counts.refused.Add(1)
		return
	}
	p.tcp = tcp
	stop := context.AfterFunc(p.ctx, func() { _ = tcp.SetDeadline(time.Unix(1, 0)) })
	err = p.kind.does(p)
	stop()
	_ = tcp.Close()
	switch {
	case p.ctx.Err() != nil:
		p.counts.open.Add(1)
	case err == nil, errors.Is(err, os.ErrDeadlineExceeded):
		p.counts.left.Add(1)
	default:
		p.counts.ended.Add(1)
	}
}

// pause waits unless the context ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(max(0, d))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return errOver
	}
}

// after is two steps.
func (p *peer) after(first, second func() error) error {
	if err := first(); err != nil {
		return err
	}
	return second()
}

// raw writes bytes as they are and waits for the end.
func (p *peer) raw(b []byte) error { return p.say(b, true) }

// say writes bytes and, if asked to, waits for the end.
func (p *peer) say(b []byte, wait bool) error {
	if _, err := p.tcp.Write(b); err != nil || !wait {
		return err
	}
	_, err := io.Copy(io.Discard, p.tcp)
	if err == nil {
		err = io.EOF
	}
	return err
}

// drip writes a byte at a time.
func (p *peer) drip(b []byte, every time.Duration) error {
	for i := range b {
		if err := p.say(b[i:i+1], false); err != nil {
			return err
		}
		if err := pause(p.ctx, every); err != nil {
			return err
		}
	}
	return nil
}

func (p *peer) shake() error {
	conn, err := noise.Connect(p.tcp, nil, time.Time{})
	if err != nil {
		return err
	}
	p.conn = conn
	p.counts.handshakes.Add(1)
	return nil
}

func (p *peer) closeWrite() error {
	if err := p.tcp.CloseWrite(); err != nil {
		return err
	}
	return p.listen()
}

// listen reads to the end.
func (p *peer) listen() error {
	var buf [1024]byte
	for {
		if _, _, err := p.conn.ReadFrame(buf[:], nil); err != nil {
			return err
		}
		p.counts.answers.Add(1)
	}
}

// send writes messages.
func (p *peer) send(msgs ...sv2.Message) error {
	var plain []byte
	for _, m := range msgs {
		plain = m.AppendFrame(plain)
	}
	p.counts.frames.Add(int64(len(msgs)))
	_, err := p.conn.Write(plain)
	return err
}

// begin is a good setup, with a channel and its job.
func (p *peer) begin() error { return p.beginWith(0) }

func (p *peer) beginWith(flags uint32, more ...sv2.Message) error {
	if err := p.shake(); err != nil {
		return err
	}
	msgs := append(append([]sv2.Message{setup(flags)}, more...), standard("hostile"))
	if err := p.send(msgs...); err != nil {
		return err
	}
	var buf [1024]byte
	for p.job.JobID == 0 || p.channel == 0 {
		raw, payload, err := p.conn.ReadFrame(buf[:], nil)
		if err != nil {
			return err
		}
		p.counts.answers.Add(1)
		switch m, _ := sv2.Decode(sv2.ParseHeader(raw), payload); m := m.(type) {
		case sv2.OpenStandardMiningChannelSuccess:
			p.channel = m.ChannelID
		case sv2.NewMiningJob:
			p.job = sv2.SubmitSharesStandard{JobID: m.JobID, Version: m.Version, Time: m.MinTime}
		case sv2.SetNewPrevHash:
			p.job.Time = m.MinTime
		case sv2.NewExtendedMiningJob: // of the channel's group
			p.job = sv2.SubmitSharesStandard{JobID: m.JobID, Version: m.Version, Time: m.MinTime}
		}
	}
	return nil
}

// share is one on the job that the connection began with: stale after a tip, as flooders do not care.
func (p *peer) share(sequence, nonce uint32) sv2.Message {
	sh := p.job
	sh.ChannelID, sh.Sequence, sh.Nonce = p.channel, sequence, nonce
	return sh
}

// frames are sent after the handshake, or after a good setup.
func (p *peer) frames(begun bool, msgs ...sv2.Message) error {
	begin := p.shake
	if begun {
		begin = p.begin
	}
	if err := begin(); err != nil {
		return err
	}
	if err := p.send(msgs...); err != nil {
		return err
	}
	return p.listen()
}

// header sends a header that announces n bytes, and others.
func (p *peer) header(typ uint8, n int, payload []byte) error {
	if err := p.begin(); err != nil {
		return err
	}
	h := sv2.Header{Extension: sv2.ChannelBit, Type: typ, Length: uint32(n)}
	frame := append(h.Append(nil), payload...)
	if len(payload) == n {
		if _, err := p.conn.Write(frame); err != nil {
			return err
		}
		return p.listen()
	}
	// The header alone authenticates: the first block of a frame that is sealed whole.
	sealed := p.conn.AppendFrame(nil, append(frame, make([]byte, n)...))
	if err := p.say(sealed[:sv2.HeaderSize+noise.Overhead], false); err != nil {
		return err
	}
	return p.listen()
}

// bytewise is a good beginning in writes of one byte.
func (p *peer) bytewise() error {
	if err := p.shake(); err != nil {
		return err
	}
	plain := standard("bytes").AppendFrame(nil)
	sealed := p.conn.AppendFrame(nil, setup(0).AppendFrame(nil))
	sealed = p.conn.AppendFrame(sealed, plain)
	if err := p.drip(sealed, 10*time.Millisecond); err != nil {
		return err
	}
	return p.listen()
}

// deaf opens channels and asks for more answers than anybody would keep, and reads none.
func (p *peer) deaf(channels int) error {
	if err := p.begin(); err != nil {
		return err
	}
	_ = p.tcp.SetReadBuffer(4 << 10)
	for range channels {
		if err := p.send(standard("deaf")); err != nil {
			return err
		}
	}
	return p.pace(func(uint32) sv2.Message {
		return sv2.SubmitSharesStandard{ChannelID: p.channel, JobID: noSuchJob}
	})
}

// flood sends what make makes at the peer's rate, and reads the answers.
func (p *peer) flood(message func(n uint32) sv2.Message) error {
	if err := p.begin(); err != nil {
		return err
	}
	return p.floodOn(message)
}

func (p *peer) floodOn(message func(n uint32) sv2.Message) error {
	over := make(chan error, 1)
	go func() { over <- p.listen() }() // ends with the connection, before the visit does
	err := p.pace(message)
	_ = p.tcp.SetDeadline(time.Unix(1, 0))
	return errors.Join(err, <-over)
}

// pace sends at the peer's rate, in batches, until the connection or the phase ends.
func (p *peer) pace(message func(n uint32) sv2.Message) error {
	batch := max(1, p.rate*int(batchEvery)/int(time.Second))
	msgs := make([]sv2.Message, batch)
	for n := uint32(0); ; {
		for i := range msgs {
			msgs[i] = message(n)
			n++
		}
		if err := p.send(msgs...); err != nil {
			return err
		}
		if err := pause(p.ctx, batchEvery); err != nil {
			return err
		}
	}
}

// garbage is a frame of bytes that mean nothing.
type garbage struct {
	extension uint16
	kind      uint8
	payload   []byte
}

// AppendFrame implements sv2.Message.
func (g garbage) AppendFrame(dst []byte) []byte {
	h := sv2.Header{Extension: g.extension, Type: g.kind, Length: uint32(len(g.payload))}
	return append(h.Append(dst), g.payload...)
}

// unknown floods with frames of an extension that nobody knows.
func (p *peer) unknown(extension uint16) error {
	payload := random(300)
	return p.flood(func(n uint32) sv2.Message { return garbage{extension, uint8(n), payload} })
}

// named negotiates names and sends shares with garbage behind them.
func (p *peer) named() error {
	if err := p.beginWith(0, sv2.RequestExtensions{Requested: []uint16{sv2.ExtWorkerIdentity}}); err != nil {
		return err
	}
	return p.floodOn(func(n uint32) sv2.Message {
		f := sv2.SubmitSharesExtended{
			ChannelID: p.channel, Sequence: n, JobID: p.job.JobID, Extranonce: make([]byte, 16),
		}.AppendFrame(nil)
		payload := append(f[sv2.HeaderSize:], random(60)...)
		return garbage{sv2.ChannelBit, sv2.TypeSubmitSharesExtended, payload}
	})
}

// power negotiates the power extension and sends garbage in it.
func (p *peer) power() error {
	if err := p.beginWith(0, sv2.RequestExtensions{Requested: []uint16{sv2.ExtPower}}); err != nil {
		return err
	}
	return p.floodOn(func(n uint32) sv2.Message { return garbage{sv2.ExtPower, uint8(n), random(80)} })
}
