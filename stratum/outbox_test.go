package stratum

import (
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// Ensure that a peer which does not read is cut at the bound, that nobody waits for it, and that what it
// cost is given back.
func TestOutbox_CutsAPeerThatDoesNotReadAtTheBound(t *testing.T) {
	b := newBench(t, nil)
	s, _ := b.tcpSession()
	m := sv2.SubmitSharesError{Code: strings.Repeat("x", 255)}
	sent := 0
	for ; s.why() == nil; sent += 300 {
		reply(s, m)
		if sent > 20<<20 {
			t.Fatalf("%d bytes were taken for a peer that does not read", sent)
		}
	}
	if !errors.Is(s.why(), errSlowReader) {
		t.Errorf("session ended by %v", s.why())
	}
	s.finish() // the slow writer has ended
	reply(s, m)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out.pending != nil {
		t.Errorf("outbox still holds %+v", s.out)
	}
}

// Ensure that a connection with many channels may have more waiting: one tip is many messages to it.
func TestOutbox_GrowsItsBoundWithTheChannels(t *testing.T) {
	o := outbox{}
	for range 2 {
		full := make([]byte, outboxLimit+1)
		o.pending = &full
		if _, err := o.flush(outboxLimit); !errors.Is(err, errSlowReader) {
			t.Errorf("%d bytes gave %v", len(full), err)
		}
		if spawn, err := o.flush(outboxLimit + outboxLimitChannel); err != nil || !spawn {
			t.Errorf("with a channel: %v", err)
		}
		o.slow = false
	}
	o.slow, o.writing = true, outboxLimit
	one := []byte{1}
	o.pending = &one
	if _, err := o.flush(outboxLimit); !errors.Is(err, errSlowReader) {
		t.Errorf("what the writer holds was not counted: %v", err)
	}
}

// Ensure that bytes of several goroutines leave whole and in order through partial writes, full socket
// buffers and the slow writer: each frame authenticates only in its place.
func TestOutbox_KeepsTheOrderOfBytes(t *testing.T) {
	b := newBench(t, nil)
	s, client := b.tcpSession()
	const senders, messages = 4, 500
	var wg sync.WaitGroup
	for sender := range uint32(senders) {
		wg.Go(func() {
			for n := range uint32(messages) {
				reply(s, sv2.SubmitSharesError{
					ChannelID: sender, Sequence: n, Code: strings.Repeat("x", int(n%200)),
				})
			}
		})
	}
	var next [senders]uint32
	_ = client.SetReadDeadline(time.Now().Add(20 * time.Second))
	for range senders * messages {
		_, payload, err := client.ReadFrame(nil, nil)
		if err != nil {
			t.Fatal(err, s.why())
		}
		m, _, err := sv2.DecodeSubmitSharesError(payload)
		if err != nil || m.Sequence != next[m.ChannelID] {
			t.Fatalf("sender %d: got message %d, want %d", m.ChannelID, m.Sequence, next[m.ChannelID])
		}
		next[m.ChannelID]++
	}
	wg.Wait()
	if s.why() != nil {
		t.Error(s.why())
	}
}

// Ensure that a peer which takes no byte of the backlog in time is cut.
func TestOutbox_CutsAPeerThatTakesNothingInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		near, far := net.Pipe()
		s, _ := b.session(near, far)
		reply(s, sv2.Reconnect{})
		time.Sleep(writeLimit - time.Second)
		if synctest.Wait(); s.why() != nil {
			t.Fatalf("ended early: %v", s.why())
		}
		time.Sleep(2 * time.Second)
		if synctest.Wait(); !errors.Is(s.why(), os.ErrDeadlineExceeded) {
			t.Errorf("session ended by %v", s.why())
		}
	})
}

// Ensure that a slow writer leaves no deadline behind for the writes that do not wait.
func TestOutbox_RecoversFromABacklog(t *testing.T) {
	b := newBench(t, nil)
	s, client := b.tcpSession()
	m := sv2.SubmitSharesError{Code: strings.Repeat("x", 255)}
	slow := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.out.slow
	}
	sent := 0
	for ; !slow(); sent++ {
		reply(s, m)
	}
	for range sent {
		if _, _, err := client.ReadFrame(nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	s.writer.Wait()
	if slow() || s.why() != nil {
		t.Fatalf("still slow, or ended by %v", s.why())
	}
	reply(s, m)
	if slow() {
		t.Error("the next message needed the slow writer")
	}
	if _, _, err := client.ReadFrame(nil, nil); err != nil {
		t.Error(err)
	}
}

// Ensure that a session can be closed while its slow writer is stuck.
func TestOutbox_EndsTheWriterWhenTheSessionCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		near, far := net.Pipe()
		s, _ := b.session(near, far)
		reply(s, sv2.Reconnect{})
		synctest.Wait() // the writer is stuck in the pipe
		s.close(errNoChannel)
		s.finish()
		if !errors.Is(s.why(), errNoChannel) {
			t.Errorf("cause is %v, want the first", s.why())
		}
	})
}
