package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/lease/service"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// scripted is a server whose answers a test sets.
type scripted struct {
	hashleasev1.UnimplementedLeaseServiceServer
	hashleasev1.UnimplementedCapacityServiceServer
	hashleasev1.UnimplementedOperatorServiceServer

	create   func(*hashleasev1.CreateLeaseRequest) (*hashleasev1.Lease, error)
	list     func(*hashleasev1.ListLeasesRequest) *hashleasev1.ListLeasesResponse
	cancel   func(*hashleasev1.CancelLeaseRequest) (*hashleasev1.Lease, error)
	watch    func(*hashleasev1.WatchLeasesRequest, func(*hashleasev1.Lease)) error
	channels []*hashleasev1.ListChannelsRequest
	curtail  []*hashleasev1.CurtailSiteResponse
	arm      *hashleasev1.SetArmRequest
	off      *hashleasev1.ConfirmLeaseOffRequest
	status   *hashleasev1.GetStatusResponse
	message  *hashleasev1.ShowMessageRequest
	reason   string // of CloseChannel and StopSite, and what DeleteLimit names
	sound    bool   // no machine is wrong or unclear
	limit    *hashleasev1.Limit
	asked    *hashleasev1.GetSiteReportRequest
	clock    error // the answer to AcceptClock
	key      string
}

func (s *scripted) CreateLease(
	ctx context.Context, r *hashleasev1.CreateLeaseRequest,
) (*hashleasev1.Lease, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	s.key = strings.Join(md.Get("authorization"), "|")
	return s.create(r)
}

func (s *scripted) ListLeases(
	_ context.Context, r *hashleasev1.ListLeasesRequest,
) (*hashleasev1.ListLeasesResponse, error) {
	return s.list(r), nil
}

func (s *scripted) CancelLease(
	_ context.Context, r *hashleasev1.CancelLeaseRequest,
) (*hashleasev1.Lease, error) {
	if s.cancel != nil {
		return s.cancel(r)
	}
	return nil, status.Error(codes.NotFound, "there is no such lease")
}

func (s *scripted) WatchLeases(
	r *hashleasev1.WatchLeasesRequest, stream grpc.ServerStreamingServer[hashleasev1.WatchLeasesResponse],
) error {
	return s.watch(r, func(l *hashleasev1.Lease) {
		_ = stream.Send(&hashleasev1.WatchLeasesResponse{Lease: l})
	})
}

func (s *scripted) ListSites(
	context.Context, *hashleasev1.ListSitesRequest,
) (*hashleasev1.ListSitesResponse, error) {
	return &hashleasev1.ListSitesResponse{Sites: []*hashleasev1.Site{{
		Name: "sites/north", Feeders: []*hashleasev1.Feeder{{
			Name: "sites/north/feeders/n1", LimitWatts: 500_000, LeasableWatts: 120_500, Basis: "metered",
		}},
	}}}, nil
}

func (s *scripted) CurtailSite(
	_ *hashleasev1.CurtailSiteRequest, stream grpc.ServerStreamingServer[hashleasev1.CurtailSiteResponse],
) error {
	for _, r := range s.curtail {
		if err := stream.Send(r); err != nil {
			return err
		}
	}
	return nil
}

func (s *scripted) SetArm(
	_ context.Context, r *hashleasev1.SetArmRequest,
) (*hashleasev1.SetArmResponse, error) {
	s.arm = r
	return &hashleasev1.SetArmResponse{Arm: r.GetArm()}, nil
}

func (s *scripted) ConfirmLeaseOff(
	_ context.Context, r *hashleasev1.ConfirmLeaseOffRequest,
) (*hashleasev1.Lease, error) {
	s.off = r
	return &hashleasev1.Lease{
		Name: r.GetName(), State: hashleasev1.LeaseState_LEASE_STATE_COMPLETED, StateReason: "over",
	}, nil
}

func (s *scripted) AcceptClock(
	context.Context, *hashleasev1.AcceptClockRequest,
) (*hashleasev1.AcceptClockResponse, error) {
	return &hashleasev1.AcceptClockResponse{Time: &timestamppb.Timestamp{Seconds: 1893553445}}, s.clock
}

func (s *scripted) GetStatus(
	context.Context, *hashleasev1.GetStatusRequest,
) (*hashleasev1.GetStatusResponse, error) {
	return s.status, nil
}

