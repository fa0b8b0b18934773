package poolrpc_test

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hashlease/hashlease/pool/poolrpc"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// found is an inventory of the given machines that notes wishes.
func found(list []*hashleasev1.FoundDevice) poolrpc.Inventory {
	return poolrpc.Inventory{
		Scan: func(context.Context, poolrpc.ScanWish, func(*hashleasev1.ScanDevicesResponse) error) error {
			return nil
		},
		List: func(from, n int) ([]*hashleasev1.FoundDevice, int) {
			from = min(from, len(list))
			return list[from:min(from+n, len(list))], len(list)
		},
		Import: func(context.Context, []*hashleasev1.FoundDevice) error { return nil },
		Forget: func(_ context.Context, key string) error {
			return poolrpc.As(poolrpc.ErrUnknown, fmt.Errorf("no machine %q", key))
		},
	}
}

// The inventory is read page by page; what is not accepted is named.
func TestInventory_PagesAndRefuses(t *testing.T) {
	var all []*hashleasev1.FoundDevice
	for n := range 7 {
		all = append(all, &hashleasev1.FoundDevice{Key: fmt.Sprint(n)})
	}
	cfg := config()
	cfg.Inventory = found(all)
	s := dial(t, cfg)
	var got []string
	req := &hashleasev1.ListFoundDevicesRequest{PageSize: 3}
	for {
		r, err := s.ListFoundDevices(t.Context(), req)
		if err != nil || r.GetTotalSize() != 7 {
			t.Fatalf("a page: %v of %d", err, r.GetTotalSize())
		}
		for _, d := range r.GetDevices() {
			got = append(got, d.GetKey())
		}
		if req.PageToken = r.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	if fmt.Sprint(got) != "[0 1 2 3 4 5 6]" {
		t.Errorf("pages give %v", got)
	}
	refused := func(want codes.Code, err error) {
		t.Helper()
		if status.Code(err) != want {
			t.Errorf("%v, want %v", err, want)
		}
	}
	bad := &hashleasev1.ListFoundDevicesRequest{PageSize: -1, PageToken: "x"}
	_, err := s.ListFoundDevices(t.Context(), bad)
	refused(codes.InvalidArgument, err)
	_, err = s.ImportDevices(t.Context(), &hashleasev1.ImportDevicesRequest{})
	refused(codes.InvalidArgument, err)
	_, err = s.ImportDevices(t.Context(), &hashleasev1.ImportDevicesRequest{
		Devices: []*hashleasev1.FoundDevice{{Address: "rig7", Kind: "axeos"}, {Address: "10.0.0.7:80"}},
	})
	refused(codes.InvalidArgument, err)
	_, err = s.ForgetDevice(t.Context(), &hashleasev1.ForgetDeviceRequest{Key: "mac none"})
	refused(codes.NotFound, err)
	for _, req := range []*hashleasev1.ScanDevicesRequest{
		{},
		{Subnet: "10.0.0.0"},
		{Subnet: "10.0.0.0/24", From: "10.0.1.1"},
		{Subnet: "10.0.0.0/24", PerSecond: 1001},
	} {
		stream, err := s.ScanDevices(t.Context(), req)
		if err == nil {
			_, err = stream.Recv()
		}
		refused(codes.InvalidArgument, err)
	}
}
