package client_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/lease/client"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// faulty is a lease service behind a line that fails: it books, and its answers get lost.
type faulty struct {
	hashleasev1.UnimplementedLeaseServiceServer

	mu      sync.Mutex
	fail    []error // of the next calls, after they were carried out; nil is an answer
	calls   []proto.Message
	booked  map[string]*hashleasev1.Lease // by request id
	key     string
	changes []*hashleasev1.Lease // of the one lease
	least   int64                // oldest revision that is remembered
	more    chan struct{}        // closed when there is more
	rng     *rand.Rand           // breaks streams; nil: never
}

// answer is the next answer to a call that was carried out.
func (f *faulty) answer(
	ctx context.Context, r proto.Message, l *hashleasev1.Lease,
) (*hashleasev1.Lease, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	f.key = strings.Join(md.Get("authorization"), "|")
	f.calls = append(f.calls, proto.Clone(r))
	if len(f.fail) > 0 {
		err := f.fail[0]
		f.fail = f.fail[1:]
		if err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (f *faulty) CreateLease(
	ctx context.Context, r *hashleasev1.CreateLeaseRequest,
) (*hashleasev1.Lease, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.booked[r.GetRequestId()]
	if l == nil {
		l = proto.CloneOf(r.GetLease())
		l.Name = "tenants/acme/leases/l1"
		f.booked[r.GetRequestId()] = l
	}
	return f.answer(ctx, r, l)
}

func (f *faulty) CancelLease(
	ctx context.Context, r *hashleasev1.CancelLeaseRequest,
) (*hashleasev1.Lease, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answer(ctx, r, &hashleasev1.Lease{
		Name: r.GetName(), State: hashleasev1.LeaseState_LEASE_STATE_ENDING, Revision: 1 << 40,
	})
}

// change adds a change of the lease.
func (f *faulty) change(state hashleasev1.LeaseState, also ...func(*hashleasev1.Lease)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := &hashleasev1.Lease{
		Name: "tenants/acme/leases/l1", State: state, Revision: int64(len(f.changes) + 1),
	}
	for _, a := range also {
		a(l)
	}
	f.changes = append(f.changes, l)
	close(f.more)
	f.more = make(chan struct{})
}

// after are the changes after a revision; of 0 only the newest, as the service has it.
func (f *faulty) after(rev int64) (list []*hashleasev1.Lease, more chan struct{}, broken bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if rev > 0 && rev < f.least-1 {
		return nil, nil, false, refusal(codes.OutOfRange, "REVISION_COMPACTED", 0)
	}
	list = slices.Clone(f.changes[rev:])
	if n := len(f.changes); rev == 0 && n > 0 {
		list = slices.Clone(f.changes[n-1:])
	}
	for i, l := range list { // one that says nothing of its end has the one that was booked
		list[i] = proto.CloneOf(l)
		for _, b := range f.booked {
			if l.GetEndTime() == nil {
				list[i].EndTime = b.GetEndTime()
			}
		}
	}
	return list, f.more, f.rng != nil && f.rng.IntN(3) == 0, nil
}

func (f *faulty) WatchLeases(
	r *hashleasev1.WatchLeasesRequest, s grpc.ServerStreamingServer[hashleasev1.WatchLeasesResponse],
) error {
	for rev := r.GetAfterRevision(); ; {
		list, more, broken, err := f.after(rev)
		if err != nil {
			return err
		}
		for _, l := range list {
			if err := s.Send(&hashleasev1.WatchLeasesResponse{Lease: l}); err != nil {
				return err
			}
			rev = l.GetRevision()
			if broken {
				return status.Error(codes.Unavailable, "the line is cut")
			}
		}
		select {
		case <-more:
		case <-s.Context().Done():
			return s.Context().Err()
		}
	}
}

// refusal is an error as the service makes it.
func refusal(code codes.Code, reason string, retry time.Duration) error {
	st, err := status.New(code, reason).WithDetails(&errdetails.ErrorInfo{Reason: reason})
	if retry > 0 && err == nil {
		st, err = st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(retry)})
	}
	if err != nil {
		return err
	}
	return st.Err()
}

