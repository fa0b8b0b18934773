package leaserpc_test

import (
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/lease/leaserpc"
	pb "github.com/hashlease/hashlease/proto/hashlease/v1"
	"github.com/hashlease/hashlease/storage/bolt"
	"github.com/hashlease/hashlease/storage/mem"
)

// request is the longest name of the tests.
type request = pb.CreateLeaseRequest

// Ensure every field is checked, all faults are named at once, and nothing is booked.
func TestServer_ChecksEveryField(t *testing.T) {
	s := serve(t, mem.New(), nil)
	for field, spoil := range map[string]func(*request){
		"request_id":       func(r *request) { r.RequestId = "" },
		"request_id ":      func(r *request) { r.RequestId = "00000000-0000-0000-0000-000000000000" },
		"request_id  ":     func(r *request) { r.RequestId = strings.Replace(uuid, "-", "x", 1) },
		"request_id   ":    func(r *request) { r.RequestId = strings.Replace(uuid, "f", "g", 1) },
		"lease":            func(r *request) { r.Lease = nil },
		"lease.site":       func(r *request) { r.Lease.Site = "yard" },
		"lease.site ":      func(r *request) { r.Lease.Site = "sites/../yard" },
		"lease.site  ":     func(r *request) { r.Lease.Site = "sites/Yard" },
		"lease.site   ":    func(r *request) { r.Lease.Site = "sites/" + strings.Repeat("a", 60_000) },
		"lease.feeder":     func(r *request) { r.Lease.Feeder = "sites/other/feeders/north" },
		"lease.feeder ":    func(r *request) { r.Lease.Feeder = "north" },
		"lease.watts":      func(r *request) { r.Lease.Watts = 0 },
		"lease.watts ":     func(r *request) { r.Lease.Watts = -1 },
		"lease.watts  ":    func(r *request) { r.Lease.Watts = math.MaxInt64 },
		"lease.end_time":   func(r *request) { r.Lease.EndTime = nil },
		"lease.end_time ":  func(r *request) { r.Lease.EndTime.Nanos = 1 },
		"lease.end_time  ": func(r *request) { r.Lease.EndTime.Nanos = -1 },
		"lease.end_time   ": func(r *request) {
			r.Lease.EndTime = &timestamppb.Timestamp{Seconds: math.MaxInt64}
		},
		"lease.end_time    ":     func(r *request) { r.Lease.EndTime = r.Lease.GetStartTime() },
		"lease.start_time":       func(r *request) { r.Lease.StartTime.Nanos = 500 },
		"lease.start_time ":      func(r *request) { r.Lease.StartTime = timestamppb.New(time.Time{}) },
		"lease.name":             func(r *request) { r.Lease.Name = "tenants/acme/leases/mine" },
		"lease.state":            func(r *request) { r.Lease.State = pb.LeaseState_LEASE_STATE_ACTIVE },
		"lease.state_reason":     func(r *request) { r.Lease.StateReason = "x" },
		"lease.active_time":      func(r *request) { r.Lease.ActiveTime = in(0) },
		"lease.order_time":       func(r *request) { r.Lease.OrderTime = in(0) },
		"lease.gone_time":        func(r *request) { r.Lease.GoneTime = in(0) },
		"lease.create_time":      func(r *request) { r.Lease.CreateTime = in(0) },
		"lease.revision":         func(r *request) { r.Lease.Revision = 1 },
		"lease.delivered_joules": func(r *request) { r.Lease.DeliveredJoules = 1 },
		"lease.freed_watts":      func(r *request) { r.Lease.FreedWatts = 1 },
		"lease.shortfall_seconds": func(r *request) {
			r.Lease.ShortfallSeconds = 1
		},
	} {
		r := order(1, 10)
		spoil(r)
		_, err := s.leases().CreateLease(s.as("acme"), r)
		if want := []string{strings.TrimSpace(field)}; outcome(err) != "InvalidArgument INVALID_FIELD" ||
			!slices.Equal(faults(err), want) {
			t.Errorf("%s: %v names %v", field, err, faults(err))
		}
	}
	_, err := s.leases().CreateLease(s.as("acme"), &pb.CreateLeaseRequest{Lease: &pb.Lease{Revision: 1}})
	want := []string{"lease.end_time", "lease.revision", "lease.site", "lease.watts", "request_id"}
	if !slices.Equal(faults(err), want) {
		t.Errorf("all faults: %v", faults(err))
	}
	if n := len(s.svc.Leases(10)); n != 0 {
		t.Errorf("%d leases were booked", n)
	}
}