func (s *scripted) ListShares(
	context.Context, *hashleasev1.ListSharesRequest,
) (*hashleasev1.ListSharesResponse, error) {
	return &hashleasev1.ListSharesResponse{Workers: []*hashleasev1.WorkerShares{
		{Worker: "b.2", Account: "b", Shares: 3, Work: "12884901888"},
		{Worker: "a.1\x1b[2J", Account: "a", Shares: 1, Work: "4294967296"},
	}}, nil
}

// desk is a command line with a server behind it.
type desk struct {
	t        *testing.T
	srv      *scripted
	address  string
	ca       string
	out, err string
}

const testKey = "hl_acme_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func newDesk(t *testing.T) *desk {
	t.Helper()
	t.Setenv("TZ", "UTC")
	ca, caPEM, _, err := newIssuer(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := ca.server(localNames(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, srv: &scripted{}, ca: filepath.Join(t.TempDir(), "ca.pem")}
	if err := os.WriteFile(d.ca, caPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.address = ln.Addr().String()
	transport := credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}})
	server := grpc.NewServer(grpc.Creds(transport))
	hashleasev1.RegisterLeaseServiceServer(server, d.srv)
	hashleasev1.RegisterCapacityServiceServer(server, d.srv)
	hashleasev1.RegisterOperatorServiceServer(server, d.srv)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }() // ends with Stop
	t.Cleanup(func() {
		server.Stop()
		<-served
	})
	return d
}

// run runs the program with the server's address, authority and key.
func (d *desk) run(args ...string) int {
	d.t.Helper()
	d.t.Setenv("HASHLEASE_SERVER", d.address)
	d.t.Setenv("HASHLEASE_CA", d.ca)
	d.t.Setenv("HASHLEASE_KEY", testKey)
	var out, errs bytes.Buffer
	code := Main(d.t.Context(), args, strings.NewReader(""), &out, &errs)
	d.out, d.err = out.String(), errs.String()
	return code
}

func (d *desk) want(code int, out, errs string, args ...string) {
	d.t.Helper()
	if got := d.run(args...); got != code || !strings.Contains(d.out, out) || !strings.Contains(d.err, errs) {
		d.t.Errorf("hashlease %s\nstatus %d, want %d\nstdout %q\n  want %q\nstderr %q\n  want %q",
			strings.Join(args, " "), got, code, d.out, out, d.err, errs)
	}
}

// Ensure that a lease is asked for as the flags say, with the key and a request id.
func TestLeaseCreate_AsksForWhatTheFlagsSay(t *testing.T) {
	d := newDesk(t)
	var got *hashleasev1.CreateLeaseRequest
	d.srv.create = func(r *hashleasev1.CreateLeaseRequest) (*hashleasev1.Lease, error) {
		got = r
		return &hashleasev1.Lease{
			Name: "tenants/acme/leases/l1", Watts: r.GetLease().GetWatts(), Feeder: "sites/north/feeders/n1",
			State: hashleasev1.LeaseState_LEASE_STATE_SCHEDULED, EndTime: r.GetLease().GetEndTime(),
		}, nil
	}
	d.want(exitOK, "SCHEDULED", "", "lease", "create", "--site", "north", "--watts", "100.5kW",
		"--feeder", "n1", "--start", "2030-01-02T03:04:05Z", "--for", "90s")
	l := got.GetLease()
	if l.GetSite() != "sites/north" || l.GetFeeder() != "sites/north/feeders/n1" || l.GetWatts() != 100_500 {
		t.Errorf("asked for %v", l)
	}
	s, e := l.GetStartTime().AsTime(), l.GetEndTime().AsTime()
	if e.Sub(s) != 90*time.Second || s.Year() != 2030 {
		t.Errorf("asked from %v to %v", s, e)
	}
	if len(got.GetRequestId()) != 36 || d.srv.key != "Bearer "+testKey {
		t.Errorf("request id %q, authorization %q", got.GetRequestId(), d.srv.key)
	}
	d.want(exitOK, "2030-01-02 03:05:35 UTC", "", "lease", "create", "--site", "north", "--watts", "1kW",
		"--start", "2030-01-02T03:04:05Z", "--end", "2030-01-02T03:05:35Z")
	d.want(exitOK, `{"name":"tenants/acme/leases/l1","site":"","feeder":"sites/north/feeders/n1",`+
		`"watts":"1000",`, "It would be booked",
		"lease", "create", "--site", "sites/north", "--watts", "1kW", "--for", "1m", "--json", "--dry-run")
	if at := got.GetLease().GetStartTime(); at != nil || !got.GetValidateOnly() {
		t.Errorf("now is asked for as %v, validate only %v", at, got.GetValidateOnly())
	}
}

