package stratum

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// sockets is a connection in the poller of a server that runs until the test ends, and its other end.
func sockets(t *testing.T) (*socket, *net.TCPConn) {
	t.Helper()
	b := newBench(t, nil)
	b.serveTCP()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dialer := net.Dialer{}
	raw, err := dialer.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return b.server.startPoller() != nil })
	c, ok := b.server.takeOut(far).(*socket)
	if !ok {
		t.Fatal("the connection was not taken out")
	}
	t.Cleanup(func() { _, _ = c.Close(), raw.Close() })
	return c, raw.(*net.TCPConn)
}

// Ensure that a socket is a connection like any other to who waits: bytes pass both ways through full
// buffers, and its ends are known.
func TestSocket_CarriesBytesBothWays(t *testing.T) {
	c, far := sockets(t)
	if got, want := c.RemoteAddr().String(), far.LocalAddr().String(); got != want {
		t.Errorf("the peer is %s, want %s", got, want)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("a read of nothing gave %v", err)
	}
	c.patient()
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := c.Write(sent); err != nil {
			t.Error(err)
		}
		_ = c.CloseWrite()
	})
	wg.Go(func() {
		if got, err := io.ReadAll(far); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d bytes came from the socket, %v", len(got), err)
		}
		if _, err := far.Write(sent); err != nil {
			t.Error(err)
		}
		_ = far.CloseWrite()
	})
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came to the socket, %v", len(got), err)
	}
	wg.Wait()
}

// Ensure that whoever waits for a socket is told of a deadline and of its end, and that a socket which is
// closed does nothing more.
func TestSocket_EndsWaits(t *testing.T) {
	full := make([]byte, 64<<20) // more than any buffers hold
	for name, c := range map[string]struct {
		end  func(*socket)
		want error
	}{
		"deadline ahead": {func(c *socket) {
			_ = c.SetDeadline(time.Now().Add(time.Millisecond))
		}, os.ErrDeadlineExceeded},
		"deadline past": {func(c *socket) {
			_ = c.SetDeadline(time.Unix(1, 0))
		}, os.ErrDeadlineExceeded},
		"closed": {func(c *socket) { _ = c.Close() }, net.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := sockets(t)
			s.patient()
			var wg sync.WaitGroup
			wg.Go(func() {
				if _, err := s.Read(make([]byte, 1)); !errors.Is(err, c.want) {
					t.Errorf("a read ended with %v, want %v", err, c.want)
				}
			})
			wg.Go(func() {
				if _, err := s.Write(full); !errors.Is(err, c.want) {
					t.Errorf("a write ended with %v, want %v", err, c.want)
				}
			})
			c.end(s)
			wg.Wait()
		})
	}
	c, _ := sockets(t)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	_, read := c.Read(make([]byte, 1))
	_, wrote := c.Write([]byte{1})
	for _, err := range []error{read, wrote, c.Close(), c.CloseWrite()} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("a closed socket says %v", err)
		}
	}
}

// Ensure that connections which rest have no goroutine, and that all of them are heard when they speak, and
// when they end.
func TestPoller_RestsWithoutGoroutines(t *testing.T) {
	const n = 50
	b := newBench(t, nil)
	address := b.serveTCP()
	b.publish(template(100, 1, false))
	before := runtime.NumGoroutine()
	conns := make([]*noise.Conn, n)
	jobs := make([][2]uint32, n)
	for i := range conns {
		conns[i] = b.connect(address, openStandard())
		jobs[i][0], jobs[i][1] = activeJob(t, conns[i])
	}
	await(t, func() bool { return runtime.NumGoroutine() < before+n/2 })
	for i, c := range conns {
		if _, err := c.Write(share(jobs[i][0], jobs[i][1], 7).AppendFrame(nil)); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			_ = c.Close()
		}
	}
	await(t, func() bool { return b.server.counts.accepted.Load() == n })
	await(t, func() bool { return b.server.Stats().Sessions == n/2 })
	for _, se := range b.server.list() {
		se.close(io.EOF)
	}
	await(t, func() bool { return b.server.Stats().Sessions == 0 })
	await(t, func() bool {
		b.server.mu.Lock()
		defer b.server.mu.Unlock()
		return b.server.sessions == 0
	})
}

