package poolrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/ledger"
	"github.com/hashlease/hashlease/pool/poolrpc"
	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

var at = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// sender takes one event of a curtailment.
type sender = func(*hashleasev1.CurtailSiteResponse) error

// config answers from constants.
func config() poolrpc.Config {
	return poolrpc.Config{
		Shares: func() []ledger.WorkerTotal { return nil },
		Blocks: func() []ledger.FoundBlock { return nil },
		Status: func(context.Context) (*hashleasev1.GetStatusResponse, error) {
			return &hashleasev1.GetStatusResponse{Pool: &hashleasev1.PoolStatus{Height: 7}}, nil
		},
		Curtail: func(context.Context, poolrpc.Curtailment, sender) error { return nil },
		SetArm:  func(context.Context, fleet.SiteID, fleet.FeederID, fleet.Arm) error { return nil },
		ConfirmOff: func(context.Context, string, string) (*hashleasev1.Lease, error) {
			return &hashleasev1.Lease{}, nil
		},
		AcceptClock: func(context.Context) (time.Time, error) { return at, nil },
		Channels:    func() []poolrpc.OpenChannel { return nil },
		Payout: func(address string) (pool.Payout, error) {
			if address != "addr" {
				return pool.Payout{}, errors.New("addr is accepted")
			}
			return pool.Payout{Script: "script"}, nil
		},
		RenewPrefix: func(id poolrpc.ChannelID) (*hashleasev1.Channel, error) { return named(id), nil },
		SetPayout: func(id poolrpc.ChannelID, p pool.Payout) (*hashleasev1.Channel, error) {
			return &hashleasev1.Channel{
				Name: id.String(), Payout: p.Script, PoolPercent: int32(p.Percent),
			}, nil
		},
		CloseChannel: func(poolrpc.ChannelID, string) error { return nil },
		ShowMessage: func(poolrpc.Audience, string) (*hashleasev1.ShowMessageResponse, error) {
			return &hashleasev1.ShowMessageResponse{}, nil
		},
		Power: power(), Commissioning: commissioning(), Report: report,
		Prices: prices(), Devices: devices(nil), Inventory: found(nil),
	}
}

// dial serves the service over a pipe and returns its client.
func dial(t *testing.T, cfg poolrpc.Config) hashleasev1.OperatorServiceClient {
	t.Helper()
	service, err := poolrpc.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	lis := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	hashleasev1.RegisterOperatorServiceServer(server, service)
	served := make(chan error, 1) // Serve's one result
	go func() { served <- server.Serve(lis) }()
	conn, err := grpc.NewClient("passthrough:pipe",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return lis.DialContext(ctx)
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	return hashleasev1.NewOperatorServiceClient(conn)
}

// violations are the fields that an INVALID_ARGUMENT names.
func violations(t *testing.T, err error) (fields []string) {
	t.Helper()
	st := status.Convert(err)
	if st.Code() != codes.InvalidArgument {
		t.Fatalf("error is %v, want INVALID_ARGUMENT", err)
	}
	for _, d := range st.Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				if !strings.Contains(v.GetDescription(), "accepted") {
					t.Errorf("%s does not say what is accepted: %s", v.GetField(), v.GetDescription())
				}
				fields = append(fields, v.GetField())
			}
		}
	}
	return fields
}

// Ensure a service is not built with holes in it.
func TestNew_NamesEveryMissingFunction(t *testing.T) {
	_, err := poolrpc.New(poolrpc.Config{})
	for _, field := range []string{
		"Shares", "Blocks", "Status", "Curtail", "SetArm", "ConfirmOff", "AcceptClock",
		"Channels", "Payout", "RenewPrefix", "SetPayout", "CloseChannel", "ShowMessage",
		"Power.Stop", "Power.Resume", "Power.SetLimit", "Power.ClearLimit", "Power.Limits", "Power.Advice",
		"Prices.List", "Prices.SetPin", "Prices.Pins",
		"Prices.List", "Prices.SetPin", "Prices.Pins",
		"Commissioning.Commission", "Commissioning.Headroom",
	} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("error %v does not name %s", err, field)
		}
	}
}

