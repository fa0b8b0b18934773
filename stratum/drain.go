package stratum

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Drain stops accepting and reading, and returns when every share that was read is durable and
// acknowledged. From then on the Crediter is not called again, so its journal may be closed and opened
// by the process that takes over. Sessions stay: Shutdown tells their miners to come back.
//
// The context bounds how long it may take. A second call waits for the first.
func (s *Server) Drain(ctx context.Context) error {
	if !s.startDrain() {
		select {
		case <-s.drained:
			return s.undrained
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer close(s.drained)
	for _, se := range s.list() {
		se.stopReading()
	}
	if s.undrained = s.finishWork(ctx); s.undrained != nil {
		return s.undrained
	}
	now := time.Now()
	for _, se := range s.list() { // with those that had just shaken hands
		se.acknowledgeAll(now)
	}
	return nil
}

// Shutdown ends the server without losing a share: it drains, tells miners to come back
// (spread over DrainFor, so that they do not all shake hands at once), lets them read that, and closes.
//
// The context bounds how long it may take; what is left then is cut. A second call waits for the first.
func (s *Server) Shutdown(ctx context.Context) error {
	if !s.startShutdown() {
		select {
		case <-s.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer s.stop()
	err := s.Drain(ctx)
	all := s.list()
	if err == nil {
		err = s.sendAway(ctx, all)
	}
	if err != nil {
		for _, se := range all {
			se.close(ErrServerClosed)
			se.finish()
		}
	}
	return err
}

// startShutdown is false if somebody shuts the server down already.
func (s *Server) startShutdown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.ending
	s.ending = true
	return first
}

// startDrain stops accepting and ends connections that are no sessions yet. It is false if that was
// done before.
func (s *Server) startDrain() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.draining = true
	close(s.drain)
	for ln := range s.listeners {
		_ = ln.Close()
	}
	for conn := range s.greeting {
		_ = conn.Close()
	}
	return true
}

// list is all sessions.
func (s *Server) list() []*session {
	var all []*session
	for _, sh := range s.shards {
		all = append(all, sh.list()...)
	}
	return all
}

// finishWork returns when everything that was read is durable or has failed.
func (s *Server) finishWork(ctx context.Context) error {
	if err := waitFor(ctx, s.readers.Wait); err != nil {
		return err
	}
	for _, sh := range s.shards {
		if err := sh.drain(ctx); err != nil {
			return err
		}
	}
	return nil
}

// sendAway sends Reconnect to each session and closes it at a random moment within DrainFor.
func (s *Server) sendAway(ctx context.Context, all []*session) error {
	if len(all) == 0 {
		return nil
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	var parting sync.WaitGroup
	gap := s.cfg.DrainFor / time.Duration(len(all))
	pace := time.NewTimer(0)
	defer pace.Stop()
	for _, se := range all {
		select {
		case <-pace.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		parting.Go(func() { // ends when the peer has closed, or after the time to linger
			if !se.abortsOnReconnect() {
				se.sendAway()
			}
			se.part(ErrServerClosed)
			se.finish()
		})
		pace.Reset(gap)
	}
	return waitFor(ctx, parting.Wait)
}

// sendAway tells the miner to come back.
func (s *session) sendAway() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.says.awayLocked()
	s.flushLocked()
}

// abortsOnReconnect knows the reference translator, which aborts on Reconnect with every miner behind
// it; on a closed connection it moves to its next upstream. To come back to the same place, the
// message says nothing that the end of the connection does not say.
func (s *session) abortsOnReconnect() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.device.Vendor == "SRI"
}

func waitFor(ctx context.Context, wait func()) error {
	done := make(chan struct{})
	go func() { // ends when wait does
		wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
