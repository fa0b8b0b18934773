package leaserpc

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/lease/service"
	pb "github.com/hashlease/hashlease/proto/hashlease/v1"
)

const (
	maxSteps      = 1000
	defaultWindow = 24 * time.Hour
)

// capacityServer is CapacityService.
type capacityServer struct {
	pb.UnimplementedCapacityServiceServer
	s *service.Service
}

// ListSites implements pb.CapacityServiceServer.
func (x *capacityServer) ListSites(context.Context, *pb.ListSitesRequest) (*pb.ListSitesResponse, error) {
	if err := x.s.Health(); err != nil && err != service.ErrReadOnly { //nolint:errorlint // returned as it is
		return nil, asStatus(err)
	}
	out := &pb.ListSitesResponse{}
	for _, site := range x.s.Sites() {
		p := &pb.Site{Name: siteName(string(site.ID)), DisplayName: site.Name}
		for _, f := range site.Feeders {
			p.Feeders = append(p.Feeders, &pb.Feeder{
				Name:       feederName(string(site.ID), string(f.ID)),
				LimitWatts: int64(f.Limit), LeasableWatts: int64(f.Leasable), Basis: f.Basis,
				Notice: durationpb.New(f.Notice),
			})
		}
		out.Sites = append(out.Sites, p)
	}
	return out, nil
}

// QueryAvailability implements pb.CapacityServiceServer.
func (x *capacityServer) QueryAvailability(
	ctx context.Context, r *pb.QueryAvailabilityRequest,
) (*pb.QueryAvailabilityResponse, error) {
	id, window, err := parseAvailability(r, x.s.Now())
	if err != nil {
		return nil, err
	}
	sites := x.s.Sites()
	i := slices.IndexFunc(sites, func(s service.SiteView) bool { return string(s.ID) == string(id) })
	if i < 0 {
		return nil, fail(codes.NotFound, lease.UnknownSite.String(), "site: there is no such site")
	}
	out := &pb.QueryAvailabilityResponse{}
	for _, f := range sites[i].Feeders {
		steps, more, err := x.s.Availability(ctx, f.ID, window, maxSteps)
		if err != nil {
			return nil, asStatus(err)
		}
		fa := &pb.FeederAvailability{Feeder: feederName(string(id), string(f.ID)), Truncated: more}
		for _, st := range steps {
			fa.Steps = append(fa.Steps, &pb.AvailabilityStep{
				StartTime: timestamppb.New(st.From), FreeWatts: int64(st.Free),
			})
		}
		out.Feeders = append(out.Feeders, fa)
	}
	return out, nil
}

// parseAvailability checks the fields. What is past is not for sale, so a window begins now at
// the earliest.
func parseAvailability(r *pb.QueryAvailabilityRequest, now time.Time) (lease.SiteID, lease.Slot, error) {
	var bad violations
	id, ok := parseSiteName(r.GetSite())
	if !ok {
		bad.add("site", "sites/{site} is accepted")
	}
	w := lease.Slot{
		Start: parseTime(&bad, "start_time", r.GetStartTime(), false),
		End:   parseTime(&bad, "end_time", r.GetEndTime(), false),
	}
	if err := bad.err(); err != nil {
		return "", w, err
	}
	now = now.Truncate(time.Second)
	if w.Start.Before(now) {
		w.Start = now
	}
	if r.GetEndTime() == nil {
		w.End = w.Start.Add(defaultWindow)
	}
	switch {
	case !w.End.After(w.Start):
		bad.add("end_time", "a time after the start, and not in the past, is accepted")
	case w.End.Sub(w.Start) > lease.MaxDuration:
		bad.add("end_time", "a window of up to 400 days is accepted")
	}
	return id, w, bad.err()
}