// Ensure that a refusal says what would be possible, and has an exit status of its own.
func TestLeaseCreate_SaysWhyItWasRefused(t *testing.T) {
	d := newDesk(t)
	var refusal error
	d.srv.create = func(*hashleasev1.CreateLeaseRequest) (*hashleasev1.Lease, error) { return nil, refusal }
	with := func(s *status.Status, info *errdetails.ErrorInfo, b *errdetails.BadRequest) error {
		s, err := s.WithDetails(info, b)
		if err != nil {
			t.Fatal(err)
		}
		return s.Err()
	}
	args := []string{"lease", "create", "--site", "north", "--watts", "1MW", "--for", "1m"}
	refusal = with(status.New(codes.ResourceExhausted, "no room"),
		&errdetails.ErrorInfo{Reason: "NO_CAPACITY", Metadata: map[string]string{"max_free_watts": "400"}},
		&errdetails.BadRequest{})
	d.want(exitRefused, "",
		"hashlease: booking the lease: no room (ResourceExhausted)\n"+
			"  reason: NO_CAPACITY\n  max_free_watts: 400\n", args...)
	refusal = with(status.New(codes.InvalidArgument, "bad"), &errdetails.ErrorInfo{Reason: "INVALID_FIELD"},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "lease.watts", Description: "1 to 10 are accepted"},
		}})
	d.want(exitUsage, "", "  lease.watts: 1 to 10 are accepted\n", args...)
	refusal = status.Error(codes.Unauthenticated, "no")
	d.want(exitRefused, "", "HASHLEASE_KEY", args...)
	refusal = status.Error(codes.Internal, "internal error")
	d.want(exitFailed, "", "internal error (Internal)", args...)
	refusal = status.Error(codes.Unavailable, "journal is away")
	d.want(exitNoReach, "",
		"journal is away\nIf it was sent it may have happened. To repeat it safely:\n  hashlease lease",
		args...)
	refusal = with(status.New(codes.Unavailable, "the clock is not trusted"),
		&errdetails.ErrorInfo{Reason: "CLOCK_UNSTABLE"}, &errdetails.BadRequest{})
	d.want(exitNoReach, "", "the clock is not trusted", args...)
	if strings.Contains(d.err, "no answer") || !strings.Contains(d.err, "hashlease clock accept") {
		t.Errorf("a server that answers is said to be away:\n%s", d.err)
	}
	refusal = with(status.New(codes.InvalidArgument, "lease.watts: 1 to 10 are accepted"),
		&errdetails.ErrorInfo{Reason: "INVALID_FIELD"},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "lease.watts", Description: "1 to 10 are accepted"},
			{Field: "lease.site", Description: "a site is needed"},
		}})
	d.want(exitUsage, "", "  reason: INVALID_FIELD\n  lease.site: a site is needed\n", args...)
	if strings.Count(d.err, "1 to 10 are accepted") != 1 {
		t.Errorf("a fault is told twice:\n%s", d.err)
	}
	d.want(exitRefused, "", "there is no such lease", "lease", "cancel", "l1")
}