// Ensure refusals have their codes, reasons and, for no capacity, what would fit.
func TestServer_ExplainsRefusals(t *testing.T) {
	s := serve(t, mem.New(), nil)
	s.create("acme", order(1, 900))
	refused := func(change func(*request)) error {
		r := order(2, 950)
		change(r)
		_, err := s.leases().CreateLease(s.as("acme"), r)
		return err
	}
	err := refused(func(*request) {})
	if outcome(err) != "ResourceExhausted NO_CAPACITY" {
		t.Fatal(err)
	}
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			keys := slices.Sorted(maps.Keys(info.GetMetadata()))
			want := []string{
				"earliest_start", "feeder", "first_conflict_time", "max_free_watts", "searched_until",
			}
			if !slices.Equal(keys, want) || info.GetMetadata()["max_free_watts"] != "500" {
				t.Errorf("metadata %v", info.GetMetadata())
			}
		}
	}
	for want, change := range map[string]func(*request){
		"NotFound UNKNOWN_SITE":             func(r *request) { r.Lease.Site = "sites/moon" },
		"OutOfRange TIME_OUT_OF_RANGE":      func(r *request) { r.Lease.StartTime = in(-time.Minute) },
		"InvalidArgument REQUEST_ID_REUSED": func(r *request) { r.RequestId = id(1) },
	} {
		if got := outcome(refused(change)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	far := refused(func(r *request) {
		r.Lease.StartTime, r.Lease.EndTime = in(9000*time.Hour), in(9700*time.Hour)
	})
	if outcome(far) != "OutOfRange TIME_OUT_OF_RANGE" {
		t.Errorf("too far ahead: %v", far)
	}
	// Only a question: the answer is the lease without a name, and nothing is booked.
	r := order(3, 100)
	r.ValidateOnly, r.RequestId = true, ""
	l, err := s.leases().CreateLease(s.as("acme"), r)
	if err != nil || l.GetName() != "" || l.GetFeeder() != "sites/yard/feeders/north" ||
		len(s.svc.Leases(10)) != 1 {
		t.Errorf("validate_only: %v, %v", l, err)
	}
	_, err = s.leases().GetLease(s.as("acme"), &pb.GetLeaseRequest{Name: "leases/x"})
	if !slices.Equal(faults(err), []string{"name"}) {
		t.Errorf("get: %v", err)
	}
	_, err = s.leases().CancelLease(s.as("acme"), &pb.CancelLeaseRequest{})
	if !slices.Equal(faults(err), []string{"name", "request_id"}) {
		t.Errorf("cancel: %v", err)
	}
	_, err = s.leases().ListLeases(s.as("acme"), &pb.ListLeasesRequest{PageSize: -1, PageToken: "x"})
	if !slices.Equal(faults(err), []string{"page_size", "page_token"}) {
		t.Errorf("list: %v", err)
	}
	for field, wr := range map[string]*pb.WatchLeasesRequest{
		"after_revision": {AfterRevision: -1}, "name": {Name: "x"},
	} {
		w, err := s.leases().WatchLeases(s.as("acme"), wr)
		if err == nil {
			_, err = w.Recv()
		}
		if !slices.Equal(faults(err), []string{field}) {
			t.Errorf("watch %s: %v", field, err)
		}
	}
	w, err := s.leases().WatchLeases(s.as("acme"), &pb.WatchLeasesRequest{AfterRevision: 1 << 40})
	if err == nil {
		_, err = w.Recv()
	}
	if outcome(err) != "OutOfRange REVISION_IN_FUTURE" {
		t.Errorf("watch the future: %v", err)
	}
}

// Ensure 50 connections with one request get one lease, and again after a crash of the server.
func TestServer_BooksARequestOnce(t *testing.T) {
	j := mem.New()
	s := serve(t, j, nil)
	r := order(1, 10)
	names := make([]string, 50)
	var wg sync.WaitGroup
	for i := range names {
		wg.Go(func() {
			l, err := s.leases().CreateLease(s.as("acme"), r)
			if err != nil {
				t.Error(err)
			}
			names[i] = l.GetName()
		})
	}
	wg.Wait()
	s.stop()
	s = serve(t, j.Reopen(), nil)
	if got := s.create("acme", r).GetName(); got != names[0] || len(slices.Compact(names)) != 1 {
		t.Errorf("leases %v, after the crash %s", slices.Compact(names), got)
	}
}

// Ensure leases booked at once from many connections are all on disk when the server is killed among
// them, each once, and that the journal opens for the next.
func TestServer_KeepsAcknowledgedLeasesOnDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book.db")
	open := func() *bolt.Journal {
		j, err := bolt.Open(path, bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	j := open()
	s := serve(t, j, nil)
	names, orders := make([]string, 64), make([]*request, 64)
	for i := range orders {
		orders[i] = order(i, 1)
	}
	var wg sync.WaitGroup
	for i := range names {
		wg.Go(func() {
			// Whoever loses the connection has no answer, and so no promise.
			l, _ := s.leases().CreateLease(s.as("acme"), orders[i])
			names[i] = l.GetName()
			if i == len(names)/2 {
				s.stop()
			}
		})
	}
	wg.Wait()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open()
	s = serve(t, j, nil)
	for i, name := range names {
		l := s.create("acme", orders[i])
		if name != "" && l.GetName() != name {
			t.Errorf("request %d made %s and, repeated, %s", i, name, l.GetName())
		}
	}
	if n := len(s.svc.Leases(100)); n != len(names) {
		t.Errorf("%d leases of %d requests", n, len(names))
	}
	s.stop()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// Ensure a watch resumes over a crash of the server at the revision that the client saw last.
func TestServer_ResumesAWatchOverACrash(t *testing.T) {
	j := mem.New()
	s := serve(t, j, nil)
	first := s.create("acme", order(1, 10))
	second := s.create("acme", order(2, 10))
	s.create("other", order(3, 10))
	s.stop()
	s = serve(t, j.Reopen(), nil)
	w, err := s.leases().WatchLeases(s.as("acme"), &pb.WatchLeasesRequest{AfterRevision: first.GetRevision()})
	if err != nil {
		t.Fatal(err)
	}
	third := s.create("acme", order(4, 10))
	for _, want := range []*pb.Lease{second, third} {
		got, err := w.Recv()
		if err != nil || got.GetLease().GetRevision() != want.GetRevision() {
			t.Errorf("%v, %v, want revision %d", got, err, want.GetRevision())
		}
	}
	s.stop()
	if _, err := w.Recv(); err == nil {
		t.Error("the watch outlives its server")
	}
}

// Ensure sites and free watts are told, with what is booked taken off.
func TestServer_TellsCapacity(t *testing.T) {
	s := serve(t, mem.New(), nil)
	s.create("acme", order(1, 600))
	sites, err := s.capacity().ListSites(s.as("other"), &pb.ListSitesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	f := sites.GetSites()[0].GetFeeders()[0]
	if f.GetName() != "sites/yard/feeders/north" || f.GetLeasableWatts() != 1000 ||
		f.GetLimitWatts() != 1200 ||
		f.GetNotice().AsDuration() != 20*time.Second || f.GetBasis() == "" {
		t.Errorf("feeder %v", f)
	}
	yard := &pb.QueryAvailabilityRequest{Site: "sites/yard"}
	a, err := s.capacity().QueryAvailability(s.as("other"), yard)
	if err != nil {
		t.Fatal(err)
	}
	var free []int64
	for _, st := range a.GetFeeders()[0].GetSteps() {
		free = append(free, st.GetFreeWatts())
	}
	if !slices.Equal(free, []int64{1000, 400, 1000}) || a.GetFeeders()[0].GetTruncated() {
		t.Errorf("steps %v", a.GetFeeders()[0])
	}
	for want, r := range map[string]*pb.QueryAvailabilityRequest{
		"site":       {Site: "yard"},
		"start_time": {Site: "sites/yard", StartTime: &timestamppb.Timestamp{Nanos: 1}},
		"end_time":   {Site: "sites/yard", EndTime: in(-time.Hour)},
		"end_time ":  {Site: "sites/yard", StartTime: in(0), EndTime: in(9601 * time.Hour)},
	} {
		_, err := s.capacity().QueryAvailability(s.as("other"), r)
		if !slices.Equal(faults(err), []string{strings.TrimSpace(want)}) {
			t.Errorf("%s: %v", want, err)
		}
	}
	_, err = s.capacity().QueryAvailability(s.as("other"), &pb.QueryAvailabilityRequest{Site: "sites/moon"})
	if outcome(err) != "NotFound UNKNOWN_SITE" {
		t.Errorf("unknown site: %v", err)
	}
}

// Ensure a key that runs wild is held back, and neither another key nor a cancel with it.
func TestServer_LimitsEachKey(t *testing.T) {
	s := serve(t, mem.New(), func(c *leaserpc.Config) {
		c.Rates = leaserpc.Rates{Reads: 0.001, Writes: 0.001, Cancels: 0.001, Burst: 3}
	})
	get := func(owner string) error {
		_, err := s.leases().ListLeases(s.as(owner), &pb.ListLeasesRequest{})
		return err
	}
	for range 3 {
		if err := get("acme"); err != nil {
			t.Fatal(err)
		}
	}
	if got := outcome(get("acme")); got != "ResourceExhausted RATE_LIMITED" {
		t.Errorf("fourth read: %s", got)
	}
	if err := get("other"); err != nil {
		t.Errorf("another key: %v", err)
	}
	l := s.create("acme", order(1, 10))
	if _, err := s.leases().CancelLease(s.as("acme"), &pb.CancelLeaseRequest{
		Name: l.GetName(), RequestId: id(2),
	}); err != nil {
		t.Errorf("cancel: %v", err)
	}
}

// Ensure health is open, reflection is the operator's, large requests are refused, and a fault in one
// call harms no other.
func TestServer_GuardsEveryService(t *testing.T) {
	s := serve(t, mem.New(), nil)
	h, err := healthpb.NewHealthClient(s.conn).Check(t.Context(), &healthpb.HealthCheckRequest{
		Service: "hashlease.v1.LeaseService",
	})
	if err != nil || h.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health %v, %v", h, err)
	}
	if _, err := healthpb.NewHealthClient(s.conn).Check(t.Context(), &healthpb.HealthCheckRequest{
		Service: "x",
	}); status.Code(err) != codes.NotFound {
		t.Errorf("health of nothing: %v", err)
	}
	hw, err := healthpb.NewHealthClient(s.conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if h, err := hw.Recv(); err != nil || h.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("watched health %v, %v", h, err)
	}
	for owner, want := range map[string]codes.Code{leaserpc.Admin: codes.OK, "acme": codes.PermissionDenied} {
		r, err := reflectpb.NewServerReflectionClient(s.conn).ServerReflectionInfo(s.as(owner))
		if err != nil {
			t.Fatal(err)
		}
		// The server may have refused by now: what counts is what Recv says.
		_ = r.Send(&reflectpb.ServerReflectionRequest{
			MessageRequest: &reflectpb.ServerReflectionRequest_ListServices{},
		})
		if _, err = r.Recv(); status.Code(err) != want {
			t.Errorf("reflection as %s: %v", owner, err)
		}
	}
	big := order(1, 10)
	big.RequestId = strings.Repeat("x", 70_000)
	if _, err := s.leases().CreateLease(s.as("acme"), big); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("70 kB: %v", err)
	}
	_, err = pb.NewOperatorServiceClient(s.conn).ListBlocks(s.as(leaserpc.Admin), &pb.ListBlocksRequest{})
	if outcome(err) != "Internal INTERNAL" {
		t.Errorf("a panic: %v", err)
	}
	if _, err := s.leases().ListLeases(s.as("acme"), &pb.ListLeasesRequest{}); err != nil {
		t.Errorf("after the panic: %v", err)
	}
	if err := s.svc.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = s.leases().ListLeases(s.as("acme"), &pb.ListLeasesRequest{})
	if outcome(err) != "Unavailable SHUTTING_DOWN" {
		t.Errorf("after the end: %v", err)
	}
	h, err = healthpb.NewHealthClient(s.conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil || h.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health after the end %v, %v", h, err)
	}
}

// Ensure a server says what is wrong with its configuration.
func TestNewServer_NamesItsFaults(t *testing.T) {
	s := serve(t, mem.New(), nil)
	hash := leaserpc.HashKey("x")
	for _, cfg := range []leaserpc.Config{
		{},
		{Service: s.svc, Keys: []leaserpc.Key{{Owner: "A", Hash: hash}}},
		{Service: s.svc, Keys: []leaserpc.Key{{Owner: "a"}}},
		{Service: s.svc, Rates: leaserpc.Rates{Reads: 1}},
	} {
		if _, err := leaserpc.NewServer(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

// Ensure every field of an amendment is checked, all faults are named at once, and nothing is changed.
func TestServer_ChecksEveryFieldOfAnAmendment(t *testing.T) {
	s := serve(t, mem.New(), nil)
	l := s.create("acme", order(1, 10))
	good := func() *pb.AmendLeaseRequest {
		return &pb.AmendLeaseRequest{Name: l.GetName(), RequestId: uuid, Watts: 20}
	}
	for field, spoil := range map[string]func(*pb.AmendLeaseRequest){
		"request_id":  func(r *pb.AmendLeaseRequest) { r.RequestId = "" },
		"name":        func(r *pb.AmendLeaseRequest) { r.Name = "tenants/acme/leases/../x" },
		"watts":       func(r *pb.AmendLeaseRequest) { r.Watts = -1 },
		"watts ":      func(r *pb.AmendLeaseRequest) { r.Watts = math.MaxInt64 },
		"watts  ":     func(r *pb.AmendLeaseRequest) { r.Watts = 0 },
		"start_time":  func(r *pb.AmendLeaseRequest) { r.StartTime = &timestamppb.Timestamp{Nanos: 1} },
		"start_time ": func(r *pb.AmendLeaseRequest) { r.StartTime = &timestamppb.Timestamp{Seconds: -1} },
		"end_time": func(r *pb.AmendLeaseRequest) {
			r.EndTime = &timestamppb.Timestamp{Seconds: math.MaxInt64}
		},
		"end_time ": func(r *pb.AmendLeaseRequest) { r.EndTime = l.GetStartTime() },
	} {
		r := good()
		spoil(r)
		_, err := s.leases().AmendLease(s.as("acme"), r)
		named := false
		for _, d := range status.Convert(err).Details() {
			if b, ok := d.(*errdetails.BadRequest); ok {
				named = named || b.GetFieldViolations()[0].GetField() == strings.TrimSpace(field)
			}
		}
		if !named {
			t.Errorf("%s: %v", field, err)
		}
	}
	for tenant, name := range map[string]string{
		"other": l.GetName(), "acme": strings.Replace(l.GetName(), "leases/", "leases/x", 1),
	} {
		r := good()
		r.Name = name
		if _, err := s.leases().AmendLease(s.as(tenant), r); outcome(err) != "NotFound UNKNOWN_LEASE" {
			t.Errorf("%s amends %s: %v", tenant, name, err)
		}
	}
	got, err := s.leases().GetLease(s.as("acme"), &pb.GetLeaseRequest{Name: l.GetName()})
	if err != nil || got.GetWatts() != l.GetWatts() || got.GetEndTime().String() != l.GetEndTime().String() {
		t.Errorf("the lease became %v, %v", got, err)
	}
	r := good()
	r.ValidateOnly = true
	if would, err := s.leases().AmendLease(s.as("acme"), r); err != nil || would.GetWatts() != 20 {
		t.Errorf("validate only: %v, %v", would, err)
	}
	got, err = s.leases().GetLease(s.as("acme"), &pb.GetLeaseRequest{Name: l.GetName()})
	if err != nil || got.GetWatts() != l.GetWatts() {
		t.Errorf("validate only changed it to %v, %v", got, err)
	}
}