// open starts a service and a client of it.
func open(t *testing.T, patience time.Duration) (*faulty, *client.Client) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &faulty{booked: map[string]*hashleasev1.Lease{}, more: make(chan struct{})}
	s := grpc.NewServer()
	hashleasev1.RegisterLeaseServiceServer(s, f)
	go func() { _ = s.Serve(ln) }() // ends with Stop
	t.Cleanup(s.Stop)
	c, err := client.Dial(client.Config{
		Address: ln.Addr().String(), Key: "hl_acme_x", Plaintext: true, Patience: patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return f, c
}

func slot(d time.Duration) *hashleasev1.CreateLeaseRequest {
	return &hashleasev1.CreateLeaseRequest{Lease: &hashleasev1.Lease{
		Site: "sites/north", Watts: 1000, EndTime: timestamppb.New(time.Now().Add(d)),
	}}
}

var errCut = status.Error(codes.Unavailable, "the line is cut")

// Ensure that a lease whose answers get lost is booked once: every repeat is the same request to the byte.
func TestCreate_BooksOnceOverABadLine(t *testing.T) {
	f, c := open(t, time.Minute)
	f.fail = []error{errCut, refusal(codes.ResourceExhausted, "RATE_LIMITED", time.Millisecond), errCut}
	req := slot(time.Hour)
	l, err := c.Create(t.Context(), req)
	if err != nil || l.GetName() == "" {
		t.Fatalf("%v, %v", l, err)
	}
	if len(f.booked) != 1 || len(f.calls) != 4 || f.key != "Bearer hl_acme_x" {
		t.Errorf("%d leases by %d calls with key %q", len(f.booked), len(f.calls), f.key)
	}
	for _, again := range f.calls[1:] {
		if !proto.Equal(again, f.calls[0]) {
			t.Errorf("repeated as %v, first %v", again, f.calls[0])
		}
	}
	if req.GetRequestId() != "" {
		t.Error("the caller's request was changed")
	}
}

// Ensure that a refusal is told at once, and that a server that does not answer is told after the client's
// patience.
func TestCreate_TellsWhatStaysSo(t *testing.T) {
	f, c := open(t, 700*time.Millisecond)
	f.fail = []error{refusal(codes.ResourceExhausted, "NO_CAPACITY", 0)}
	if _, err := c.Create(t.Context(), slot(time.Hour)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("no capacity is told as %v", err)
	}
	if len(f.calls) != 1 {
		t.Errorf("%d calls for a refusal", len(f.calls))
	}
	for range 100 {
		f.fail = append(f.fail, errCut)
	}
	_, err := c.Create(t.Context(), slot(time.Hour))
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "700ms without an answer") {
		t.Errorf("no answer is told as %v", err)
	}
}

// Ensure that a lease which was booked without an answer is given back when nobody waits for it any more,
// and that it is said if nobody can know.
func TestHold_GivesBackWhatHadNoAnswer(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fail int    // answers that get lost
		want string // said
	}{
		"the line is back":   {3, "the line is cut"},
		"the line stays cut": {100, "it may be booked all the same"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, c := open(t, time.Minute)
			for range tt.fail {
				f.fail = append(f.fail, errCut)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
			defer cancel()
			use := func(context.Context, *hashleasev1.Lease) error {
				t.Error("it began")
				return nil
			}
			err := c.Hold(ctx, slot(time.Hour), client.Hold{}, use)
			f.mu.Lock()
			defer f.mu.Unlock()
			_, back := f.calls[len(f.calls)-1].(*hashleasev1.CancelLeaseRequest)
			said := err != nil && strings.Contains(err.Error(), tt.want)
			if !said || back != (tt.fail < 100) || len(f.booked) != 1 {
				t.Errorf("%v; given back: %v, %d booked", err, back, len(f.booked))
			}
		})
	}
}

// Ensure that a watch sees every revision once and in order over lines that are cut at any time, and
// leases as they are after the server has forgotten what was between.
func TestWatch_SeesEachChangeOnce(t *testing.T) {
	f, c := open(t, time.Minute)
	f.rng = rand.New(rand.NewPCG(1, 2))
	go func() {
		for i := range 12 {
			f.change(hashleasev1.LeaseState(1 + i%2))
			time.Sleep(time.Millisecond) // the watch may come between
		}
	}()
	var seen []int64
	err := c.Watch(t.Context(), "", 0, func(l *hashleasev1.Lease) error {
		if n := len(seen); n > 0 && l.GetRevision() != seen[n-1]+1 {
			t.Errorf("revision %d after %d", l.GetRevision(), seen[n-1])
		}
		seen = append(seen, l.GetRevision())
		if l.GetRevision() == 12 {
			return client.ErrEnough
		}
		return nil
	})
	if err != nil || len(seen) == 0 {
		t.Fatalf("%v after %v", err, seen)
	}
	f.mu.Lock()
	f.least, f.rng = 10, nil // 1 to 9 are forgotten
	f.mu.Unlock()
	seen = nil
	err = c.Watch(t.Context(), "", 3, func(l *hashleasev1.Lease) error {
		seen = append(seen, l.GetRevision())
		return client.ErrEnough
	})
	if err != nil || !slices.Equal(seen, []int64{12}) {
		t.Errorf("after the server has forgotten: %v, %v", seen, err)
	}
	broken := errors.New("told")
	err = c.Watch(t.Context(), "", 11, func(*hashleasev1.Lease) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("the caller's error is told as %v", err)
	}
}