// Ensure that frames which come byte by byte are handled like others, without a goroutine that waits for
// the rest of one.
func TestPoller_HandlesFramesThatComeInPieces(t *testing.T) {
	b := newBench(t, nil)
	address := b.serveTCP()
	b.publish(template(100, 1, false))
	dialer := net.Dialer{}
	raw, err := dialer.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	conn, err := noise.Connect(raw, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	drip := func(m sv2.Message) {
		sealed := conn.AppendFrame(nil, m.AppendFrame(nil))
		for i := range sealed {
			if _, err := raw.Write(sealed[i : i+1]); err != nil {
				t.Fatal(err)
			}
			runtime.Gosched()
		}
	}
	drip(sv2.SetupConnection{
		MinVersion: 2, MaxVersion: 2, Vendor: strings.Repeat("v", 200), Firmware: strings.Repeat("f", 200),
	})
	drip(openStandard())
	channel, job := activeJob(t, conn)
	for i := range uint32(20) {
		drip(share(channel, job, i))
	}
	await(t, func() bool { return b.server.counts.accepted.Load() == 20 })
}

// Ensure that connections of Stratum V1 rest without a goroutine too, and that lines are answered which come
// in pieces and several at once.
func TestPoller_RestsStratumV1(t *testing.T) {
	const n = 20
	b := newBench(t, nil)
	address := b.serveTCP()
	b.publish(template(100, 1, false))
	before := runtime.NumGoroutine()
	clients := make([]*v1Client, n)
	dialer := net.Dialer{}
	for i := range clients {
		raw, err := dialer.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = raw.Close() })
		clients[i] = newV1Client(t, raw)
		clients[i].say(`{"id":1,"method":"mining.subscribe","params":["test/1"]}`)
		clients[i].reply("1")
		clients[i].say(`{"id":2,"method":"mining.authorize","params":["a.b","x"]}`)
		clients[i].await("mining.notify")
	}
	await(t, func() bool { return runtime.NumGoroutine() < before+n+n/2 }) // each client reads on one
	for _, c := range clients {
		line := `{"id":3,"method":"mining.extranonce.subscribe","params":[]}`
		for i := range len(line) - 1 {
			c.must(writeAll(c.conn, line[i:i+1]))
		}
		c.must(writeAll(c.conn, "}\n"+strings.ReplaceAll(line, ":3", ":4")+"\n"))
		c.reply("3")
		c.reply("4")
		_ = c.conn.Close()
	}
	await(t, func() bool { return b.server.Stats().Sessions == 0 })
}

func writeAll(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}

// Ensure that a peer for whom the server has to wait keeps no other one waiting.
func TestPoller_WaitsForNobody(t *testing.T) {
	b := newBench(t, nil)
	held := make(chan struct{})
	b.authorize = func(identity string) error {
		if strings.HasPrefix(identity, "mallory") {
			<-held
		}
		return nil
	}
	address := b.serveTCP()
	defer close(held)
	b.publish(template(100, 1, false))
	honest := b.connect(address, openStandard())
	channel, job := activeJob(t, honest)
	for range 5 {
		b.connect(address, sv2.OpenStandardMiningChannel{
			UserIdentity: "mallory.one", MaxTarget: pool.MaxTarget.Bytes(),
		})
	}
	flood := b.connect(address, openStandard())
	wrong, _ := activeJob(t, flood)
	var frames []byte
	for i := range uint32(frameBurst + 100) { // beyond what is tolerated: it has to wait
		frames = share(wrong, 0xffff, i).AppendFrame(frames)
	}
	if _, err := flood.Write(frames); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return b.server.counts.throttled.Load() > 0 })
	for i := range uint32(20) {
		if _, err := honest.Write(share(channel, job, i).AppendFrame(nil)); err != nil {
			t.Fatal(err)
		}
		await(t, func() bool { return b.server.counts.accepted.Load() == uint64(i)+1 })
	}
}

// Ensure that a connection stays with the runtime's poller where there is none of ours.
func TestTakeOut_LeavesWhatItCannotTake(t *testing.T) {
	b := newBench(t, nil)
	near, far := net.Pipe()
	defer near.Close()
	if got := b.server.takeOut(far); got != far {
		t.Errorf("a pipe became %T", got)
	}
	s, client := b.tcpSession()
	if got := b.server.takeOut(client.Conn); got != client.Conn || isSocket(s.conn.Conn) {
		t.Errorf("without a server that runs, a connection became %T", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = b.server.Run(ctx)
	if b.server.startPoller() != nil {
		t.Error("a poller began after the end of Run")
	}
}