// Ensure that the line which is printed after a lost answer asks for exactly the same again.
func TestLeaseCreate_SaysHowToRepeatSafely(t *testing.T) {
	d := newDesk(t)
	var asked []*hashleasev1.CreateLeaseRequest
	d.srv.create = func(r *hashleasev1.CreateLeaseRequest) (*hashleasev1.Lease, error) {
		asked = append(asked, r)
		return nil, status.Error(codes.Unavailable, "gone")
	}
	for _, more := range [][]string{
		{"--for", "90s"},
		{"--start", "+10m", "--for", "1h", "--feeder", "north/n1"},
		{"--start", "2030-01-02T03:04:05Z", "--end", "2030-01-02T03:05:05Z"},
	} {
		asked = nil
		d.run(append([]string{"lease", "create", "--site", "north", "--watts", "10.5kW"}, more...)...)
		_, line, _ := strings.Cut(d.err, "\n  hashlease ")
		line, _, _ = strings.Cut(line, "\n")
		if strings.Contains(line, "--for") || strings.Contains(line, "+") {
			t.Errorf("%q means something else a second later", line)
		}
		d.run(strings.Fields(line)...)
		if len(asked) != 2 {
			t.Fatalf("%v: asked %d times, the line is %q\n%s", more, len(asked), line, d.err)
		}
		if diff := cmp.Diff(asked[0], asked[1], protocmp.Transform()); diff != "" {
			t.Errorf("%v: %q asks for something else (-first +repeat):\n%s", more, line, diff)
		}
	}
}

// Ensure that a feeder of another site is refused, and that a slot of now lasts as long as was asked.
func TestLeaseCreate_TakesFlagsAtTheirWord(t *testing.T) {
	d := newDesk(t)
	var got *hashleasev1.Lease
	d.srv.create = func(r *hashleasev1.CreateLeaseRequest) (*hashleasev1.Lease, error) {
		got = r.GetLease()
		return &hashleasev1.Lease{Feeder: "sites/north/feeders/n1", Watts: 5}, nil
	}
	args := []string{"lease", "create", "--site", "north", "--watts", "5W", "--for", "60s", "--dry-run"}
	d.want(exitUsage, "", `--feeder "south/n1": a feeder of site north is accepted`,
		append(args, "--feeder", "south/n1")...)
	before := time.Now().Truncate(time.Second)
	d.want(exitOK, "feeder  north/n1\npower   5 W\n", "Nothing was.",
		append(args, "--feeder", "sites/north/feeders/n1")...)
	if end := got.GetEndTime().AsTime(); end.After(time.Now().Add(time.Minute)) ||
		end.Before(before.Add(time.Minute)) {
		t.Errorf("60 s from %v end at %v", before, end)
	}
	if strings.Contains(d.out, "state") || strings.Contains(d.out, "lease") {
		t.Errorf("a dry run shows a lease that is not there:\n%s", d.out)
	}
	d.want(exitOK, `{"name":"",`, "Nothing was.", append(args, "--json", "--wait")...)
}

// Ensure that a lease is confirmed off by its full name, and the answer shown.
func TestConfirmOff_NamesTheLease(t *testing.T) {
	d := newDesk(t)
	d.want(exitOK, "state   COMPLETED (over)", "", "lease", "confirm-off", "tenants/x/leases/l1")
	if d.srv.off.GetName() != "tenants/x/leases/l1" {
		t.Errorf("confirmed %q", d.srv.off.GetName())
	}
	d.want(exitOK, `"state":"LEASE_STATE_COMPLETED"`, "",
		"lease", "confirm-off", "tenants/x/leases/l1", "--json")
}

// Ensure that a clock which jumped is seen in the status, together with what helps, and can be accepted.
func TestClock_IsShownAndAccepted(t *testing.T) {
	d := newDesk(t)
	d.srv.status = &hashleasev1.GetStatusResponse{
		Pool: &hashleasev1.PoolStatus{
			NodeState: "ready", HashScale: 4e10, Hashrate: 5e3,
			ShareToAck: &hashleasev1.Latency{Count: 3, P50Ms: 1050.4, P99Ms: 120.2, MaxMs: 0.5},
		},
		Leases: &hashleasev1.LeaseBookStatus{
			Live: 3, ClockSuspect: true, State: bookState(&service.Stats{ClockSuspect: true}, nil),
		},
	}
	d.want(exitOK, "3 live; the server's clock jumped", "", "status")
	for _, want := range []string{
		"hashlease clock accept", "5 kH/s, simulated: each hash stands for 4e+10",
		"p50 1.05 s, p99 120 ms, max 0.50 ms (3)",
	} {
		if !strings.Contains(d.out, want) {
			t.Errorf("%q is not in\n%s", want, d.out)
		}
	}
	d.want(exitOK, `"clock_suspect":true`, "", "status", "--json")
	d.want(exitOK, "The clock is accepted: leases go on from 2030-01-02 03:04:05 UTC.\n", "",
		"clock", "accept")
	d.want(exitOK, `{"time":"2030-01-02T03:04:05Z"}`, "", "clock", "accept", "--json")
	d.srv.clock = status.Error(codes.FailedPrecondition, "time never goes back")
	d.want(exitRefused, "", "accepting the clock: time never goes back", "clock", "accept")
}