// Ensure that work begins when a meter shows the watts free and not before, that it is told to stop when
// the slot or the lease is over, and that the lease is given back in every case.
func TestHold_GivesBack(t *testing.T) {
	t.Parallel()
	const (
		preparing = hashleasev1.LeaseState_LEASE_STATE_PREPARING
		degraded  = hashleasev1.LeaseState_LEASE_STATE_DEGRADED
		active    = hashleasev1.LeaseState_LEASE_STATE_ACTIVE
		ending    = hashleasev1.LeaseState_LEASE_STATE_ENDING
		failed    = hashleasev1.LeaseState_LEASE_STATE_FAILED
	)
	done := errors.New("done")
	type states = []hashleasev1.LeaseState
	for name, tt := range map[string]struct {
		slot, grace time.Duration
		before      states
		during      states
		works       bool  // until it is told to stop
		cause       error // of that
		want        error
	}{
		"work ends": {slot: time.Hour, before: states{preparing, degraded, active}, want: done},
		"slot is over": {
			slot: 2 * time.Second, grace: time.Second, before: states{active},
			works: true, cause: client.ErrSlotOver, want: done,
		},
		"somebody ends it": {
			slot: time.Hour, before: states{active}, during: states{degraded, ending},
			works: true, cause: client.ErrEnded, want: done,
		},
		"never active": {slot: time.Hour, before: states{preparing, failed}, want: client.ErrNotActive},
		"too late":     {slot: time.Second, before: states{preparing}, want: client.ErrSlotOver},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, c := open(t, time.Minute)
			began := false
			go func() {
				for _, s := range tt.before {
					f.change(s)
					time.Sleep(20 * time.Millisecond) // each is seen
				}
			}()
			var told []hashleasev1.LeaseState
			h := client.Hold{Grace: tt.grace}
			h.Changed = func(l *hashleasev1.Lease) { told = append(told, l.GetState()) }
			use := func(ctx context.Context, l *hashleasev1.Lease) error {
				began = true
				if l.GetState() != active {
					t.Errorf("began while it was %v", l.GetState())
				}
				for _, s := range tt.during {
					f.change(s)
				}
				if tt.works {
					<-ctx.Done()
					if !errors.Is(context.Cause(ctx), tt.cause) {
						t.Errorf("told to stop by %v", context.Cause(ctx))
					}
				}
				return done
			}
			err := c.Hold(t.Context(), slot(tt.slot), h, use)
			if !errors.Is(err, tt.want) || began != errors.Is(tt.want, done) {
				t.Errorf("%v, began %v", err, began)
			}
			if _, back := f.calls[len(f.calls)-1].(*hashleasev1.CancelLeaseRequest); !back {
				t.Errorf("not given back: %v", f.calls)
			}
			if len(told) < 3 || told[len(told)-1] != ending {
				t.Errorf("told of %v", told)
			}
		})
	}
}

// Ensure that work is told to stop by the end that a lease has now, when it was made longer or shorter while
// the work ran.
func TestHold_FollowsTheEnd(t *testing.T) {
	t.Parallel()
	in := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(time.Now().Add(d)) }
	for name, tt := range map[string]struct {
		slot    time.Duration
		also    func(*hashleasev1.Lease)
		stopped bool
	}{
		"longer": {2 * time.Second, func(l *hashleasev1.Lease) {
			l.EndTime = in(time.Hour)
		}, false},
		"shorter": {time.Hour, func(l *hashleasev1.Lease) {
			l.EndTime = in(2 * time.Second)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, c := open(t, time.Minute)
			f.change(hashleasev1.LeaseState_LEASE_STATE_ACTIVE)
			err := c.Hold(t.Context(), slot(tt.slot), client.Hold{}, func(
				ctx context.Context, _ *hashleasev1.Lease,
			) error {
				f.change(hashleasev1.LeaseState_LEASE_STATE_ACTIVE, tt.also)
				var booked <-chan time.Time // past the end that was booked; nil: never
				if !tt.stopped {
					booked = time.After(tt.slot + time.Second)
				}
				select {
				case <-ctx.Done():
					if !tt.stopped || !errors.Is(context.Cause(ctx), client.ErrSlotOver) {
						t.Errorf("told to stop by %v", context.Cause(ctx))
					}
				case <-booked:
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
