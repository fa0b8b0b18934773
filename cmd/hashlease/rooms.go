package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/cmd/hashlease/console"
	"github.com/hashlease/hashlease/lease/leaserpc"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/node"
	"github.com/hashlease/hashlease/pool/poolrpc"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
	"github.com/hashlease/hashlease/stratum"
)

// openGRPC makes the one gRPC server: the tenants' services and the operator's, behind the same
// interceptors.
func (s *server) openGRPC(context.Context) (err error) {
	s.tls, err = openTLS(s.cfg.Path(s.cfg.TLS.Dir), s.cfg.TLS.Hosts, time.Now())
	if err != nil {
		return err
	}
	keys, err := s.keyring()
	if err != nil {
		return err
	}
	s.grpc, err = leaserpc.NewServer(leaserpc.Config{
		Service: s.leases, Keys: keys, Log: s.log,
		TLS: credentials.NewServerTLSFromCert(&s.tls.Certificate),
	})
	if err != nil {
		return err
	}
	operator, err := poolrpc.New(poolrpc.Config{
		Shares: s.credits.Totals, Blocks: s.blocks.List, Status: s.status, Curtail: s.curtail,
		SetArm: s.setArm, ConfirmOff: s.confirmOff, AcceptClock: s.acceptClock,
		Channels: s.channels, Payout: s.payout, RenewPrefix: s.renewPrefix, SetPayout: s.setPayout,
		CloseChannel: s.closeChannel, ShowMessage: s.showMessage,
		Power: s.power(), Commissioning: s.commissioning(), Report: s.report,
		Prices: s.prices(), Devices: s.devices(), Inventory: s.inventoryRPC(),
	})
	if err != nil {
		return err
	}
	hashleasev1.RegisterOperatorServiceServer(s.grpc, operator)
	return nil
}

func (s *server) keyring() ([]leaserpc.Key, error) {
	var keys []leaserpc.Key
	var errs []error
	add := func(owner, text string) {
		var h leaserpc.Hash
		if err := h.UnmarshalText([]byte(text)); err != nil {
			errs = append(errs, fmt.Errorf("key of %s: %w", owner, err))
			return
		}
		keys = append(keys, leaserpc.Key{Owner: owner, Hash: h})
	}
	add(leaserpc.Admin, s.cfg.Admin.KeyHash)
	for _, t := range s.cfg.Tenants {
		add(t.ID, t.KeyHash)
	}
	return keys, errors.Join(errs...)
}

// ready says whether miners can have work.
func (s *server) ready() bool { return s.watch.State().Phase == node.Ready }

// sells says whether every feeder has watts for tenants.
func (s *server) sells() bool {
	for _, site := range s.leases.Sites() {
		for _, f := range site.Feeders {
			if f.Leasable <= 0 {
				return false
			}
		}
	}
	return true
}

// status collects the present figures for the operator.
func (s *server) status(context.Context) (*hashleasev1.GetStatusResponse, error) {
	st := s.stratum.Stats()
	relay := s.relay.Stats()
	out := &hashleasev1.GetStatusResponse{
		Time: timestamppb.Now(),
		Pool: &hashleasev1.PoolStatus{
			Height: s.watch.Stats().Height, NodeState: s.watch.State().String(),
			Hashrate: float64(st.Hashrate), Sessions: int64(st.Sessions), Channels: int64(st.Channels),
			SharesAccepted: st.Durable, SharesRejected: st.Rejected,
			BlocksFound: int64(relay.Found), BlocksAccepted: int64(relay.Accepted),
			TipToLastJob: latency(st.TipToLastJob), ShareToAck: latency(st.ShareToAck),
			AuthorityKey: s.keys.authority.Public().String(), StratumPort: port(s.stratumAt),
			HashScale: 1 / s.cfg.HashScale(), Ports: s.portMessages(st.Ports),
		},
		Leases: s.bookStatus(),
	}
	for _, site := range s.governor.Status().Sites {
		for i := range site.Feeders {
			out.Feeders = append(out.Feeders, feederStatus(site.ID, &site.Feeders[i]))
		}
		for i := range site.Branches {
			out.Branches = append(out.Branches, branchMessage(site.ID, &site.Branches[i]))
		}
	}
	return out, nil
}

func feederStatus(site fleet.SiteID, f *governor.FeederStatus) *hashleasev1.FeederStatus {
	out := &hashleasev1.FeederStatus{
		Feeder: feederName(site, f.ID), Arm: hashleasev1.Arm(f.Arm) + 1,
		LimitWatts: int64(f.Limit), TotalWatts: int64(f.Total), MiningWatts: int64(f.Mining),
		BaseWatts: int64(f.Base), TenantWatts: int64(f.Tenant), BoundWatts: int64(f.Bound),
		OrderedWatts: int64(f.Ordered), Workers: int32(len(f.Workers)), WorkersCurtailed: int32(f.Curtailed),
		State: f.State,
	}
	if !f.ReadingAt.IsZero() {
		out.ReadingTime = timestamppb.New(f.ReadingAt)
	}
	out.Meters = meterMessages(f.Meters)
	return out
}