// Ensure that the status shows every port: where it is, what it speaks, and who is on it.
func TestStatus_ShowsEveryPort(t *testing.T) {
	d := newDesk(t)
	d.srv.status = &hashleasev1.GetStatusResponse{Pool: &hashleasev1.PoolStatus{
		StratumPort: 3333, Ports: []*hashleasev1.StratumPort{
			{
				Listen: ":3333", Port: 3333, Dialects: []string{"v1", "v2"},
				Connections: map[string]int64{"v1": 12, "v2": 3}, ConnectionsFailed: 4,
			},
			{
				Listen: ":0", Port: 40001, Dialects: []string{"v1"}, Tls: true, Proxied: true,
				MinDifficulty: 65536, Connections: map[string]int64{"v1": 1},
			},
		},
	}}
	d.want(exitOK, "3333   :3333   v1, v2                         -                 12  3   4\n"+
		"40001  :0      v1 over TLS, proxies in front  6.554e+04         1   -   0\n", "", "status")
	d.want(exitOK, `"listen":":0","port":40001,"dialects":["v1"],"tls":true`, "", "status", "--json")
}

// Ensure that power which is said to be free can be asked for.
func TestCapacity_RoundsDown(t *testing.T) {
	for watts, want := range map[int64]string{
		0: "0 W", 999: "999 W", 31_480: "31.4 kW", 1_999_999: "1.99 MW",
	} {
		if got := atMost(watts); got != want {
			t.Errorf("%d W are shown as %s, want %s", watts, got, want)
		}
	}
}

// Ensure that a list follows its pages, up to the limit.
func TestLeaseList_FollowsPages(t *testing.T) {
	d := newDesk(t)
	d.srv.list = func(r *hashleasev1.ListLeasesRequest) *hashleasev1.ListLeasesResponse {
		next := map[string]string{"": "p2", "p2": "p3", "p3": ""}[r.GetPageToken()]
		return &hashleasev1.ListLeasesResponse{NextPageToken: next, Leases: []*hashleasev1.Lease{
			{
				Name:  "tenants/acme/leases/of" + r.GetPageToken(),
				Watts: 1500, Feeder: "sites/north/feeders/n1",
			},
		}}
	}
	d.want(exitOK, "LEASE  FEEDER    POWER   START  END  STATE        REASON\n"+
		"of     north/n1  1.5 kW  -      -    UNSPECIFIED\n"+
		"ofp2   north/n1  1.5 kW  -      -    UNSPECIFIED\n"+
		"ofp3   north/n1  1.5 kW  -      -    UNSPECIFIED\n", "", "lease", "list")
	d.want(exitOK, "", "", "lease", "list", "--json", "--limit", "2")
	var rows []map[string]any
	if err := json.Unmarshal([]byte(d.out), &rows); err != nil || len(rows) != 2 {
		t.Errorf("got %d rows and %v, want 2", len(rows), err)
	}
}

// Ensure that a watch takes up after a lost connection where it was.
func TestLeaseWatch_ResumesAfterLostConnection(t *testing.T) {
	d := newDesk(t)
	var asked []int64
	d.srv.watch = func(r *hashleasev1.WatchLeasesRequest, send func(*hashleasev1.Lease)) error {
		asked = append(asked, r.GetAfterRevision())
		l := &hashleasev1.Lease{Name: r.GetName(), Watts: 100, Revision: r.GetAfterRevision() + 3}
		l.State = hashleasev1.LeaseState_LEASE_STATE_PREPARING
		if len(asked) == 2 {
			l.State = hashleasev1.LeaseState_LEASE_STATE_ACTIVE
		}
		send(l)
		return status.Error(codes.Unavailable, "restarting")
	}
	d.want(exitOK, "ACTIVE     l1  100 W", "connection lost", "lease", "watch", "l1", "--until", "active")
	if len(asked) != 2 || asked[0] != 0 || asked[1] != 3 {
		t.Errorf("asked after revisions %v, want 0 and 3", asked)
	}
	d.srv.watch = func(r *hashleasev1.WatchLeasesRequest, send func(*hashleasev1.Lease)) error {
		send(&hashleasev1.Lease{
			Name: r.GetName(), State: hashleasev1.LeaseState_LEASE_STATE_FAILED, StateReason: "no meter",
		})
		return nil
	}
	d.want(exitFailed, "FAILED", "the lease is FAILED (no meter) and will not be ACTIVE",
		"lease", "watch", "l1", "--until", "active")
}

