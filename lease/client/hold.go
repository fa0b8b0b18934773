package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// Why use's context ended, as context.Cause says it.
var (
	ErrSlotOver = errors.New("the slot is over")
	ErrEnded    = errors.New("the lease was ended")
)

// ErrNotActive is a lease that ended before a meter showed its watts free.
var ErrNotActive = errors.New("the lease never became active")

// Hold says how a lease is held.
type Hold struct {
	// Grace is how long before the end of the slot use is asked to stop; 0: at the end. What is drawn
	// after the end is an overrun, at the penalty price.
	Grace time.Duration
	// Changed is called with every state of the lease, first when it is booked; nil: nobody is told.
	// While it is DEGRADED the tenant must not draw more than it does.
	Changed func(*hashleasev1.Lease)
}

// release is how long giving a lease back may take, and unsure finding out whether there is one.
const (
	release = time.Minute
	unsure  = 10 * time.Second
)

// Hold books a slot, waits until a meter shows its watts free, calls use, and gives the watts back when
// it returns. The context of use ends with ctx, Grace before the end of the slot (ErrSlotOver), or when
// the lease is ended by somebody else (ErrEnded). The error is use's, or what kept it from being called;
// joined with it is what kept the lease from being given back, which then ends with its slot.
func (c *Client) Hold(
	ctx context.Context, r *hashleasev1.CreateLeaseRequest, h Hold,
	use func(context.Context, *hashleasev1.Lease) error,
) (err error) {
	if h.Changed == nil {
		h.Changed = func(*hashleasev1.Lease) {}
	}
	r = proto.CloneOf(r)
	r.RequestId = cmp.Or(r.GetRequestId(), NewRequestID())
	l, err := c.Create(ctx, r)
	if err != nil {
		return errors.Join(fmt.Errorf("booking the lease: %w", err), c.undo(ctx, r, err))
	}
	h.Changed(l)
	defer func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), release)
		defer cancel()
		ended, endErr := c.Cancel(late, l.GetName())
		if endErr != nil {
			err = errors.Join(err, fmt.Errorf("giving lease %s back, which ends at %v: %w",
				l.GetName(), l.GetEndTime().AsTime(), endErr))
			return
		}
		h.Changed(ended)
	}()
	return c.held(ctx, l, h, use)
}

// undo gives back what may have been booked by a request that had no answer: the same request once more
// says which lease it is.
func (c *Client) undo(ctx context.Context, r *hashleasev1.CreateLeaseRequest, why error) error {
	if !passing(why) && ctx.Err() == nil {
		return nil // it was refused
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), unsure)
	defer cancel()
	l, err := c.Create(late, r)
	if err == nil {
		_, err = c.Cancel(late, l.GetName())
	}
	if err != nil {
		return fmt.Errorf("it may be booked all the same, until %v, by request %s",
			r.GetLease().GetEndTime().AsTime(), r.GetRequestId())
	}
	return nil
}

// held waits for the watts and calls use.
func (c *Client) held(
	ctx context.Context, l *hashleasev1.Lease, h Hold,
	use func(context.Context, *hashleasev1.Lease) error,
) error {
	slot, end := context.WithCancelCause(ctx)
	defer end(nil)
	left := func() time.Duration { return time.Until(l.GetEndTime().AsTime().Add(-h.Grace)) }
	atEnd := time.AfterFunc(left(), func() { end(ErrSlotOver) })
	defer atEnd.Stop()

	states := make(chan *hashleasev1.Lease)
	watched := make(chan error, 1)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go func() { // ends with watching
		watched <- c.Watch(watching, l.GetName(), 0, func(l *hashleasev1.Lease) error {
			select {
			case states <- l:
				return nil
			case <-watching.Done():
				return watching.Err()
			}
		})
	}()
	used := make(chan error, 1)
	running := false
	for {
		select {
		case <-slot.Done():
			if running {
				return <-used
			}
			return context.Cause(slot)
		case err := <-used:
			return err
		case err := <-watched:
			if !running {
				return fmt.Errorf("following the lease: %w", err)
			}
			watched = nil // the slot's own clock goes on
		case now := <-states:
			l = now
			h.Changed(l)
			atEnd.Reset(left()) // it may have been amended
			switch {
			case over(l) && running:
				end(ErrEnded)
			case over(l):
				return fmt.Errorf("%w: it is %s: %s", ErrNotActive, word(l.GetState()), l.GetStateReason())
			case l.GetState() == hashleasev1.LeaseState_LEASE_STATE_ACTIVE && !running:
				running = true
				go func() { used <- use(slot, l) }() // awaited above
			}
		}
	}
}

// over says that the lease gives no watts any more.
func over(l *hashleasev1.Lease) bool {
	return l.GetState() >= hashleasev1.LeaseState_LEASE_STATE_ENDING
}

func word(s hashleasev1.LeaseState) string { return strings.TrimPrefix(s.String(), "LEASE_STATE_") }
