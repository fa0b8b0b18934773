package load

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/stratum/noise"
)

const (
	stormInFlight = 3000 // connections in the handshake at one time: below the kernel's accept queue
	stormTries    = 5    // of one connection
)

// Storm is what reconnects at once do to the server and to those who are connected.
type Storm struct {
	Window
	Handshakes  int     `json:"handshakes"`
	Stock       int     `json:"stock"`            // handshake keys that were ready at the start
	Retries     int     `json:"retries"`          // connections that had to be made again
	Rate        float64 `json:"handshakes_per_s"` // on all cores, with the load on the same
	CPU         float64 `json:"server_ms_per_handshake"`
	PerCore     float64 `json:"handshakes_per_s_and_core"` // 1 / CPU
	Answer      Spread  `json:"connect_to_act2"`
	Mining      float64 `json:"all_mining_s"` // until the last had a job, the clients' cryptography included
	Miners      int     `json:"connected_miners"`
	ShareBefore Spread  `json:"share_to_ack_before"`
	ShareDuring Spread  `json:"share_to_ack_during"` // every share acknowledged by itself, once durable
}

// stormConn is a connection whose two messages of the handshake are timed, and whose client computes
// nothing while the storm lasts: its key is made before and its secrets after.
type stormConn struct {
	net.Conn // nil before Write
	storm    *storm
	took     time.Duration
	rest     []byte // of act 2
}

// storm is one that gathers.
type storm struct {
	stop    <-chan struct{} // closed if the measurement is given up
	address string
	armed   sync.WaitGroup // their keys are made
	begin   chan struct{}
	slots   chan struct{}
	over    sync.WaitGroup // they have act 2, or have failed
	end     chan struct{}
	retries atomic.Int64
}

// Write sends act 1, when the storm begins, and waits for act 2.
func (s *stormConn) Write(act1 []byte) (int, error) {
	defer s.storm.over.Done()
	s.storm.armed.Done()
	<-s.storm.begin
	s.storm.slots <- struct{}{}
	defer func() { <-s.storm.slots }()
	at := time.Now()
	var err error
	for range stormTries {
		if err = s.try(act1); err == nil {
			s.took = time.Since(at)
			return len(act1), nil
		}
		select {
		case <-s.storm.stop:
			return 0, err
		default:
			s.storm.retries.Add(1)
		}
	}
	return 0, err
}

func (s *stormConn) try(act1 []byte) error {
	raw, err := net.DialTimeout("tcp", s.storm.address, answerFor)
	if err != nil {
		return err
	}
	_ = raw.SetDeadline(time.Now().Add(answerFor))
	act2 := make([]byte, noise.Act2Size)
	if _, err = raw.Write(act1); err == nil {
		_, err = io.ReadFull(raw, act2)
	}
	if err != nil {
		_ = raw.Close()
		return err
	}
	s.Conn, s.rest = raw, act2
	return nil
}

// Read gives act 2 once the storm is over.
func (s *stormConn) Read(p []byte) (int, error) {
	<-s.storm.end
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// storm lets n connections come at once while those who are there go on mining.
func (r *run) storm(ctx context.Context, n int, o offered) (out Storm, err error) {
	out = Storm{Handshakes: n, Miners: len(r.crowd.clients)}
	if r.stock > 0 {
		if err := r.child.stocked(ctx, r.stock); err != nil {
			return out, err
		}
	}
	before, err := r.shares(ctx, o)
	if err != nil {
		return out, err
	}
	out.ShareBefore = before.Ack
	a, err := r.child.ask(opState)
	if err != nil {
		return out, err
	}
	out.Stock = a.Stock
	st := &storm{
		stop: ctx.Done(), address: r.crowd.address, begin: make(chan struct{}), end: make(chan struct{}),
		slots: make(chan struct{}, stormInFlight),
	}
	newcomers := &crowd{address: r.crowd.address}
	defer newcomers.cut()
	conns, done := st.gather(ctx, newcomers, n)
	during := make(chan tally, 1)
	stop := make(chan struct{})
	go func() { during <- r.mineUntil(ctx, o.rate, stop) }() // ends with stop
	w, err := openWindow(r.pid())
	if err != nil {
		return out, err
	}
	close(st.begin)
	st.over.Wait()
	if out.Window, err = w.close(); err != nil {
		return out, err
	}
	close(stop)
	t := <-during
	mining := time.Now()
	close(st.end)
	if err := <-done; err != nil {
		return out, err
	}
	out.Mining = out.Seconds + time.Since(mining).Seconds()
	out.ShareDuring = spread(t.acks)
	out.Retries = int(st.retries.Load())
	took := make([]time.Duration, n)
	for i, c := range conns {
		took[i] = c.took
	}
	out.Answer = spread(took)
	out.Rate = float64(n) / out.Seconds
	// What the miners' shares cost meanwhile is not the handshakes'.
	cpu := out.ServerCPU - before.ServerCPU/before.Seconds*out.Seconds
	out.CPU = cpu * 1e3 / float64(n)
	out.PerCore = 1e3 / out.CPU
	return out, nil
}

// gather arms n connections. The channel carries the end of all: when each mines, or why one does not.
func (st *storm) gather(ctx context.Context, k *crowd, n int) (conns []*stormConn, done chan error) {
	conns, done = make([]*stormConn, n), make(chan error, 1)
	st.armed.Add(n)
	st.over.Add(n)
	k.clients = make([]*client, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	finish := make(chan struct{}, dialers)
	for i := range n {
		conns[i] = &stormConn{storm: st}
		wg.Go(func() {
			conn, err := noise.Connect(conns[i], nil, time.Time{})
			if err != nil {
				errs[i] = fmt.Errorf("connection %d of the storm: %w", i, err)
				return
			}
			conn.Conn = conns[i].Conn
			finish <- struct{}{}
			defer func() { <-finish }()
			k.clients[i], errs[i] = k.begin(ctx, fmt.Sprintf("s%d", i), conn, 1)
		})
	}
	st.armed.Wait()
	go func() { // ends with the connections' set-up
		wg.Wait()
		var err error
		for _, e := range errs {
			if e != nil && err == nil {
				err = e
			}
		}
		done <- err
	}()
	return conns, done
}

// mineUntil offers shares until it is told to stop, and returns what was seen.
func (r *run) mineUntil(ctx context.Context, rate float64, stop <-chan struct{}) tally {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with stop or the caller
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	r.crowd.collect()
	_, _ = r.crowd.offer(ctx, offered{rate: rate, measure: time.Hour}, func() error { return nil })
	_ = pause(context.WithoutCancel(ctx), 100*time.Millisecond) // answers on their way
	return r.crowd.collect()
}
