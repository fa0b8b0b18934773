package poolrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/ledger"
	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

var _ hashleasev1.OperatorServiceServer = (*Service)(nil)

// Bounds of requests.
const (
	defaultPage    = 100
	maxPage        = 1000
	maxCurtail     = 24 * time.Hour
	maxWatts       = 1e12
	maxShareRows   = 20_000 // rows of one ListShares: about half of gRPC's 4 MiB message
	minCurtailment = time.Second
)

// Curtailment is an operator's wish that a site's mining fall for a while.
type Curtailment struct {
	Site   fleet.SiteID
	Watts  unit.Watts
	For    time.Duration
	DryRun bool
}

// Config names what the service calls. All are needed, and all must be safe for concurrent use.
type Config struct {
	// Shares gives the credited work of all workers (ledger.Shares.Totals).
	Shares func() []ledger.WorkerTotal
	// Blocks gives found blocks, newest first (ledger.Blocks.List).
	Blocks func() []ledger.FoundBlock
	// Status gives the present figures.
	Status func(ctx context.Context) (*hashleasev1.GetStatusResponse, error)
	// Curtail previews a curtailment and, unless it is a dry run, orders it and reports until the
	// proof or until ctx ends. It returns send's error if it fails and calls it from one goroutine.
	Curtail func(ctx context.Context, c Curtailment, send func(*hashleasev1.CurtailSiteResponse) error) error
	// SetArm says what may be done on a feeder, durably.
	SetArm func(ctx context.Context, site fleet.SiteID, feeder fleet.FeederID, arm fleet.Arm) error
	// ConfirmOff notes, durably, that an ended lease's tenant draws nothing, and returns the lease.
	ConfirmOff func(ctx context.Context, tenant, lease string) (*hashleasev1.Lease, error)
	// AcceptClock believes the server's clock after a jump, and returns service time by it.
	AcceptClock func(ctx context.Context) (time.Time, error)
	// Channels lists the open mining channels, in no order.
	Channels func() []OpenChannel
	// Payout reads an address of the pool's network; its error says what is accepted.
	Payout func(address string) (pool.Payout, error)
	// RenewPrefix gives a channel another extranonce prefix, and returns the channel.
	RenewPrefix func(id ChannelID) (*hashleasev1.Channel, error)
	// SetPayout changes whom a solo miner's coinbase pays, and returns the channel.
	SetPayout func(id ChannelID, p pool.Payout) (*hashleasev1.Channel, error)
	// CloseChannel ends a channel and tells its miner why.
	CloseChannel func(id ChannelID, reason string) error
	// ShowMessage sends a line to the people at the miners of an audience, and counts these.
	ShowMessage func(to Audience, text string) (*hashleasev1.ShowMessageResponse, error)
	// Report works out what the evidence log says and writes the file of it.
	Report func(ctx context.Context, w ReportWish, to io.Writer) error
	// Power is what can be done about a site's power besides.
	Power Power
	// Prices is what power costs, and who is left alone.
	Prices Prices
	// Devices is what machines say of themselves, and what single ones are told.
	Devices Devices
	// Inventory is the machines that were found.
	Inventory Inventory
	// Commissioning is what can be measured of it.
	Commissioning Commissioning
}

// Service is the operator's gRPC service.
type Service struct {
	hashleasev1.UnimplementedOperatorServiceServer
	cfg Config // immutable after New
}

// New returns the service; every function of cfg must be set.
func New(cfg Config) (*Service, error) {
	var errs []error
	need := func(field string, set bool) {
		if !set {
			errs = append(errs, fmt.Errorf("%s is not set", field))
		}
	}
	need("Shares", cfg.Shares != nil)
	need("Blocks", cfg.Blocks != nil)
	need("Status", cfg.Status != nil)
	need("Curtail", cfg.Curtail != nil)
	need("SetArm", cfg.SetArm != nil)
	need("ConfirmOff", cfg.ConfirmOff != nil)
	need("AcceptClock", cfg.AcceptClock != nil)
	need("Channels", cfg.Channels != nil)
	need("Payout", cfg.Payout != nil)
	need("RenewPrefix", cfg.RenewPrefix != nil)
	need("SetPayout", cfg.SetPayout != nil)
	need("CloseChannel", cfg.CloseChannel != nil)
	need("ShowMessage", cfg.ShowMessage != nil)
	need("Report", cfg.Report != nil)
	cfg.Power.check(need)
	cfg.Prices.check(need)
	cfg.Devices.check(need)
	cfg.Inventory.check(need)
	cfg.Commissioning.check(need)
	if len(errs) > 0 {
		return nil, fmt.Errorf("configuring the operator service: %w", errors.Join(errs...))
	}
	return &Service{cfg: cfg}, nil
}

