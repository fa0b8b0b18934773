package sim

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// How a tenant talks to the server.
const (
	callTimeout = 5 * time.Second
	retryAfter  = 500 * time.Millisecond
)

// TenantConfig describes a tenant.
type TenantConfig struct {
	Name    string // of its metered branches
	Target  string // host:port of the server's gRPC port; may be set later by SetTarget
	Key     string // its API key
	CA      string // PEM file with the server's authority; empty is plaintext, to loopback only
	Demands []Demand
	Log     *slog.Logger // nil: silent, or the simulation's
}

// Demand is a lease that a tenant creates, once or again and again.
type Demand struct {
	Site   string // "north"
	Feeder string // empty: the server chooses
	Watts  unit.Watts
	After  time.Duration // from the start of the tenant to the (first) request
	Notice time.Duration // from the request to the start of the slot
	For    time.Duration // length of the slot, whole seconds
	Every  time.Duration // repeat this often; 0 is once
}

// Validate lists every fault at once.
func (c TenantConfig) Validate() error {
	var errs []error
	if c.Name == "" {
		errs = append(errs, errors.New("tenant has no name: that of its meters is accepted"))
	}
	if c.CA == "" && c.Target != "" && !loopback(c.Target) {
		errs = append(errs, fmt.Errorf(
			"tenant %q: plaintext to %q: without a CA file only loopback is accepted", c.Name, c.Target))
	}
	for i, d := range c.Demands {
		if d.Site == "" || d.Watts <= 0 || d.For < time.Second || d.After < 0 || d.Notice < 0 || d.Every < 0 {
			errs = append(errs, fmt.Errorf("tenant %q, demand %d: a site, watts above 0, a slot of 1s "+
				"or more and times of 0 or more are accepted", c.Name, i+1))
		}
	}
	return errors.Join(errs...)
}

func loopback(target string) bool {
	host, _, err := net.SplitHostPort(target)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// dial opens a client to the present target.
func (t *Tenant) dial() (hashleasev1.LeaseServiceClient, func(), error) {
	target := *t.target.Load()
	if target == "" {
		return nil, nil, errors.New("the server's address is not known yet")
	}
	creds := insecure.NewCredentials()
	if t.cfg.CA != "" {
		var err error
		if creds, err = credentials.NewClientTLSFromFile(t.cfg.CA, ""); err != nil {
			return nil, nil, fmt.Errorf("reading the CA file: %w", err)
		}
	} else if !loopback(target) {
		return nil, nil, fmt.Errorf("plaintext to %q is refused: give a CA file", target)
	}
	conn, err := grpc.NewClient("passthrough:///"+target, grpc.WithTransportCredentials(creds))
	if err != nil {
		return nil, nil, fmt.Errorf("opening the lease service: %w", err)
	}
	return hashleasev1.NewLeaseServiceClient(conn), func() { _ = conn.Close() }, nil
}

func (t *Tenant) authorized(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+t.cfg.Key)
}

// watch follows the tenant's leases across any number of connections.
func (t *Tenant) watch(ctx context.Context) {
	for ctx.Err() == nil {
		if err := t.watchOnce(ctx); err != nil && ctx.Err() == nil {
			t.cfg.Log.Debug("watching leases ended",
				slog.String("tenant", t.cfg.Name), slog.Any("error", err))
		}
		wait(ctx, retryAfter)
	}
}

// watchOnce asks for the present leases and every change from there: after a
// restart of the server the same leases come again, and mean the same.
func (t *Tenant) watchOnce(ctx context.Context) error {
	client, closeConn, err := t.dial()
	if err != nil {
		return err
	}
	defer closeConn()
	stream, err := client.WatchLeases(t.authorized(ctx), &hashleasev1.WatchLeasesRequest{})
	for err == nil {
		var r *hashleasev1.WatchLeasesResponse
		if r, err = stream.Recv(); err == nil && r.GetLease() != nil {
			t.heard(r.GetLease(), time.Now())
		}
	}
	return err
}

// demand creates the leases of one line of the schedule.
func (t *Tenant) demand(ctx context.Context, d Demand) {
	wait(ctx, d.After)
	for ctx.Err() == nil {
		t.create(ctx, d)
		if d.Every == 0 {
			return
		}
		wait(ctx, d.Every)
	}
}

// create books one slot. While the server is away it tries again with the same
// request id, which books at most one.
func (t *Tenant) create(ctx context.Context, d Demand) {
	now := time.Now()
	start := now.Add(d.Notice).Truncate(time.Second)
	lease := &hashleasev1.Lease{
		Site: "sites/" + d.Site, Watts: int64(d.Watts),
		StartTime: timestamppb.New(start), EndTime: timestamppb.New(start.Add(d.For.Truncate(time.Second))),
	}
	if d.Feeder != "" {
		lease.Feeder = lease.Site + "/feeders/" + d.Feeder
	}
	request := &hashleasev1.CreateLeaseRequest{Lease: lease, RequestId: uuid()}
	for ctx.Err() == nil {
		err := t.createOnce(ctx, request)
		if err == nil {
			return
		}
		if !passing(err) || time.Now().After(lease.GetEndTime().AsTime()) {
			t.refused(lease, err, now)
			return
		}
		wait(ctx, retryAfter)
	}
}

// passing reports whether asking again may bring another answer.
func passing(err error) bool {
	s := status.Convert(err)
	switch s.Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Aborted, codes.Unknown:
		return true
	default:
		return slices.ContainsFunc(s.Details(), func(d any) bool {
			_, ok := d.(*errdetails.RetryInfo)
			return ok
		})
	}
}

func (t *Tenant) createOnce(ctx context.Context, request *hashleasev1.CreateLeaseRequest) error {
	client, closeConn, err := t.dial()
	if err != nil {
		return err
	}
	defer closeConn()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	lease, err := client.CreateLease(t.authorized(ctx), request)
	if err != nil {
		return err
	}
	t.heard(lease, time.Now())
	return nil
}

// refused notes a lease that the server did not give.
func (t *Tenant) refused(l *hashleasev1.Lease, err error, now time.Time) {
	t.cfg.Log.Warn("lease refused", slog.String("tenant", t.cfg.Name), slog.Any("error", err))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rememberLocked(&held{LeaseReport: LeaseReport{
		Tenant: t.cfg.Name, Feeder: l.GetFeeder(), Watts: unit.Watts(l.GetWatts()), State: Refused,
		Reason: err.Error(), Created: now, ToActive: -1,
		Start: l.GetStartTime().AsTime(), End: l.GetEndTime().AsTime(),
	}})
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// uuid is a random UUID, version 4.
func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}
