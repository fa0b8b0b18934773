package leaserpc

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/lease/service"
	"github.com/hashlease/hashlease/pool/unit"
	pb "github.com/hashlease/hashlease/proto/hashlease/v1"
)

const (
	defaultPage = 100
	maxPage     = 1000
)

// leaseServer is LeaseService.
type leaseServer struct {
	pb.UnimplementedLeaseServiceServer
	s     *service.Service
	pages pager
}

// CreateLease implements pb.LeaseServiceServer.
func (x *leaseServer) CreateLease(ctx context.Context, r *pb.CreateLeaseRequest) (*pb.Lease, error) {
	who, err := caller(ctx)
	if err != nil {
		return nil, err
	}
	if who.Admin {
		return nil, fail(codes.PermissionDenied, reasonForbidden,
			"a tenant's key is needed: a lease is a tenant's")
	}
	c, err := parseCreate(r)
	if err != nil {
		return nil, err
	}
	c.Tenant = who.Tenant
	book := x.s.Create
	if r.GetValidateOnly() {
		book = x.s.Check
	}
	l, err := book(ctx, c)
	if err != nil {
		return nil, asStatus(err)
	}
	return leaseProto(&l, x.s.Now()), nil
}

// GetLease implements pb.LeaseServiceServer.
func (x *leaseServer) GetLease(ctx context.Context, r *pb.GetLeaseRequest) (*pb.Lease, error) {
	who, err := caller(ctx)
	if err != nil {
		return nil, err
	}
	uid, err := who.uid(r.GetName())
	if err != nil {
		return nil, err
	}
	l, err := x.s.Lease(who.Tenant, uid)
	if err != nil {
		return nil, asStatus(err)
	}
	return x.own(&l, r.GetName())
}

// own is the lease as an answer, if it is the one that was named in full.
func (x *leaseServer) own(l *lease.Lease, name string) (*pb.Lease, error) {
	if leaseName(l) != name {
		return nil, noSuchLease()
	}
	return leaseProto(l, x.s.Now()), nil
}

// ListLeases implements pb.LeaseServiceServer.
func (x *leaseServer) ListLeases(
	ctx context.Context, r *pb.ListLeasesRequest,
) (*pb.ListLeasesResponse, error) {
	who, err := caller(ctx)
	if err != nil {
		return nil, err
	}
	var bad violations
	size := int(r.GetPageSize())
	if size < 0 {
		bad.add("page_size", "0 to 1000 is accepted; 0 means 100")
	}
	if size == 0 {
		size = defaultPage
	}
	size = min(size, maxPage)
	before := lease.Revision(0)
	if t := r.GetPageToken(); t != "" {
		var ok bool
		if before, ok = x.pages.before(who.owner(), t); !ok {
			bad.add("page_token", "only a next_page_token that this key was given is accepted")
		}
	}
	if err := bad.err(); err != nil {
		return nil, err
	}
	ls, err := x.s.List(who.Tenant, before, size+1)
	if err != nil {
		return nil, asStatus(err)
	}
	out := &pb.ListLeasesResponse{}
	now := x.s.Now()
	for _, l := range ls[:min(size, len(ls))] {
		out.Leases = append(out.Leases, leaseProto(l, now))
	}
	if len(ls) > size {
		out.NextPageToken = x.pages.token(who.owner(), ls[size-1].Created)
	}
	return out, nil
}

// CancelLease implements pb.LeaseServiceServer.
func (x *leaseServer) CancelLease(ctx context.Context, r *pb.CancelLeaseRequest) (*pb.Lease, error) {
	who, err := caller(ctx)
	if err != nil {
		return nil, err
	}
	var bad violations
	id, ok := parseUUID(r.GetRequestId())
	if !ok {
		bad.add("request_id", acceptedUUID)
	}
	if _, _, ok := parseLeaseName(r.GetName()); !ok {
		bad.add("name", acceptedLease)
	}
	if err := bad.err(); err != nil {
		return nil, err
	}
	uid, err := x.named(who, r.GetName())
	if err != nil {
		return nil, err
	}
	l, err := x.s.Cancel(ctx, lease.Cancel{UID: uid, Tenant: who.Tenant, RequestID: id})
	if err != nil {
		return nil, asStatus(err)
	}
	return leaseProto(&l, x.s.Now()), nil
}

