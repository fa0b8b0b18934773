package poolrpc

import (
	"context"

	"github.com/hashlease/hashlease/pool"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// ReleaseWorker lets a quarantined worker take part again.
func (s *Service) ReleaseWorker(
	ctx context.Context, req *hashleasev1.ReleaseWorkerRequest,
) (*hashleasev1.ReleaseWorkerResponse, error) {
	_, id, err := pool.ParseIdentity(req.GetWorker())
	if err != nil || string(id) != req.GetWorker() {
		var v invalid
		v.add("worker", acceptedFullWorker)
		return nil, v.err()
	}
	if err := s.cfg.Prices.Release(ctx, id); err != nil {
		return nil, answer(ctx, "ReleaseWorker", err)
	}
	return &hashleasev1.ReleaseWorkerResponse{}, nil
}

// ListQuarantined gives the workers that are left alone because somebody else sets them.
func (s *Service) ListQuarantined(
	context.Context, *hashleasev1.ListQuarantinedRequest,
) (*hashleasev1.ListQuarantinedResponse, error) {
	return &hashleasev1.ListQuarantinedResponse{Workers: s.cfg.Prices.Quarantined()}, nil
}