// Ensure shares keep all their digits on the way.
func TestService_ListsShares(t *testing.T) {
	cfg := config()
	work := unit.WorkOf(1<<64 - 1).Add(unit.WorkOf(1))
	cfg.Shares = func() []ledger.WorkerTotal {
		return []ledger.WorkerTotal{{Worker: "alice.s21", Account: "alice", Shares: 3, Work: work, Last: at}}
	}
	got, err := dial(t, cfg).ListShares(t.Context(), &hashleasev1.ListSharesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	want := &hashleasev1.ListSharesResponse{Workers: []*hashleasev1.WorkerShares{{
		Worker: "alice.s21", Account: "alice", Shares: 3,
		Work: "18446744073709551616", LastTime: timestamppb.New(at),
	}}}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("shares (-want +got):\n%s", diff)
	}
}

// Ensure an answer that would not fit in a message is refused instead of cut.
func TestService_RefusesToCutShares(t *testing.T) {
	cfg := config()
	cfg.Shares = func() []ledger.WorkerTotal { return make([]ledger.WorkerTotal, 20_001) }
	_, err := dial(t, cfg).ListShares(t.Context(), &hashleasev1.ListSharesRequest{})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("error is %v, want RESOURCE_EXHAUSTED", err)
	}
}

// Ensure blocks come newest first, up to the page.
func TestService_ListsBlocks(t *testing.T) {
	cfg := config()
	cfg.Blocks = func() []ledger.FoundBlock {
		blocks := make([]ledger.FoundBlock, 150)
		for i := range blocks {
			blocks[i] = ledger.FoundBlock{Height: int32(150 - i), Worker: "a.b", At: at}
		}
		return blocks
	}
	client := dial(t, cfg)
	for size, want := range map[int32]int{0: 100, 1: 1, 1000: 150} {
		got, err := client.ListBlocks(t.Context(), &hashleasev1.ListBlocksRequest{PageSize: size})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.GetBlocks()) != want || got.GetBlocks()[0].GetHeight() != 150 {
			t.Errorf("page of %d has %d blocks from height %d, want %d from 150",
				size, len(got.GetBlocks()), got.GetBlocks()[0].GetHeight(), want)
		}
	}
	for _, size := range []int32{-1, 1001} {
		_, err := client.ListBlocks(t.Context(), &hashleasev1.ListBlocksRequest{PageSize: size})
		if diff := cmp.Diff([]string{"page_size"}, violations(t, err)); diff != "" {
			t.Errorf("violations of page %d:\n%s", size, diff)
		}
	}
}

// Ensure a curtailment reaches the governor as asked and its updates come back in order.
func TestService_StreamsACurtailment(t *testing.T) {
	cfg := config()
	preview := &hashleasev1.CurtailSiteResponse{Event: &hashleasev1.CurtailSiteResponse_Preview{
		Preview: &hashleasev1.CurtailPreview{FreedWatts: 100_000},
	}}
	proof := &hashleasev1.CurtailSiteResponse{Event: &hashleasev1.CurtailSiteResponse_Progress{
		Progress: &hashleasev1.CurtailProgress{Proven: true},
	}}
	var asked poolrpc.Curtailment
	cfg.Curtail = func(_ context.Context, c poolrpc.Curtailment, send sender) error {
		asked = c
		return errors.Join(send(preview), send(proof))
	}
	stream, err := dial(t, cfg).CurtailSite(t.Context(), &hashleasev1.CurtailSiteRequest{
		Site: "sites/yard", Watts: 100_000, Duration: durationpb.New(2 * time.Minute), DryRun: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []*hashleasev1.CurtailSiteResponse{preview, proof} {
		got, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("event (-want +got):\n%s", diff)
		}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("end of stream: %v", err)
	}
	want := poolrpc.Curtailment{Site: "yard", Watts: 100_000, For: 2 * time.Minute, DryRun: true}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("curtailment (-want +got):\n%s", diff)
	}
}