// AmendLease implements pb.LeaseServiceServer.
func (x *leaseServer) AmendLease(ctx context.Context, r *pb.AmendLeaseRequest) (*pb.Lease, error) {
	who, err := caller(ctx)
	if err != nil {
		return nil, err
	}
	c, err := parseAmend(r)
	if err != nil {
		return nil, err
	}
	if c.UID, err = x.named(who, r.GetName()); err != nil {
		return nil, err
	}
	c.Tenant = who.Tenant
	amend := x.s.Amend
	if r.GetValidateOnly() {
		amend = x.s.CheckAmend
	}
	l, err := amend(ctx, c)
	if err != nil {
		return nil, asStatus(err)
	}
	return leaseProto(&l, x.s.Now()), nil
}

// parseAmend checks every field and lists all faults at once.
func parseAmend(r *pb.AmendLeaseRequest) (lease.Amend, error) {
	var bad violations
	c := lease.Amend{Watts: unit.Watts(r.GetWatts())}
	if r.GetRequestId() != "" || !r.GetValidateOnly() {
		id, ok := parseUUID(r.GetRequestId())
		if !ok {
			bad.add("request_id", acceptedUUID)
		}
		c.RequestID = id
	}
	if _, _, ok := parseLeaseName(r.GetName()); !ok {
		bad.add("name", acceptedLease)
	}
	if c.Watts < 0 || c.Watts > lease.MaxWatts {
		bad.add("watts", "1 to 100,000,000,000 is accepted, or none to leave them")
	}
	c.Start = parseTime(&bad, "start_time", r.GetStartTime(), false)
	c.End = parseTime(&bad, "end_time", r.GetEndTime(), false)
	if c.Watts == 0 && r.GetStartTime() == nil && r.GetEndTime() == nil {
		bad.add("watts", "nothing would change: watts, start_time or end_time is needed")
	}
	return c, bad.err()
}

// named is the lease that a caller's name means. An operator's name must be right in full, too.
func (x *leaseServer) named(who Identity, name string) (lease.UID, error) {
	uid, err := who.uid(name)
	if err != nil || !who.Admin {
		return uid, err
	}
	l, err := x.s.Lease("", uid)
	if err != nil {
		return "", asStatus(err)
	}
	_, err = x.own(&l, name)
	return uid, err
}

// WatchLeases implements pb.LeaseServiceServer.
func (x *leaseServer) WatchLeases(
	r *pb.WatchLeasesRequest, ss grpc.ServerStreamingServer[pb.WatchLeasesResponse],
) error {
	ctx := ss.Context()
	who, err := caller(ctx)
	if err != nil {
		return err
	}
	if r.GetAfterRevision() < 0 {
		return (violations{}).with("after_revision", "0 or a revision that was seen before is accepted")
	}
	uid := lease.UID("")
	if r.GetName() != "" {
		if uid, err = who.uid(r.GetName()); err != nil {
			return err
		}
		l, err := x.s.Lease(who.Tenant, uid)
		if err != nil {
			return asStatus(err)
		}
		if _, err := x.own(&l, r.GetName()); err != nil {
			return err
		}
	}
	w, err := x.s.Watch(who.Tenant, uid, lease.Revision(r.GetAfterRevision()))
	if err != nil {
		return asStatus(err)
	}
	defer w.Close()
	for {
		l, err := w.Next(ctx)
		if err != nil {
			return asStatus(err)
		}
		if err := ss.Send(&pb.WatchLeasesResponse{Lease: leaseProto(l, x.s.Now())}); err != nil {
			return err
		}
	}
}

// caller is who calls; without interceptors nobody does.
func caller(ctx context.Context) (Identity, error) {
	who, ok := From(ctx)
	if !ok {
		return Identity{}, fail(codes.Unauthenticated, reasonKey, "an API key is needed")
	}
	return who, nil
}

// uid is the lease that a name means to this caller. A foreign name is answered like one of no
// lease, so that nothing is learnt from trying.
func (i Identity) uid(name string) (lease.UID, error) {
	tenant, uid, ok := parseLeaseName(name)
	if !ok {
		return "", (violations{}).with("name", acceptedLease)
	}
	if !i.Admin && tenant != i.Tenant {
		return "", noSuchLease()
	}
	return uid, nil
}

func noSuchLease() error { return asStatus(&lease.Refusal{Kind: lease.UnknownLease}) }

// with is the error for one more fault.
func (v violations) with(field, accepted string) error {
	v.add(field, accepted)
	return v.err()
}

const (
	acceptedUUID = "a UUID is accepted, 8-4-4-4-12 hexadecimal digits and not all zero; " +
		"repeat it to repeat the call"
	acceptedLease = "tenants/{tenant}/leases/{uid} is accepted"
	acceptedTime  = "a valid time is accepted"
)