// ListShares gives credited work per worker.
func (s *Service) ListShares(
	ctx context.Context, _ *hashleasev1.ListSharesRequest,
) (*hashleasev1.ListSharesResponse, error) {
	totals := s.cfg.Shares()
	if len(totals) > maxShareRows {
		return nil, answer(ctx, "ListShares", fmt.Errorf("%w: %d workers do not fit in one answer of %d",
			ErrShort, len(totals), maxShareRows))
	}
	res := &hashleasev1.ListSharesResponse{Workers: make([]*hashleasev1.WorkerShares, 0, len(totals))}
	for _, t := range totals {
		res.Workers = append(res.Workers, &hashleasev1.WorkerShares{
			Worker: string(t.Worker), Account: string(t.Account), Shares: t.Shares,
			Work: t.Work.String(), LastTime: timestamp(t.Last),
		})
	}
	return res, nil
}

// ListBlocks gives found blocks, newest first, and what became of them.
func (s *Service) ListBlocks(
	_ context.Context, req *hashleasev1.ListBlocksRequest,
) (*hashleasev1.ListBlocksResponse, error) {
	size := int(req.GetPageSize())
	if size < 0 || size > maxPage {
		var v invalid
		v.add("page_size", fmt.Sprintf("0 to %d is accepted, 0 means %d", maxPage, defaultPage))
		return nil, v.err()
	}
	if size == 0 {
		size = defaultPage
	}
	blocks := s.cfg.Blocks()
	res := &hashleasev1.ListBlocksResponse{}
	for _, b := range blocks[:min(size, len(blocks))] {
		res.Blocks = append(res.Blocks, &hashleasev1.Block{
			Hash: b.Hash.String(), Height: b.Height, Worker: string(b.Worker),
			ValueSats: b.Value, FoundTime: timestamp(b.At), Outcome: b.Outcome,
		})
	}
	return res, nil
}

// GetStatus gives the pool's and the sites' present figures.
func (s *Service) GetStatus(
	ctx context.Context, _ *hashleasev1.GetStatusRequest,
) (*hashleasev1.GetStatusResponse, error) {
	res, err := s.cfg.Status(ctx)
	if err != nil {
		return nil, answer(ctx, "GetStatus", err)
	}
	return res, nil
}

// CurtailSite lowers a site's mining for a while: the preview first, then progress up to the proof.
func (s *Service) CurtailSite(
	req *hashleasev1.CurtailSiteRequest, stream grpc.ServerStreamingServer[hashleasev1.CurtailSiteResponse],
) error {
	c, err := parseCurtailment(req)
	if err != nil {
		return err
	}
	return answer(stream.Context(), "CurtailSite", s.cfg.Curtail(stream.Context(), c, stream.Send))
}

// SetArm sets what may be done on a feeder: look, advise or act.
func (s *Service) SetArm(
	ctx context.Context, req *hashleasev1.SetArmRequest,
) (*hashleasev1.SetArmResponse, error) {
	var v invalid
	site, feeder, ok := parseFeeder(req.GetFeeder())
	if !ok {
		v.add("feeder", `"sites/{site}/feeders/{feeder}" is accepted, each name of 1 to 40 of a-z 0-9 - _`)
	}
	arms := map[hashleasev1.Arm]fleet.Arm{
		hashleasev1.Arm_ARM_OBSERVE: fleet.Observe,
		hashleasev1.Arm_ARM_ADVISE:  fleet.Advise,
		hashleasev1.Arm_ARM_ACT:     fleet.Act,
	}
	arm, ok := arms[req.GetArm()]
	if !ok {
		v.add("arm", "ARM_OBSERVE, ARM_ADVISE or ARM_ACT is accepted")
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	if err := s.cfg.SetArm(ctx, site, feeder, arm); err != nil {
		return nil, answer(ctx, "SetArm", err)
	}
	return &hashleasev1.SetArmResponse{Arm: req.GetArm()}, nil
}

// ConfirmLeaseOff takes the operator's word that an ended lease's tenant draws nothing any more.
func (s *Service) ConfirmLeaseOff(
	ctx context.Context, req *hashleasev1.ConfirmLeaseOffRequest,
) (*hashleasev1.Lease, error) {
	tenant, lease, ok := parseLease(req.GetName())
	if !ok {
		var v invalid
		v.add("name", `"tenants/{tenant}/leases/{uid}" is accepted, each name of 1 to 40 of a-z 0-9 - _`)
		return nil, v.err()
	}
	res, err := s.cfg.ConfirmOff(ctx, tenant, lease)
	if err != nil {
		return nil, answer(ctx, "ConfirmLeaseOff", err)
	}
	return res, nil
}

// AcceptClock takes the operator's word that the server's clock is right after a jump.
func (s *Service) AcceptClock(
	ctx context.Context, _ *hashleasev1.AcceptClockRequest,
) (*hashleasev1.AcceptClockResponse, error) {
	now, err := s.cfg.AcceptClock(ctx)
	if err != nil {
		return nil, answer(ctx, "AcceptClock", err)
	}
	return &hashleasev1.AcceptClockResponse{Time: timestamp(now)}, nil
}

// timestamp leaves out what never happened.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