// Ensure every bad field of a curtailment is named, all at once, and nothing is ordered.
func TestService_RefusesBadCurtailments(t *testing.T) {
	cfg := config()
	cfg.Curtail = func(context.Context, poolrpc.Curtailment, sender) error {
		t.Error("a bad request was ordered")
		return nil
	}
	client := dial(t, cfg)
	good := func() *hashleasev1.CurtailSiteRequest {
		return &hashleasev1.CurtailSiteRequest{
			Site: "sites/yard", Watts: 1, Duration: durationpb.New(time.Second),
		}
	}
	type request = hashleasev1.CurtailSiteRequest
	lasts := func(d time.Duration) func(*request) {
		return func(r *request) { r.Duration = durationpb.New(d) }
	}
	at := func(site string) func(*request) { return func(r *request) { r.Site = site } }
	frees := func(watts int64) func(*request) { return func(r *request) { r.Watts = watts } }
	tests := map[string]struct {
		spoil func(*request)
		want  []string
	}{
		"nothing set":      {(*request).Reset, []string{"site", "watts", "duration"}},
		"bare site":        {at("yard"), []string{"site"}},
		"site with slash":  {at("sites/yard/x"), []string{"site"}},
		"long site":        {at("sites/" + strings.Repeat("a", 41)), []string{"site"}},
		"negative watts":   {frees(-1), []string{"watts"}},
		"too many watts":   {frees(1e12 + 1), []string{"watts"}},
		"short duration":   {lasts(time.Second - 1), []string{"duration"}},
		"long duration":    {lasts(24*time.Hour + 1), []string{"duration"}},
		"invalid duration": {func(r *request) { r.Duration.Nanos = -5 }, []string{"duration"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			req := good()
			tt.spoil(req)
			stream, err := client.CurtailSite(t.Context(), req)
			if err == nil {
				_, err = stream.Recv()
			}
			if diff := cmp.Diff(tt.want, violations(t, err)); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

// Ensure arming names one feeder and one of three arms.
func TestService_SetsArm(t *testing.T) {
	cfg := config()
	var got string
	cfg.SetArm = func(_ context.Context, s fleet.SiteID, f fleet.FeederID, a fleet.Arm) error {
		got = fmt.Sprintf("%s/%s: %d", s, f, a)
		return nil
	}
	client := dial(t, cfg)
	res, err := client.SetArm(t.Context(), &hashleasev1.SetArmRequest{
		Feeder: "sites/yard/feeders/f-1", Arm: hashleasev1.Arm_ARM_ACT,
	})
	if err != nil || res.GetArm() != hashleasev1.Arm_ARM_ACT || got != "yard/f-1: 2" {
		t.Errorf("set arm gave %v (%v) and set %q", res, err, got)
	}
	for _, feeder := range []string{
		"", "yard/f-1", "sites/yard", "sites//feeders/f", "sites/yard/feeders/F",
	} {
		_, err := client.SetArm(t.Context(), &hashleasev1.SetArmRequest{Feeder: feeder, Arm: 9})
		if diff := cmp.Diff([]string{"feeder", "arm"}, violations(t, err)); diff != "" {
			t.Errorf("violations of %q (-want +got):\n%s", feeder, diff)
		}
	}
}

// Ensure a confirmation is about one lease, named in full.
func TestService_ConfirmsALeaseOff(t *testing.T) {
	cfg := config()
	var got []string
	cfg.ConfirmOff = func(_ context.Context, tenant, lease string) (*hashleasev1.Lease, error) {
		got = append(got, tenant+" "+lease)
		if lease == "gone" {
			return nil, poolrpc.As(poolrpc.ErrUnknown, errors.New("there is no such lease"))
		}
		return &hashleasev1.Lease{Name: "tenants/acme/leases/l1", Revision: 9}, nil
	}
	client := dial(t, cfg)
	res, err := client.ConfirmLeaseOff(t.Context(),
		&hashleasev1.ConfirmLeaseOffRequest{Name: "tenants/acme/leases/l1"})
	if err != nil || res.GetRevision() != 9 {
		t.Errorf("confirmation gave %v (%v)", res, err)
	}
	for _, name := range []string{
		"", "l1", "tenants/acme", "tenants//leases/l1", "tenants/acme/leases/", "tenants/acme/leases/L1",
		"tenants/acme/leases/l1/x", "tenants/acme/leases/" + strings.Repeat("a", 41),
	} {
		_, err := client.ConfirmLeaseOff(t.Context(), &hashleasev1.ConfirmLeaseOffRequest{Name: name})
		if diff := cmp.Diff([]string{"name"}, violations(t, err)); diff != "" {
			t.Errorf("violations of %q (-want +got):\n%s", name, diff)
		}
	}
	_, err = client.ConfirmLeaseOff(t.Context(),
		&hashleasev1.ConfirmLeaseOffRequest{Name: "tenants/acme/leases/gone"})
	if st := status.Convert(err); st.Code() != codes.NotFound || st.Message() != "there is no such lease" {
		t.Errorf("confirming what is not there: %v", err)
	}
	if diff := cmp.Diff([]string{"acme l1", "acme gone"}, got); diff != "" {
		t.Errorf("confirmed (-want +got):\n%s", diff)
	}
}

// Ensure an accepted clock tells service time, and one that cannot be is refused with its reason.
func TestService_AcceptsTheClock(t *testing.T) {
	cfg := config()
	var refusal error
	cfg.AcceptClock = func(context.Context) (time.Time, error) { return at, refusal }
	client := dial(t, cfg)
	res, err := client.AcceptClock(t.Context(), &hashleasev1.AcceptClockRequest{})
	if err != nil || !res.GetTime().AsTime().Equal(at) {
		t.Errorf("accepting gave %v (%v), want %v", res, err, at)
	}
	refusal = poolrpc.As(poolrpc.ErrState, errors.New("time never goes back"))
	_, err = client.AcceptClock(t.Context(), &hashleasev1.AcceptClockRequest{})
	if st := status.Convert(err); st.Code() != codes.FailedPrecondition ||
		st.Message() != "time never goes back" {
		t.Errorf("refusal is %v", err)
	}
}

// Ensure errors of the rooms become codes, and inner ones stay inside.
func TestService_TranslatesErrors(t *testing.T) {
	tests := map[string]struct {
		err  error
		code codes.Code
		text string
	}{
		"unknown":     {fmt.Errorf("feeder f: %w", poolrpc.ErrUnknown), codes.NotFound, "feeder f"},
		"state":       {fmt.Errorf("feeder f: %w", poolrpc.ErrState), codes.FailedPrecondition, "feeder f"},
		"short":       {fmt.Errorf("site y: %w", poolrpc.ErrShort), codes.ResourceExhausted, "site y"},
		"unavailable": {fmt.Errorf("site y: %w", poolrpc.ErrUnavailable), codes.Unavailable, "site y"},
		"cancelled":   {fmt.Errorf("waiting: %w", context.Canceled), codes.Canceled, ""},
		"deadline":    {context.DeadlineExceeded, codes.DeadlineExceeded, ""},
		"status":      {status.Error(codes.Aborted, "as it is"), codes.Aborted, "as it is"},
		"inner":       {errors.New("secret path /var/lib/x"), codes.Internal, "log"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := config()
			cfg.SetArm = func(context.Context, fleet.SiteID, fleet.FeederID, fleet.Arm) error {
				return tt.err
			}
			cfg.Status = func(context.Context) (*hashleasev1.GetStatusResponse, error) { return nil, tt.err }
			client := dial(t, cfg)
			_, armErr := client.SetArm(t.Context(), &hashleasev1.SetArmRequest{
				Feeder: "sites/y/feeders/f", Arm: hashleasev1.Arm_ARM_ACT,
			})
			_, statusErr := client.GetStatus(t.Context(), &hashleasev1.GetStatusRequest{})
			for _, err := range []error{armErr, statusErr} {
				st := status.Convert(err)
				leaks := strings.Contains(st.Message(), "secret")
				if st.Code() != tt.code || !strings.Contains(st.Message(), tt.text) || leaks {
					t.Errorf("status is %v, want %v with %q", err, tt.code, tt.text)
				}
			}
		})
	}
}

// Ensure status passes through.
func TestService_GetsStatus(t *testing.T) {
	got, err := dial(t, config()).GetStatus(t.Context(), &hashleasev1.GetStatusRequest{})
	if err != nil || got.GetPool().GetHeight() != 7 {
		t.Errorf("status is %v (%v)", got, err)
	}
}
