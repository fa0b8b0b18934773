package leaserpc

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/hashlease/hashlease/lease/service"
	pb "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// healthServer is grpc.health.v1: the server as a whole, and each service by name. It asks
// the lease service each time and so needs no goroutine.
type healthServer struct {
	healthpb.UnimplementedHealthServer
	s *service.Service
}

// healthEvery is how often a watched health is looked at.
const healthEvery = time.Second

func (x *healthServer) status(name string) (healthpb.HealthCheckResponse_ServingStatus, bool) {
	switch name {
	case "", pb.LeaseService_ServiceDesc.ServiceName, pb.CapacityService_ServiceDesc.ServiceName:
	case pb.OperatorService_ServiceDesc.ServiceName:
		return healthpb.HealthCheckResponse_SERVING, true
	default:
		return healthpb.HealthCheckResponse_SERVICE_UNKNOWN, false
	}
	if x.s.Health() != nil {
		return healthpb.HealthCheckResponse_NOT_SERVING, true
	}
	return healthpb.HealthCheckResponse_SERVING, true
}

// Check implements healthpb.HealthServer.
func (x *healthServer) Check(
	_ context.Context, r *healthpb.HealthCheckRequest,
) (*healthpb.HealthCheckResponse, error) {
	st, known := x.status(r.GetService())
	if !known {
		return nil, status.Error(codes.NotFound, "unknown service")
	}
	return &healthpb.HealthCheckResponse{Status: st}, nil
}

// Watch implements healthpb.HealthServer.
func (x *healthServer) Watch(
	r *healthpb.HealthCheckRequest, ss grpc.ServerStreamingServer[healthpb.HealthCheckResponse],
) error {
	t := time.NewTicker(healthEvery)
	defer t.Stop()
	last := healthpb.HealthCheckResponse_ServingStatus(-1)
	for {
		if st, _ := x.status(r.GetService()); st != last {
			last = st
			if err := ss.Send(&healthpb.HealthCheckResponse{Status: st}); err != nil {
				return err
			}
		}
		select {
		case <-t.C:
		case <-ss.Context().Done():
			return status.FromContextError(ss.Context().Err()).Err()
		}
	}
}
