package stratum

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// Shutdown ends the server without losing a share: it stops accepting and reading, commits and
// acknowledges what was read, tells miners to come back (spread over DrainFor, so
// that they do not all shake hands at once), lets them read that, and closes.
//
// The context bounds how long it may take; what is left then is cut. A second call waits for the first.
func (s *Server) Shutdown(ctx context.Context) error {
	if !s.startDrain() {
		select {
		case <-s.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer s.stop()
	for _, se := range s.list() {
		se.stopReading()
	}
	err := s.finishWork(ctx)
	all := s.list() // with those that had just shaken hands
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

// startDrain stops accepting and ends connections that are no sessions yet. It is false if that was
// done before.
func (s *Server) startDrain() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.draining = true
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

// sendAway acknowledges, and sends Reconnect to each session and closes it at a random moment
// within DrainFor.
func (s *Server) sendAway(ctx context.Context, all []*session) error {
	if len(all) == 0 {
		return nil
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	now := time.Now()
	for _, se := range all {
		se.acknowledgeAll(now)
	}
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
				reply(se, sv2.Reconnect{})
			}
			se.part(ErrServerClosed)
			se.finish()
		})
		pace.Reset(gap)
	}
	return waitFor(ctx, parting.Wait)
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
