package sim

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// drawing is a tenant's load, for tests.
type drawing struct {
	mu    sync.Mutex
	watts map[fleet.FeederID]unit.Watts
}

func (d *drawing) set(f fleet.FeederID, w unit.Watts) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watts[f] = w
}

func (d *drawing) on(f fleet.FeederID) unit.Watts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.watts[f]
}

func newTestTenant(t *testing.T, cfg TenantConfig) (*Tenant, *drawing) {
	t.Helper()
	cfg.Name = "acme"
	d := &drawing{watts: map[fleet.FeederID]unit.Watts{}}
	tenant, err := NewTenant(cfg, d.set)
	if err != nil {
		t.Fatal(err)
	}
	return tenant, d
}

// lease is one of 5 kW on f1 that starts now and lasts a minute.
func lease(state hashleasev1.LeaseState, revision int64, start time.Time) *hashleasev1.Lease {
	return &hashleasev1.Lease{
		Name: "tenants/acme/leases/1", Feeder: "sites/north/feeders/f1", Watts: 5000,
		State: state, Revision: revision,
		StartTime: timestamppb.New(start), EndTime: timestamppb.New(start.Add(time.Minute)),
	}
}

const (
	scheduled = hashleasev1.LeaseState_LEASE_STATE_SCHEDULED
	preparing = hashleasev1.LeaseState_LEASE_STATE_PREPARING
	active    = hashleasev1.LeaseState_LEASE_STATE_ACTIVE
	degraded  = hashleasev1.LeaseState_LEASE_STATE_DEGRADED
	ending    = hashleasev1.LeaseState_LEASE_STATE_ENDING
	cancelled = hashleasev1.LeaseState_LEASE_STATE_CANCELLED
)

// Ensure that a tenant draws from ACTIVE on, never before, goes on while DEGRADED if it was drawing, and
// stops when the server says that the lease is over.
func TestTenant_DrawsAsTheStateSays(t *testing.T) {
	for _, c := range []struct {
		states []hashleasev1.LeaseState
		want   unit.Watts
	}{
		{[]hashleasev1.LeaseState{scheduled}, 0},
		{[]hashleasev1.LeaseState{scheduled, preparing}, 0},
		{[]hashleasev1.LeaseState{scheduled, preparing, active}, 5000},
		{[]hashleasev1.LeaseState{preparing, degraded}, 0},
		{[]hashleasev1.LeaseState{preparing, degraded, active}, 5000},
		{[]hashleasev1.LeaseState{active, degraded}, 5000},
		{[]hashleasev1.LeaseState{active, degraded, ending}, 0},
		{[]hashleasev1.LeaseState{active, cancelled}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			tenant, d := newTestTenant(t, TenantConfig{})
			start := time.Now()
			for i, s := range c.states {
				tenant.heard(lease(s, int64(i+1), start), time.Now())
			}
			if got := d.on("f1"); got != c.want {
				t.Errorf("after %v the tenant draws %v, want %v", c.states, got, c.want)
			}
			time.Sleep(2 * time.Minute)
		})
	}
}

// Ensure that a tenant ends by its own clock, with no word from the server, and starts no earlier than
// the slot even if ACTIVE came before.
func TestTenant_KeepsToTheSlotByItsOwnClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant, d := newTestTenant(t, TenantConfig{})
		start := time.Now().Add(10 * time.Second)
		tenant.heard(lease(active, 1, start), time.Now())
		for _, step := range []struct {
			wait time.Duration
			want unit.Watts
		}{{9 * time.Second, 0}, {2 * time.Second, 5000}, {58 * time.Second, 5000}, {2 * time.Second, 0}} {
			time.Sleep(step.wait)
			synctest.Wait()
			if got := d.on("f1"); got != step.want {
				t.Fatalf("%v after the start the tenant draws %v, want %v", time.Since(start), got, step.want)
			}
		}
		r := tenant.Reports()[0]
		if r.ToActive != 0 || r.State != "ACTIVE" || !near(r.Ended.Sub(start).Seconds(), 60, 0.01) {
			t.Fatalf("report is %+v", r)
		}
	})
}

