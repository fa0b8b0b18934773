package leaserpc_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/lease/leaserpc"
	"github.com/hashlease/hashlease/lease/service"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/ledger"
	"github.com/hashlease/hashlease/pool/unit"
	pb "github.com/hashlease/hashlease/proto/hashlease/v1"
	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/mem"
)

// governor is a Curtailer whose news the test gives, each set at once.
type governor struct {
	mu     sync.Mutex
	bell   chan struct{}
	proofs []fleet.Proof
}

func (g *governor) SetCaps(context.Context, fleet.Revision, []fleet.Cap) error { return nil }

func (g *governor) Capacity(ctx context.Context, after uint64) ([]fleet.Capacity, error) {
	if after == 0 {
		return []fleet.Capacity{
			{Seq: 1, Feeder: "north", Firm: 1000, Basis: "limit 1.2 kW less reserve"},
			{Seq: 2, Feeder: "south", Firm: 500},
		}, nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func (g *governor) Delivered(ctx context.Context, after uint64) ([]fleet.Proof, error) {
	for {
		g.mu.Lock()
		news := slices.Clone(g.proofs[min(int(after), len(g.proofs)):])
		bell := g.bell
		g.mu.Unlock()
		if len(news) > 0 {
			return news, nil
		}
		select {
		case <-bell:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (g *governor) prove(p fleet.Proof) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p.Seq, p.At = uint64(len(g.proofs)+1), time.Now()
	g.proofs = append(g.proofs, p)
	close(g.bell)
	g.bell = make(chan struct{})
}

type noLedger struct{}

func (noLedger) Post(context.Context, ...ledger.Entry) error { return nil }

// operator is a server of the operator's service, to see who reaches it.
type operator struct {
	pb.UnimplementedOperatorServiceServer
}

func (operator) GetStatus(ctx context.Context, _ *pb.GetStatusRequest) (*pb.GetStatusResponse, error) {
	if _, ok := ctx.Deadline(); !ok {
		return nil, status.Error(codes.Internal, "no deadline was imposed")
	}
	return &pb.GetStatusResponse{}, nil
}

func (operator) ListBlocks(context.Context, *pb.ListBlocksRequest) (*pb.ListBlocksResponse, error) {
	panic("a fault of ours")
}

// site is a served site with the keys to it.
type site struct {
	t    *testing.T
	gov  *governor
	svc  *service.Service
	conn *grpc.ClientConn
	keys map[string]string // by owner
	stop func()
}

func serve(t *testing.T, j storage.Journal, change func(*leaserpc.Config)) *site {
	t.Helper()
	s := &site{t: t, gov: &governor{bell: make(chan struct{})}, keys: map[string]string{}}
	cfg := service.DefaultConfig()
	cfg.Sites = []fleet.Site{{ID: "yard", Name: "The yard", Feeders: []fleet.Feeder{
		{ID: "north", Site: "yard", Limit: 1200, Notice: 20 * time.Second},
		{ID: "south", Site: "yard", Limit: 600},
	}}}
	svc, err := service.New(cfg, j, s.gov, noLedger{})
	if err != nil {
		t.Fatal(err)
	}
	s.svc = svc
	rpc := leaserpc.Config{Service: svc, PageKey: []byte("a key for the test")}
	for _, owner := range []string{"acme", "other", leaserpc.Admin} {
		key, err := leaserpc.NewKey(owner)
		if err != nil {
			t.Fatal(err)
		}
		s.keys[owner] = key
		rpc.Keys = append(rpc.Keys, leaserpc.Key{Owner: owner, Hash: leaserpc.HashKey(key)})
	}
	if change != nil {
		change(&rpc)
	}
	srv, err := leaserpc.NewServer(rpc)
	if err != nil {
		t.Fatal(err)
	}
	pb.RegisterOperatorServiceServer(srv, operator{})
	s.run(srv)
	return s
}

// run serves on loopback until stop or the test's end, and waits for capacity to be known.
func (s *site) run(srv *grpc.Server) {
	s.t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(lis) })
	wg.Go(func() { _ = s.svc.Run(ctx) })
	plain := grpc.WithTransportCredentials(insecure.NewCredentials())
	s.conn, err = grpc.NewClient(lis.Addr().String(), plain)
	if err != nil {
		s.t.Fatal(err)
	}
	s.stop = sync.OnceFunc(func() {
		cancel()
		s.conn.Close()
		srv.Stop()
		wg.Wait()
	})
	s.t.Cleanup(s.stop)
	<-s.svc.Ready()
	for s.svc.Sites()[0].Feeders[1].Leasable == 0 {
		if s.t.Context().Err() != nil {
			s.t.Fatal("no capacity")
		}
		s.svc.Stats()
	}
}

// as is a context with the owner's key.
func (s *site) as(owner string) context.Context {
	return metadata.AppendToOutgoingContext(s.t.Context(), "authorization", "Bearer "+s.keys[owner])
}

func (s *site) leases() pb.LeaseServiceClient      { return pb.NewLeaseServiceClient(s.conn) }
func (s *site) capacity() pb.CapacityServiceClient { return pb.NewCapacityServiceClient(s.conn) }

const uuid = "6f9619ff-8b86-4011-b42d-00cf4fc964ff"

// id is the n-th UUID.
func id(n int) string {
	const hex = "0123456789abcdef"
	return uuid[:34] + string(hex[n/16%16]) + string(hex[n%16])
}

func in(d time.Duration) *timestamppb.Timestamp {
	return timestamppb.New(time.Now().Truncate(time.Second).Add(d))
}

func order(n int, w int64) *pb.CreateLeaseRequest {
	return &pb.CreateLeaseRequest{RequestId: id(n), Lease: &pb.Lease{
		Site: "sites/yard", Watts: w, StartTime: in(time.Hour), EndTime: in(2 * time.Hour),
	}}
}

func (s *site) create(owner string, r *pb.CreateLeaseRequest) *pb.Lease {
	s.t.Helper()
	l, err := s.leases().CreateLease(s.as(owner), r)
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}

// outcome is an error as "CODE REASON".
func outcome(err error) string {
	st := status.Convert(err)
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == leaserpc.Domain {
			return st.Code().String() + " " + info.GetReason()
		}
	}
	return st.Code().String()
}

// faults are the fields that an error names.
func faults(err error) []string {
	var fs []string
	for _, d := range status.Convert(err).Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				fs = append(fs, v.GetField())
			}
		}
	}
	slices.Sort(fs)
	return fs
}

