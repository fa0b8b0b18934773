package client

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// ErrEnough ends a Watch without an error.
var ErrEnough = errors.New("enough was seen")

// Watch calls see for every change of the tenant's leases after a revision, each once and in order, until
// see returns an error or ctx ends; after 0 the leases as they are come first. An empty name is all
// leases. A lost connection is taken up where it ended. Who was away for longer than the server remembers
// gets the leases as they are, without those that were seen already.
func (c *Client) Watch(
	ctx context.Context, name string, after int64, see func(*hashleasev1.Lease) error,
) error {
	w := watch{c: c, name: name, from: after, seen: after, see: see}
	p := patience{c: c}
	for {
		began := time.Now()
		err := w.stream(ctx)
		switch {
		case errors.Is(w.end, ErrEnough):
			return nil
		case w.end != nil:
			return w.end
		case ctx.Err() != nil:
			return ctx.Err()
		case reason(err) == "REVISION_COMPACTED" && w.from > 0:
			w.from = 0
			continue
		}
		if w.heard || errors.Is(err, io.EOF) || time.Since(began) > c.cfg.Attempt {
			p.answered()
		}
		if err := p.after(ctx, err); err != nil {
			return err
		}
	}
}

// watch is what is known of a Watch from one connection to the next.
type watch struct {
	c     *Client
	name  string
	see   func(*hashleasev1.Lease) error
	from  int64 // revision that the next connection begins after
	seen  int64 // newest that see was called with
	heard bool  // something, over the last connection
	end   error // by see
}

// stream follows one connection until it ends, or see wants no more.
func (w *watch) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(w.c.signed(ctx))
	defer cancel()
	w.heard = false
	r := &hashleasev1.WatchLeasesRequest{AfterRevision: w.from, Name: w.name}
	s, err := w.c.leases.WatchLeases(ctx, r)
	if err != nil {
		return err
	}
	for {
		r, err := s.Recv()
		if err != nil {
			return err
		}
		w.heard = true
		l := r.GetLease()
		if w.seen > 0 && l.GetRevision() <= w.seen { // as it is, from the beginning
			continue
		}
		w.from, w.seen = l.GetRevision(), l.GetRevision()
		if w.end = w.see(l); w.end != nil {
			return w.end
		}
	}
}

// reason is the server's word for an error; empty if it has none.
func reason(err error) string {
	for _, d := range status.Convert(err).Details() {
		if i, ok := d.(*errdetails.ErrorInfo); ok {
			return i.GetReason()
		}
	}
	return ""
}
