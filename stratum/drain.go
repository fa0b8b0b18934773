package stratum

import (
	"context"
	"math/rand/v2"
	"time"
)

// Shutdown ends the server without losing a share: it stops accepting and reading, commits and
// acknowledges what was read, tells miners to come back (spread over DrainFor, so
// that they do not all shake hands at once), and closes.
//
// The context bounds how long it may take; what is left then is cut.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	for ln := range s.listeners {
		_ = ln.Close()
	}
	s.mu.Unlock()
	defer s.stop()

	var all []*session
	for _, sh := range s.shards {
		all = append(all, sh.list()...)
	}
	for _, se := range all {
		se.stopReading()
	}
	if err := waitFor(ctx, s.readers.Wait); err != nil {
		closeAll(all)
		return err
	}
	for _, sh := range s.shards {
		if err := sh.drain(ctx); err != nil {
			closeAll(all)
			return err
		}
	}
	err := s.sendAway(ctx, all)
	closeAll(all)
	return err
}

// sendAway acknowledges and sends Reconnect to each session at a random moment within DrainFor.
func (s *Server) sendAway(ctx context.Context, all []*session) error {
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	now := time.Now()
	for _, se := range all {
		se.acknowledgeAll(now)
	}
	if len(all) == 0 {
		return nil
	}
	gap := s.cfg.DrainFor / time.Duration(len(all))
	pace := time.NewTimer(0)
	defer pace.Stop()
	for _, se := range all {
		select {
		case <-pace.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		se.sendReconnect()
		pace.Reset(gap)
	}
	return nil
}

func closeAll(all []*session) {
	for _, se := range all {
		se.close(ErrServerClosed)
		se.finish()
	}
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