// Ensure a tenant books, reads, lists, watches and cancels over the wire.
func TestServer_TakesALeaseThroughItsLife(t *testing.T) {
	s := serve(t, mem.New(), nil)
	ctx := s.as("acme")
	s.create("acme", order(9, 1))
	w, err := s.leases().WatchLeases(ctx, &pb.WatchLeasesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Recv(); err != nil { // the watch is open: every change from now on comes
		t.Fatal(err)
	}
	l := s.create("acme", &pb.CreateLeaseRequest{RequestId: id(1), Lease: &pb.Lease{
		Site: "sites/yard", Feeder: "sites/yard/feeders/north", Watts: 600, EndTime: in(time.Hour),
	}})
	uid := l.GetName()[strings.LastIndexByte(l.GetName(), '/')+1:]
	s.gov.prove(fleet.Proof{Claim: uid, Free: true, FirstOrder: time.Now(), Freed: unit.Watts(650)})
	var states []pb.LeaseState
	last := &pb.Lease{}
	for last.GetState() != pb.LeaseState_LEASE_STATE_ACTIVE {
		r, err := w.Recv()
		if err != nil {
			t.Fatal(err)
		}
		last = r.GetLease()
		states = append(states, last.GetState())
	}
	want := []pb.LeaseState{
		pb.LeaseState_LEASE_STATE_SCHEDULED, pb.LeaseState_LEASE_STATE_PREPARING,
		pb.LeaseState_LEASE_STATE_DEGRADED, pb.LeaseState_LEASE_STATE_ACTIVE,
	}
	if !slices.Equal(states, want) || last.GetActiveTime() == nil || last.GetFreedWatts() != 650 {
		t.Fatalf("states %v, last %v", states, last)
	}
	got, err := s.leases().GetLease(ctx, &pb.GetLeaseRequest{Name: l.GetName()})
	if err != nil || got.GetState() != pb.LeaseState_LEASE_STATE_ACTIVE {
		t.Fatalf("%v, %v", got, err)
	}
	got, err = s.leases().AmendLease(ctx, &pb.AmendLeaseRequest{
		Name: l.GetName(), RequestId: id(4), Watts: 500, EndTime: in(30 * time.Minute),
	})
	if err != nil || got.GetWatts() != 500 || got.GetGrantedWatts() != 500 ||
		got.GetEndTime().AsTime().Sub(got.GetStartTime().AsTime()) > time.Hour/2+time.Minute {
		t.Fatalf("amended to %v, %v", got, err)
	}
	got, err = s.leases().CancelLease(ctx, &pb.CancelLeaseRequest{Name: l.GetName(), RequestId: id(2)})
	if err != nil || got.GetState() != pb.LeaseState_LEASE_STATE_ENDING {
		t.Fatalf("%v, %v", got, err)
	}
	_, err = s.leases().CancelLease(ctx, &pb.CancelLeaseRequest{Name: l.GetName(), RequestId: id(3)})
	if outcome(err) != "FailedPrecondition STATE_ENDING_FORBIDS_CANCEL" {
		t.Errorf("cancel again: %v", err)
	}
	_, err = s.leases().AmendLease(ctx, &pb.AmendLeaseRequest{Name: l.GetName(), RequestId: id(5), Watts: 1})
	if outcome(err) != "FailedPrecondition STATE_ENDING_FORBIDS_AMEND" {
		t.Errorf("amend an ended one: %v", err)
	}
	s.gov.prove(fleet.Proof{Claim: uid, Gone: true, Delivered: 600})
	for last.GetState() != pb.LeaseState_LEASE_STATE_COMPLETED {
		r, err := w.Recv()
		if err != nil {
			t.Fatal(err)
		}
		last = r.GetLease()
	}
	if last.GetDeliveredJoules() != 500 || last.GetGoneTime() == nil {
		t.Errorf("completed as %v", last)
	}
}

// Ensure each method admits exactly the keys that it should, and says the same to all others.
func TestServer_AdmitsByKey(t *testing.T) {
	s := serve(t, mem.New(), nil)
	l := s.create("acme", order(1, 10))
	name, none := l.GetName(), strings.Replace(l.GetName(), "acme", "ghost", 1)
	methods := map[string]func(context.Context) error{
		"create": func(ctx context.Context) error {
			r := order(2, 10)
			r.ValidateOnly = true
			_, err := s.leases().CreateLease(ctx, r)
			return err
		},
		"get": func(ctx context.Context) error {
			_, err := s.leases().GetLease(ctx, &pb.GetLeaseRequest{Name: name})
			return err
		},
		"get none": func(ctx context.Context) error {
			_, err := s.leases().GetLease(ctx, &pb.GetLeaseRequest{Name: none})
			return err
		},
		"list": func(ctx context.Context) error {
			_, err := s.leases().ListLeases(ctx, &pb.ListLeasesRequest{})
			return err
		},
		"cancel": func(ctx context.Context) error {
			_, err := s.leases().CancelLease(ctx, &pb.CancelLeaseRequest{Name: none, RequestId: id(9)})
			return err
		},
		"watch": func(ctx context.Context) error {
			w, err := s.leases().WatchLeases(ctx, &pb.WatchLeasesRequest{Name: name})
			if err == nil {
				_, err = w.Recv()
			}
			return err
		},
		"sites": func(ctx context.Context) error {
			_, err := s.capacity().ListSites(ctx, &pb.ListSitesRequest{})
			return err
		},
		"availability": func(ctx context.Context) error {
			_, err := s.capacity().QueryAvailability(ctx, &pb.QueryAvailabilityRequest{Site: "sites/yard"})
			return err
		},
		"status": func(ctx context.Context) error {
			_, err := pb.NewOperatorServiceClient(s.conn).GetStatus(ctx, &pb.GetStatusRequest{})
			return err
		},
		"curtail": func(ctx context.Context) error {
			w, err := pb.NewOperatorServiceClient(s.conn).CurtailSite(ctx, &pb.CurtailSiteRequest{})
			if err == nil {
				_, err = w.Recv()
			}
			return err
		},
	}
	const (
		ok, denied = "OK", "PermissionDenied PERMISSION_DENIED"
		none404    = "NotFound UNKNOWN_LEASE"
	)
	want := map[string][3]string{ // acme, other, admin
		"create": {ok, ok, denied}, "get": {ok, none404, ok}, "get none": {none404, none404, none404},
		"list": {ok, ok, ok}, "cancel": {none404, none404, none404}, "watch": {ok, none404, ok},
		"sites": {ok, ok, ok}, "availability": {ok, ok, ok},
		"status": {denied, denied, ok}, "curtail": {denied, denied, "Unimplemented"},
	}
	stranger, err := leaserpc.NewKey("acme")
	if err != nil {
		t.Fatal(err)
	}
	for m, call := range methods {
		for i, owner := range []string{"acme", "other", leaserpc.Admin} {
			if got := outcome(call(s.as(owner))); got != want[m][i] {
				t.Errorf("%s as %s: %s, want %s", m, owner, got, want[m][i])
			}
		}
		good := s.keys["acme"]
		for what, header := range map[string][]string{
			"no key": nil, "wrong secret": {"Bearer " + stranger},
			"no scheme": {good}, "basic": {"Basic " + good},
			"short": {"Bearer " + good[:len(good)-1]}, "two": {"Bearer " + good, "Bearer " + good},
			"long":        {"Bearer " + strings.Repeat("x", 300)},
			"hash":        {"Bearer " + leaserpc.HashKey(good).String()},
			"other owner": {"Bearer " + strings.Replace(good, "acme", "admin", 1)},
		} {
			md := metadata.MD{"authorization": header}
			got := outcome(call(metadata.NewOutgoingContext(t.Context(), md)))
			if got != "Unauthenticated API_KEY_INVALID" {
				t.Errorf("%s with %s: %s", m, what, got)
			}
		}
	}
}

// Ensure a tenant's view is the same whether or not others have leases.
func TestServer_IsolatesTenants(t *testing.T) {
	s := serve(t, mem.New(), nil)
	mine := s.create("acme", order(1, 10))
	theirs := s.create("other", order(1, 20)) // the same request id in another scope
	for n := range 5 {
		s.create("other", order(10+n, 10))
	}
	list := func(owner string, r *pb.ListLeasesRequest) *pb.ListLeasesResponse {
		out, err := s.leases().ListLeases(s.as(owner), r)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	ls := list("acme", &pb.ListLeasesRequest{}).GetLeases()
	if len(ls) != 1 || ls[0].GetName() != mine.GetName() {
		t.Errorf("acme lists %v", ls)
	}
	if ls := list(leaserpc.Admin, &pb.ListLeasesRequest{}).GetLeases(); len(ls) != 7 {
		t.Errorf("the operator lists %d", len(ls))
	}
	// Their lease under my name, and mine with the case changed, are nobody's.
	uid := theirs.GetName()[strings.LastIndexByte(theirs.GetName(), '/')+1:]
	for _, name := range []string{
		"tenants/acme/leases/" + uid, "tenants/other/leases/none", theirs.GetName(),
	} {
		_, err := s.leases().GetLease(s.as("acme"), &pb.GetLeaseRequest{Name: name})
		said := status.Convert(err).Message()
		if outcome(err) != "NotFound UNKNOWN_LEASE" || said != "there is no such lease" {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Pages: each once, and a token is of no use to another.
	page := list("other", &pb.ListLeasesRequest{PageSize: 4})
	rest := list("other", &pb.ListLeasesRequest{PageSize: 4, PageToken: page.GetNextPageToken()})
	if len(page.GetLeases()) != 4 || len(rest.GetLeases()) != 2 || rest.GetNextPageToken() != "" {
		t.Errorf("pages of %d and %d", len(page.GetLeases()), len(rest.GetLeases()))
	}
	if rest.GetLeases()[1].GetName() != theirs.GetName() {
		t.Error("the oldest lease is not the last")
	}
	token := page.GetNextPageToken()
	flipped := []byte(token)
	flipped[3] ^= 1
	for what, r := range map[string]string{"acme": token, "other": string(flipped), leaserpc.Admin: token} {
		_, err := s.leases().ListLeases(s.as(what), &pb.ListLeasesRequest{PageToken: r})
		want := []string{"page_token"}
		if outcome(err) != "InvalidArgument INVALID_FIELD" || !slices.Equal(faults(err), want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
