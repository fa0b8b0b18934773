package leaserpc

import (
	"context"
	"log/slog"
	"math"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// access says who may call a method.
type access uint8

const (
	adminOnly access = iota // also of every method that is not known here
	anyKey
	open
)

// accessOf says who may call a full method name. Health is open, for load balancers; reflection
// shows the operator's services and so is the operator's.
func accessOf(method string) access {
	switch {
	case strings.HasPrefix(method, "/hashlease.v1.LeaseService/"),
		strings.HasPrefix(method, "/hashlease.v1.CapacityService/"):
		return anyKey
	case strings.HasPrefix(method, "/grpc.health.v1.Health/"):
		return open
	default:
		return adminOnly
	}
}

type identityKey struct{}

// From is who calls, inside a handler that the interceptors guard.
func From(ctx context.Context) (Identity, bool) {
	i, ok := ctx.Value(identityKey{}).(Identity)
	return i, ok
}

// Rates bounds how often one owner of keys may call: calls a second, and how many at once.
type Rates struct {
	Reads, Writes, Cancels rate.Limit
	Burst                  int
}

// DefaultRates lets a busy program work and stops one that runs wild.
func DefaultRates() Rates { return Rates{Reads: 200, Writes: 50, Cancels: 50, Burst: 100} }

// maxInFlight bounds the unary calls that are served at once, of everybody.
const maxInFlight = 1024

// guard is the interceptors' state. It is safe for concurrent use.
type guard struct {
	keys     *Keyring
	limits   map[string]*buckets // by owner; immutable after newGuard
	deadline time.Duration
	inFlight atomic.Int64
	log      *slog.Logger
}

// buckets keeps reads from starving writes, and either from starving a cancel.
type buckets struct{ reads, writes, cancels *rate.Limiter }

func newGuard(keys *Keyring, r Rates, log *slog.Logger) *guard {
	g := &guard{keys: keys, limits: map[string]*buckets{}, deadline: unaryDeadline, log: log}
	for owner := range keys.hashes {
		g.limits[owner] = &buckets{
			reads: rate.NewLimiter(r.Reads, r.Burst), writes: rate.NewLimiter(r.Writes, r.Burst),
			cancels: rate.NewLimiter(r.Cancels, r.Burst),
		}
	}
	return g
}

// admit authenticates, authorises and limits a call, in this order, before anything of it is
// looked at.
func (g *guard) admit(ctx context.Context, method string) (context.Context, error) {
	may := accessOf(method)
	if may == open {
		return ctx, nil
	}
	who, ok := g.keys.Identify(bearer(ctx))
	if !ok {
		return nil, fail(codes.Unauthenticated, reasonKey,
			"an API key is needed: metadata \"authorization: Bearer hl_...\" is accepted")
	}
	if may == adminOnly && !who.Admin {
		return nil, fail(codes.PermissionDenied, reasonForbidden, "the operator's key is needed")
	}
	if l := g.limits[who.owner()].of(method); !l.Allow() {
		wait := time.Duration(math.Ceil(1/float64(l.Limit())*1000)) * time.Millisecond
		return nil, fail(codes.ResourceExhausted, reasonRate, "too many calls with this key", retryIn(wait))
	}
	return context.WithValue(ctx, identityKey{}, who), nil
}

// of is the bucket that a method draws from.
func (b *buckets) of(method string) *rate.Limiter {
	switch name := method[strings.LastIndexByte(method, '/')+1:]; {
	case name == "CancelLease":
		return b.cancels
	case strings.HasPrefix(name, "Create"), strings.HasPrefix(name, "Set"), strings.HasPrefix(name, "Amend"),
		strings.HasPrefix(name, "Curtail"):
		return b.writes
	default:
		return b.reads
	}
}

// bearer is the key of the call: exactly one header is accepted.
func bearer(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	vs := md.Get("authorization")
	if len(vs) != 1 || len(vs[0]) > 256 {
		return ""
	}
	scheme, key, ok := strings.Cut(vs[0], " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}

func (g *guard) unary(
	ctx context.Context, req any, info *grpc.UnaryServerInfo, h grpc.UnaryHandler,
) (_ any, err error) {
	if g.inFlight.Add(1) > maxInFlight {
		g.inFlight.Add(-1)
		return nil, fail(codes.Unavailable, reasonOverload, "too many calls at once", retryIn(time.Second))
	}
	defer g.inFlight.Add(-1)
	defer func() { err = g.survived(info.FullMethod, recover(), err) }()
	ctx, err = g.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, g.deadline)
	defer cancel()
	return h(ctx, req)
}

func (g *guard) stream(
	srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, h grpc.StreamHandler,
) (err error) {
	defer func() { err = g.survived(info.FullMethod, recover(), err) }()
	ctx, err := g.admit(ss.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return h(srv, &knownStream{ss, ctx})
}

// knownStream carries the caller's identity in its context.
type knownStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // grpc's streams hand their context out this way
}

// Context is the stream's context with the caller's identity.
func (s *knownStream) Context() context.Context { return s.ctx }

// survived keeps a fault of ours in one call from ending everybody's.
func (g *guard) survived(method string, panicked any, err error) error {
	if panicked == nil {
		return err
	}
	g.log.Error("call panicked", slog.String("method", method), slog.Any("panic", panicked),
		slog.String("stack", string(debug.Stack())))
	return fail(codes.Internal, reasonInternal, "internal error")
}