// Ensure that a curtailment succeeds only with the meter's proof.
func TestCurtail_NeedsTheMetersProof(t *testing.T) {
	d := newDesk(t)
	preview := &hashleasev1.CurtailSiteResponse{Event: &hashleasev1.CurtailSiteResponse_Preview{
		Preview: &hashleasev1.CurtailPreview{
			Workers: []*hashleasev1.CurtailedWorker{
				{Worker: "a.1", Feeder: "sites/north/feeders/n1", FromWatts: 3500},
			},
			FreedWatts: 3500, CostMsatPerHour: 1500, Leases: []string{"tenants/acme/leases/l1"},
		},
	}}
	progress := func(watts int64, proven bool) *hashleasev1.CurtailSiteResponse {
		return &hashleasev1.CurtailSiteResponse{Event: &hashleasev1.CurtailSiteResponse_Progress{
			Progress: &hashleasev1.CurtailProgress{
				Time: timestamppb.Now(), BaselineWatts: 9000, MiningWatts: watts,
				Proven: proven, Seconds: 2.04,
			},
		}}
	}
	args := []string{"site", "curtail", "north", "3kW", "--for", "2m"}
	d.srv.curtail = []*hashleasev1.CurtailSiteResponse{preview, progress(8000, false), progress(5500, true)}
	d.want(exitOK, "Proven: the meters show 3.5 kW freed, 2.0 s after the first order.\n",
		"mining 8 kW of 9 kW", args...)
	for _, want := range []string{
		"a.1     n1      3.5 kW  0 W", "1 worker gives 3.5 kW for 2m0s; mining gives up 1.500 sat an hour",
		"Leases on the same feeders: tenants/acme/leases/l1",
	} {
		if !strings.Contains(d.out, want) {
			t.Errorf("%q is not in\n%s", want, d.out)
		}
	}
	d.srv.curtail = d.srv.curtail[:2]
	d.want(exitFailed, "", "the meters did not prove it", args...)
	d.srv.curtail = d.srv.curtail[:1]
	d.want(exitOK, "3.5 kW", "Nothing was ordered.", append(args, "--dry-run")...)
}

// Ensure that a feeder is found by its id alone.
func TestArm_FindsFeederByItsID(t *testing.T) {
	d := newDesk(t)
	d.want(exitOK, "sites/north/feeders/n1: advise\n", "", "site", "arm", "n1", "advise")
	if d.srv.arm.GetArm() != hashleasev1.Arm_ARM_ADVISE {
		t.Errorf("asked for %v", d.srv.arm)
	}
	d.want(exitUsage, "", "no site has it", "site", "arm", "n2", "act")
	d.want(exitOK, "SITE   FEEDER  LIMIT   LEASABLE  NOTICE  BASIS\n"+
		"north  n1      500 kW  120 kW    0s      metered\n", "", "capacity")
}

// Ensure that what peers named cannot steer a terminal, and that rows are in order.
func TestShares_PrintsWorkersInOrderAndHarmless(t *testing.T) {
	d := newDesk(t)
	d.want(exitOK, "WORKER   ACCOUNT  SHARES  WORK     LAST\n"+
		"a.1?[2J  a        1       4.29 GH  -\nb.2", "", "shares")
	d.want(exitOK, `"worker":"b.2","account":"b","shares":"3","work":"12884901888"`, "", "shares", "--json")
}

// Ensure that a certificate of an unknown authority leads to the flag that helps.
func TestClient_SaysWhatToDoAboutCertificates(t *testing.T) {
	d := newDesk(t)
	other := newDesk(t)
	d.ca = other.ca
	d.want(exitNoReach, "", "with --ca or in HASHLEASE_CA", "capacity")
	d.want(exitNoReach, "", "", "capacity", "--insecure")
}
