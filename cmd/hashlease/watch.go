package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// How a watch that lost its server comes back.
const (
	rewatchFirst = 500 * time.Millisecond
	rewatchMost  = 10 * time.Second
	rewatchFor   = 5 * time.Minute // without any answer; then it gives up
)

//nolint:revive // tags are one line
type leaseWatchCmd struct {
	clientFlags
	Name  string `arg:"" optional:"" help:"Only this lease: its id, or tenants/TENANT/leases/ID."`
	Until string `help:"End when the lease is in this state, or can no longer be: active, completed, ..." placeholder:"STATE"`
	After int64  `help:"Only changes after this revision; 0 begins with the present state." default:"0"`
}

// Run follows leases.
func (c *leaseWatchCmd) Run(ctx context.Context, e *env) error {
	w := watcher{env: e, json: c.JSON, after: c.After}
	if c.After < 0 {
		return usagef("--after is %d: 0 or more is accepted", c.After)
	}
	if c.Until != "" {
		state, err := parseState(c.Until)
		if err != nil {
			return usagef("--until %q: %w", c.Until, err)
		}
		if c.Name == "" {
			return usagef("--until needs the name of one lease")
		}
		w.until = state
	}
	cl, err := c.dial()
	if err != nil {
		return err
	}
	defer cl.close()
	w.cl = cl
	if c.Name != "" {
		if w.name, err = cl.leaseName(c.Name); err != nil {
			return err
		}
	}
	return w.run(ctx)
}

// watcher follows leases over reconnects: it asks again for what came after the last change it saw.
type watcher struct {
	cl    *client
	env   *env
	json  bool
	name  string                 // only this lease; empty: all
	until hashleasev1.LeaseState // unspecified: for ever
	after int64                  // revision of the last change seen
	heard bool                   // since the last connection
}

// run ends with nil when the state was reached or ctx ended.
func (w *watcher) run(ctx context.Context) error {
	wait, lost, met := rewatchFirst, time.Time{}, false
	for {
		done, err := w.stream(ctx)
		if done {
			return err
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // whoever stops a watch got what was wanted
		}
		code := status.Code(err)
		met = met || w.heard
		if !met || code != codes.Unavailable && code != codes.DeadlineExceeded && !ended(err) {
			return fmt.Errorf("following leases: %w", err)
		}
		if w.heard {
			w.heard, lost, wait = false, time.Now(), rewatchFirst
		}
		if time.Since(lost) > rewatchFor {
			return fmt.Errorf("following leases, %v without an answer: %w", rewatchFor, err)
		}
		w.env.notef("connection lost, trying again in %v\n", wait)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, rewatchMost)
	}
}

// stream follows one connection. done says that there is nothing more to wait for.
func (w *watcher) stream(ctx context.Context) (done bool, err error) {
	ctx, cancel := context.WithCancel(w.cl.stream(ctx))
	defer cancel()
	req := &hashleasev1.WatchLeasesRequest{AfterRevision: w.after, Name: w.name}
	s, err := w.cl.leases.WatchLeases(ctx, req)
	if err != nil {
		return false, err
	}
	for {
		r, err := s.Recv()
		if err != nil {
			return false, err
		}
		w.heard = true
		l := r.GetLease()
		w.after = max(w.after, l.GetRevision())
		if err := w.print(l); err != nil {
			return true, err
		}
		if done, err := w.reached(l); done {
			return true, err
		}
	}
}

func (w *watcher) print(l *hashleasev1.Lease) error {
	if w.json {
		return w.env.jsonLine(l)
	}
	w.env.printf("%s  %-9s  %s  %s%s\n", time.Now().Format("15:04:05"), stateWord(l.GetState()),
		w.cl.shortLease(oneLine(l.GetName())), unit.Watts(l.GetWatts()), oneLine(reasonOf(l)))
	return nil
}

// reached says whether the wanted state is there, or can never be any more.
func (w *watcher) reached(l *hashleasev1.Lease) (bool, error) {
	if w.until == hashleasev1.LeaseState_LEASE_STATE_UNSPECIFIED {
		return false, nil
	}
	switch state := l.GetState(); {
	case state == w.until:
		return true, nil
	case state >= hashleasev1.LeaseState_LEASE_STATE_COMPLETED,
		state == hashleasev1.LeaseState_LEASE_STATE_ENDING && w.until < state:
		return true, fmt.Errorf("the lease is %s%s and will not be %s",
			stateWord(state), reasonOf(l), stateWord(w.until))
	}
	return false, nil
}
