package poolrpc

import (
	"context"
	"errors"

	"google.golang.org/grpc"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// CommissionWish is an operator's wish that a feeder be proven and measured.
type CommissionWish struct {
	Site   fleet.SiteID
	Feeder fleet.FeederID
	Limit  unit.Watts // moved at once at most; 0: the governor's default
	DryRun bool
}

// Commissioning is what can be measured of a site's power.
type Commissioning struct {
	// Commission proves a feeder, and reports until it is done or ctx ends. It returns send's error if it
	// fails and calls it from one goroutine.
	Commission func(
		ctx context.Context, w CommissionWish, send func(*hashleasev1.CommissionFeederResponse) error,
	) error
	// Headroom is what the feeders of a site can deliver; of all sites if the site is empty.
	Headroom func(site fleet.SiteID) ([]*hashleasev1.Headroom, error)
}

func (c *Commissioning) check(need func(field string, set bool)) {
	need("Commissioning.Commission", c.Commission != nil)
	need("Commissioning.Headroom", c.Headroom != nil)
}

// CommissionFeeder proves a feeder's workers and its meter.
func (s *Service) CommissionFeeder(
	req *hashleasev1.CommissionFeederRequest,
	stream grpc.ServerStreamingServer[hashleasev1.CommissionFeederResponse],
) error {
	var v invalid
	site, feeder, ok := parseFeeder(req.GetFeeder())
	if !ok {
		v.add("feeder", `"sites/{site}/feeders/{feeder}" is accepted, each name of 1 to 40 of a-z 0-9 - _`)
	}
	if w := req.GetLimitWatts(); w < 0 || w > maxWatts {
		v.add("limit_watts", "0 to 1000000000000 is accepted, 0 means 2 % of the feeder's limit")
	}
	if err := v.err(); err != nil {
		return err
	}
	w := CommissionWish{
		Site: site, Feeder: feeder, Limit: unit.Watts(req.GetLimitWatts()), DryRun: req.GetDryRun(),
	}
	err := s.cfg.Commissioning.Commission(stream.Context(), w, stream.Send)
	if bad := (*LimitError)(nil); errors.As(err, &bad) {
		v.add("limit_watts", bad.Error())
		return v.err()
	}
	return answer(stream.Context(), "CommissionFeeder", err)
}

// LimitError is a limit that the feeder does not allow; its text says what is accepted.
type LimitError struct{ error }

// NewLimitError makes err one.
func NewLimitError(err error) *LimitError { return &LimitError{err} }

// GetHeadroom gives what feeders can deliver to tenants.
func (s *Service) GetHeadroom(
	ctx context.Context, req *hashleasev1.GetHeadroomRequest,
) (*hashleasev1.GetHeadroomResponse, error) {
	var v invalid
	var site fleet.SiteID
	if req.GetSite() != "" {
		site = v.site(req.GetSite())
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	list, err := s.cfg.Commissioning.Headroom(site)
	if err != nil {
		return nil, answer(ctx, "GetHeadroom", err)
	}
	return &hashleasev1.GetHeadroomResponse{Feeders: list}, nil
}
