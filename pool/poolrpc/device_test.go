package poolrpc_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/poolrpc"
	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// devices is a fleet of 250 machines, of which a.none cannot be found and a.pinned is not to be told.
func devices(told *[]string) poolrpc.Devices {
	tell := func(id pool.WorkerID, what string) error {
		if id == "a.pinned" {
			return poolrpc.As(poolrpc.ErrState, errors.New("it is pinned"))
		}
		if told != nil {
			*told = append(*told, string(id)+" "+what)
		}
		return nil
	}
	return poolrpc.Devices{
		List: func(_ fleet.SiteID, feeder fleet.FeederID, from, n int) ([]*hashleasev1.Device, int) {
			var out []*hashleasev1.Device
			for i := from; i < min(from+n, 250); i++ {
				out = append(out, &hashleasev1.Device{Worker: fmt.Sprintf("a.%s%d", feeder, i)})
			}
			return out, 250
		},
		Device: func(id pool.WorkerID) (*hashleasev1.Device, error) {
			if id == "a.none" {
				return nil, poolrpc.As(poolrpc.ErrUnknown, errors.New("no such worker"))
			}
			return &hashleasev1.Device{Worker: string(id)}, nil
		},
		SetPower: func(_ context.Context, id pool.WorkerID, w unit.Watts) error {
			return tell(id, w.String())
		},
		Sleep: func(_ context.Context, id pool.WorkerID) error { return tell(id, "sleep") },
		Wake:  func(_ context.Context, id pool.WorkerID) error { return tell(id, "wake") },
	}
}

// Ensure that all machines are listed once over all pages, and that faulty pages are refused.
func TestDevices_AreListedInPages(t *testing.T) {
	s, err := poolrpc.New(config())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	ask := &hashleasev1.ListDevicesRequest{Feeder: "sites/north/feeders/n1"}
	for range 3 {
		r, err := s.ListDevices(t.Context(), ask)
		if err != nil || r.GetTotalSize() != 250 {
			t.Fatalf("%v, %v", r, err)
		}
		for _, d := range r.GetDevices() {
			seen[d.GetWorker()] = true
		}
		ask.PageToken = r.GetNextPageToken()
	}
	if len(seen) != 250 || ask.GetPageToken() != "" || !seen["a.n1249"] {
		t.Errorf("%d machines, then %q", len(seen), ask.GetPageToken())
	}
	for _, bad := range []*hashleasev1.ListDevicesRequest{
		{PageSize: -1}, {PageSize: 1001}, {PageToken: "x"}, {PageToken: "-1"}, {Feeder: "n1"},
	} {
		if _, err := s.ListDevices(t.Context(), bad); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", bad, err)
		}
	}
	past := &hashleasev1.ListDevicesRequest{PageToken: "2000000000"}
	if r, err := s.ListDevices(t.Context(), past); err != nil || len(r.GetDevices()) > 0 {
		t.Errorf("past the end: %v, %v", r, err)
	}
}

// Ensure that single machines are told what was asked, that the answer shows them, and that what the rooms
// refuse is told by kind.
func TestDevices_AreToldByName(t *testing.T) {
	cfg := config()
	var told []string
	cfg.Devices = devices(&told)
	s, err := poolrpc.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	d, err := s.SetDevicePower(ctx, &hashleasev1.SetDevicePowerRequest{Worker: "a.1", Watts: 2000})
	if err != nil || d.GetWorker() != "a.1" {
		t.Errorf("%v, %v", d, err)
	}
	if _, err := s.SleepDevice(ctx, &hashleasev1.SleepDeviceRequest{Worker: "a.2"}); err != nil {
		t.Error(err)
	}
	if _, err := s.WakeDevice(ctx, &hashleasev1.WakeDeviceRequest{Worker: "a.3"}); err != nil {
		t.Error(err)
	}
	if want := "[a.1 2 kW a.2 sleep a.3 wake]"; fmt.Sprint(told) != want {
		t.Errorf("told %v, want %s", told, want)
	}
	for worker, code := range map[string]codes.Code{
		"a.1": codes.OK, "a.none": codes.NotFound, "a": codes.InvalidArgument, "": codes.InvalidArgument,
	} {
		_, err := s.GetDevice(ctx, &hashleasev1.GetDeviceRequest{Worker: worker})
		if status.Code(err) != code {
			t.Errorf("getting %q: %v, want %v", worker, err, code)
		}
	}
	_, err = s.SleepDevice(ctx, &hashleasev1.SleepDeviceRequest{Worker: "a.pinned"})
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("pinned: %v", err)
	}
	_, err = s.SetDevicePower(ctx, &hashleasev1.SetDevicePowerRequest{Worker: "a.1"})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("no watts: %v", err)
	}
}
