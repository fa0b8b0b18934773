package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hashlease/hashlease/pool/node"
	"github.com/hashlease/hashlease/storage"
)

// takeover is how a server waits for the one before it on the same storage directory, and what it has
// ready meanwhile.
type takeover struct {
	within time.Duration
	say    func(format string, args ...any)

	began time.Time
	told  time.Time
	heir  *heir
}

const (
	lockTurn    = 500 * time.Millisecond // one wait for a journal; in between the context is looked at
	tellEvery   = 5 * time.Second        // progress
	longestWait = 24 * time.Hour
)

// openWhenFree opens a journal in dir as soon as the server before this one has closed it.
func (s *server) openWhenFree(ctx context.Context, dir string, open func(wait time.Duration) error) error {
	t := s.takeover
	if t == nil {
		return open(0)
	}
	for {
		err := open(lockTurn)
		if !errors.Is(err, storage.ErrLocked) {
			return err
		}
		waited := time.Since(t.began)
		if waited >= t.within {
			return fmt.Errorf("%w: it did not end within %v%s; nothing was changed: "+
				"send it SIGTERM and start this one again", err, t.within, t.whose())
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if t.heir == nil {
			if t.heir, err = inherit(dir); err != nil {
				return err
			}
		}
		if t.told.IsZero() || time.Since(t.told) >= tellEvery {
			t.told = time.Now()
			t.say("waiting for the running server%s to drain: send it SIGTERM; %s; %v of %v\n",
				t.whose(), s.prepared(), waited.Truncate(time.Second), t.within)
		}
	}
}

// whose names the process that is waited for, if it is known.
func (t *takeover) whose() string {
	if t.heir == nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", t.heir.pid)
}

// prepared says for people what is ready to take over.
func (s *server) prepared() string {
	for _, n := range s.sources {
		if st := n.State(); st.Phase != node.Ready {
			return fmt.Sprintf("node %s is %s", n.Name(), st)
		}
	}
	return "ready to take over"
}

// prepareAhead starts what needs no journal, so that the server can serve the moment that it has one:
// nodes are connected and give templates, handshake keys are made.
func (s *server) prepareAhead() error {
	if err := s.openSources(); err != nil {
		return err
	}
	for i, n := range s.sources {
		f := &followed{n, startEarly(n.Run)}
		s.sources[i] = f
		s.closers = append(s.closers, f.run.close)
	}
	if err := s.openKeys(); err != nil {
		return err
	}
	keys := startEarly(s.keys.run)
	s.runKeys = keys.join
	s.closers = append(s.closers, keys.close)
	return nil
}

// served notes how long miners waited, once everything runs.
func (t *takeover) served(log *slog.Logger, locked time.Time) {
	if t != nil && t.heir != nil {
		log.Info("took over", slog.Int("from_process", t.heir.pid),
			slog.Duration("after_its_journals_closed", time.Since(locked)))
	}
}

// early is a room that runs before the others and is joined by them.
type early struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // written before done is closed
}

// startEarly runs a room until join's context ends, or close.
func startEarly(run func(context.Context) error) *early {
	ctx, cancel := context.WithCancel(context.Background())
	e := &early{cancel: cancel, done: make(chan struct{})}
	go func() { // ends with ctx, or when the room fails
		e.err = run(ctx)
		close(e.done)
	}()
	return e
}

// join runs the room on until ctx ends.
func (e *early) join(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-e.done:
	}
	_ = e.close()
	return e.err
}

func (e *early) close() error {
	e.cancel()
	<-e.done
	return nil
}

// followed is a node that is kept up with before the relay runs.
type followed struct {
	node.Source
	run *early
}

// Run implements node.Source.
func (f *followed) Run(ctx context.Context) error { return f.run.join(ctx) }