// Ensure that an answer that is older than what was heard already changes nothing.
func TestTenant_IgnoresOldNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant, d := newTestTenant(t, TenantConfig{})
		start := time.Now()
		tenant.heard(lease(active, 3, start), start)
		tenant.heard(lease(scheduled, 1, start), start)
		if tenant.Reports()[0].State != "ACTIVE" || d.on("f1") != 5000 {
			t.Fatalf("reports are %+v", tenant.Reports())
		}
		time.Sleep(2 * time.Minute)
	})
}

// leaseServer is a lease service that grants everything at once.
type leaseServer struct {
	hashleasev1.UnimplementedLeaseServiceServer

	mu       sync.Mutex
	requests map[string]int // by request id
	refuse   int            // this many first calls fail as if the server were away
	granted  chan *hashleasev1.Lease
}

func (s *leaseServer) CreateLease(
	ctx context.Context, r *hashleasev1.CreateLeaseRequest,
) (*hashleasev1.Lease, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if key := md["authorization"]; len(key) != 1 || key[0] != "Bearer key" {
		return nil, status.Error(codes.Unauthenticated, "no key")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[r.GetRequestId()]++
	if s.refuse > 0 {
		s.refuse--
		return nil, status.Error(codes.Unavailable, "away")
	}
	l := lease(scheduled, 1, r.GetLease().GetStartTime().AsTime())
	now, _ := proto.Clone(l).(*hashleasev1.Lease)
	now.State, now.Revision = active, 2
	s.granted <- now
	return l, nil
}

func (s *leaseServer) WatchLeases(
	_ *hashleasev1.WatchLeasesRequest, w grpc.ServerStreamingServer[hashleasev1.WatchLeasesResponse],
) error {
	for {
		select {
		case l := <-s.granted:
			if err := w.Send(&hashleasev1.WatchLeasesResponse{Lease: l}); err != nil {
				return err
			}
		case <-w.Context().Done():
			return nil
		}
	}
}

// Ensure that a tenant books by its schedule over real gRPC, with its key, asking again under the same id
// while the server is away, and that it draws on although the server then dies.
func TestTenant_BooksAndOutlivesTheServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	service := &leaseServer{requests: map[string]int{}, refuse: 1, granted: make(chan *hashleasev1.Lease, 1)}
	server := grpc.NewServer()
	hashleasev1.RegisterLeaseServiceServer(server, service)
	go func() { _ = server.Serve(ln) }() // ends with Stop
	tenant, d := newTestTenant(t, TenantConfig{
		Target: ln.Addr().String(), Key: "key",
		Demands: []Demand{{Site: "north", Watts: 5000, For: time.Hour}},
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = tenant.Run(ctx) })
	deadline := time.Now().Add(20 * time.Second)
	for d.on("f1") == 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	server.Stop()
	if d.on("f1") != 5000 {
		t.Fatalf("draws %v, reports %+v", d.on("f1"), tenant.Reports())
	}
	service.mu.Lock()
	for id, n := range service.requests {
		if n != 2 || len(service.requests) != 1 {
			t.Errorf("request %s was sent %d times of %d requests", id, n, len(service.requests))
		}
	}
	service.mu.Unlock()
	cancel()
	wg.Wait()
	if d.on("f1") != 0 {
		t.Fatal("a tenant that is gone draws on")
	}
}

// Ensure that a key is never sent in plaintext to another machine.
func TestTenant_RefusesPlaintextToOtherMachines(t *testing.T) {
	for target, ok := range map[string]bool{
		"127.0.0.1:1": true, "localhost:1": true, "[::1]:1": true,
		"10.0.0.1:1": false, "example.com:1": false,
	} {
		err := TenantConfig{Name: "acme", Target: target}.Validate()
		if (err == nil) != ok {
			t.Errorf("%s: %v", target, err)
		}
	}
}