// parseCreate checks every field and lists all faults at once.
func parseCreate(r *pb.CreateLeaseRequest) (lease.Create, error) {
	var c lease.Create
	var bad violations
	if r.GetRequestId() != "" || !r.GetValidateOnly() {
		id, ok := parseUUID(r.GetRequestId())
		if !ok {
			bad.add("request_id", acceptedUUID)
		}
		c.RequestID = id
	}
	l := r.GetLease()
	if l == nil {
		return c, bad.with("lease", "a lease with site, watts and end_time is needed")
	}
	var ok bool
	if c.Site, ok = parseSiteName(l.GetSite()); !ok {
		bad.add("lease.site", "sites/{site} is accepted")
	}
	if l.GetFeeder() != "" {
		site, feeder, ok := parseFeederName(l.GetFeeder())
		if c.Feeder = feeder; !ok || site != c.Site {
			bad.add("lease.feeder", "none, or sites/{site}/feeders/{feeder} of the same site is accepted")
		}
	}
	c.Watts = unit.Watts(l.GetWatts())
	if c.Watts <= 0 || c.Watts > lease.MaxWatts {
		bad.add("lease.watts", "1 to 100,000,000,000 is accepted")
	}
	c.Start = parseTime(&bad, "lease.start_time", l.GetStartTime(), false)
	c.End = parseTime(&bad, "lease.end_time", l.GetEndTime(), true)
	refuseOutputs(&bad, l)
	return c, bad.err()
}

// parseTime reads whole seconds. A missing time is the zero time.
func parseTime(bad *violations, field string, t *timestamppb.Timestamp, needed bool) time.Time {
	switch {
	case t == nil && needed:
		bad.add(field, "it is needed")
		return time.Time{}
	case t == nil:
		return time.Time{}
	case t.CheckValid() != nil || t.GetSeconds() < 0: // also year 1, which would look like none
		bad.add(field, acceptedTime+" since 1970")
		return time.Time{}
	case t.GetNanos() != 0:
		bad.add(field, "whole seconds are accepted")
	}
	return t.AsTime()
}

// refuseOutputs refuses what only the server sets: a client that sets it expects something.
func refuseOutputs(bad *violations, l *pb.Lease) {
	for field, set := range map[string]bool{
		"lease.name": l.GetName() != "", "lease.state": l.GetState() != 0,
		"lease.state_reason": l.GetStateReason() != "", "lease.active_time": l.GetActiveTime() != nil,
		"lease.order_time": l.GetOrderTime() != nil, "lease.gone_time": l.GetGoneTime() != nil,
		"lease.delivered_joules": l.GetDeliveredJoules() != 0, "lease.revision": l.GetRevision() != 0,
		"lease.shortfall_seconds": l.GetShortfallSeconds() != 0, "lease.freed_watts": l.GetFreedWatts() != 0,
		"lease.overrun_joules": l.GetOverrunJoules() != 0,
		"lease.create_time":    l.GetCreateTime() != nil,
		"lease.granted_watts":  l.GetGrantedWatts() != 0,
	} {
		if set {
			bad.add(field, "it is the server's to set: leave it out")
		}
	}
}

// Message is the lease as tenants get it, for an operator's answer. Its shortfall is as of now.
func Message(l *lease.Lease, now time.Time) *pb.Lease { return leaseProto(l, now) }

// leaseProto is the lease on the wire.
func leaseProto(l *lease.Lease, now time.Time) *pb.Lease {
	out := &pb.Lease{
		Site: siteName(string(l.Site)), Feeder: feederName(string(l.Site), string(l.Feeder)),
		Watts: int64(l.Watts), StartTime: timestamppb.New(l.Slot.Start), EndTime: timestamppb.New(l.Slot.End),
		State: stateProto(l.State), StateReason: l.Reason,
		ActiveTime: optionalTime(l.ActiveAt), OrderTime: optionalTime(l.OrderedAt),
		GoneTime:        optionalTime(l.GoneAt),
		DeliveredJoules: int64(l.Delivered), OverrunJoules: int64(l.Overrun),
		FreedWatts: int64(l.Freed), Revision: int64(l.Revision),
		ShortfallSeconds: int64((l.ShortfallAt(now) + time.Second - 1) / time.Second),
		CreateTime:       timestamppb.New(l.CreatedAt),
		GrantedWatts:     int64(l.GrantedAt(now)),
	}
	if l.UID != "" {
		out.Name = leaseName(l)
	}
	return out
}

func optionalTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// stateProto maps by name, so that neither order matters to the other.
func stateProto(s lease.State) pb.LeaseState {
	return pb.LeaseState(pb.LeaseState_value["LEASE_STATE_"+s.String()])
}