func meterMessages(meters []governor.MeterStatus) []*hashleasev1.MeterStatus {
	out := make([]*hashleasev1.MeterStatus, 0, len(meters))
	for _, m := range meters {
		meter := &hashleasev1.MeterStatus{
			Name: m.Name, Role: m.Role.String(), Tenant: m.Tenant, State: m.State.String(),
			Watts: int64(m.Watts), Detail: m.Detail,
		}
		if !m.At.IsZero() {
			meter.ReadingTime = timestamppb.New(m.At)
		}
		out = append(out, meter)
	}
	return out
}

func branchName(site fleet.SiteID, b fleet.BranchID) string {
	return fmt.Sprintf("sites/%s/branches/%s", site, b)
}

func branchMessage(site fleet.SiteID, b *governor.BranchStatus) *hashleasev1.BranchStatus {
	out := &hashleasev1.BranchStatus{
		Branch: branchName(site, b.ID), Kind: b.Kind.String(), LimitWatts: int64(b.Limit),
		ReserveWatts: int64(b.Reserve), CeilingWatts: int64(b.Ceiling), TotalWatts: int64(b.Total),
		MiningWatts: int64(b.Mining), BaseWatts: int64(b.Base), ClaimedWatts: int64(b.Claimed),
		BoundWatts: int64(b.Bound), OrderedWatts: int64(b.Ordered), ShortWatts: int64(b.Short),
		Fresh: b.Fresh, State: b.State, Meters: meterMessages(b.Meters),
	}
	if b.Parent != "" {
		out.Parent = branchName(site, b.Parent)
	}
	if b.Feeder != "" {
		out.Feeder = feederName(site, b.Feeder)
	}
	return out
}

func latency(l stratum.Latency) *hashleasev1.Latency {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return &hashleasev1.Latency{Count: l.Count, P50Ms: ms(l.P50), P99Ms: ms(l.P99), MaxMs: ms(l.Max)}
}

// curtail hands an operator's wish to the governor and its reports back.
func (s *server) curtail(
	ctx context.Context, c poolrpc.Curtailment, send func(*hashleasev1.CurtailSiteResponse) error,
) error {
	wish := governor.Curtailment{Site: c.Site, Watts: c.Watts, For: c.For, DryRun: c.DryRun}
	return refusedByGovernor(s.governor.Curtail(ctx, wish, func(u governor.CurtailUpdate) error {
		if u.Preview != nil {
			return send(&hashleasev1.CurtailSiteResponse{
				Event: &hashleasev1.CurtailSiteResponse_Preview{Preview: s.preview(c.Site, u.Preview)},
			})
		}
		return send(&hashleasev1.CurtailSiteResponse{
			Event: &hashleasev1.CurtailSiteResponse_Progress{Progress: progress(u.Progress)},
		})
	}))
}

func (s *server) preview(site fleet.SiteID, p *governor.Preview) *hashleasev1.CurtailPreview {
	out := &hashleasev1.CurtailPreview{
		CostMsatPerHour: int64(p.Cost), FreedWatts: int64(p.Freed), Leases: s.leaseNames(p.Claims),
	}
	for _, w := range p.Workers {
		out.Workers = append(out.Workers, &hashleasev1.CurtailedWorker{
			Worker: string(w.Worker), Feeder: feederName(site, w.Feeder),
			FromWatts: int64(w.From), ToWatts: int64(w.To),
		})
	}
	return out
}

func progress(p *governor.Progress) *hashleasev1.CurtailProgress {
	return &hashleasev1.CurtailProgress{
		Time: timestamppb.New(p.At), BaselineWatts: int64(p.Baseline), MiningWatts: int64(p.Mining),
		Proven: p.Proven, Seconds: p.Elapsed.Seconds(), Message: p.Message,
	}
}

// openConsole makes the operator's web console, under the same certificate as gRPC.
func (s *server) openConsole(context.Context) (err error) {
	keys, err := s.keyring()
	if err != nil {
		return err
	}
	ring, err := leaserpc.NewKeyring(keys)
	if err != nil {
		return err
	}
	s.console, err = console.New(console.Config{
		Stratum: s.stratum, Governor: s.governor, Leases: s.leases, Shares: s.credits, Blocks: s.blocks,
		Relay: s.relay, Watch: s.watch, Version: programVersion(), Network: s.cfg.Network,
		Scale: 1 / s.cfg.HashScale(), Log: s.log, Report: s.consoleReport,
		AdminKey: func(key string) bool { id, ok := ring.Identify(key); return ok && id.Admin },
	})
	if err != nil {
		return err
	}
	s.web = &http.Server{
		Handler: s.console.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{s.tls.Certificate}, MinVersion: tls.VersionTLS12,
		},
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return nil
}
