package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	leaseclient "github.com/hashlease/hashlease/lease/client"
	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
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

// watcher follows leases over reconnects.
type watcher struct {
	cl    *client
	env   *env
	json  bool
	name  string                 // only this lease; empty: all
	until hashleasev1.LeaseState // unspecified: for ever
	after int64                  // only changes after this revision
}

// run ends with nil when the state was reached or ctx ended. Who was never heard is not waited for: the
// address may be wrong.
func (w *watcher) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	met := false
	follow := w.cl.following(func(err error, wait time.Duration) {
		if !met {
			cancel(err)
			return
		}
		w.env.notef("connection lost, trying again in %v\n", wait.Round(10*time.Millisecond))
	})
	var end error
	err := follow.Watch(ctx, w.name, w.after, func(l *hashleasev1.Lease) error {
		met = true
		if end = w.print(l); end != nil {
			return end
		}
		var done bool
		if done, end = w.reached(l); done {
			return leaseclient.ErrEnough
		}
		return nil
	})
	switch cause := context.Cause(ctx); {
	case end != nil:
		return end
	case errors.Is(cause, context.Canceled): // whoever stops a watch got what was wanted
		return nil
	case cause != nil:
		err = cause
	}
	if err != nil {
		return fmt.Errorf("following leases: %w", err)
	}
	return nil
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
