package poolrpc

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"

	"google.golang.org/grpc"

	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// ScanWish says where an operator looks for machines.
type ScanWish struct {
	Subnet    netip.Prefix
	From      netip.Addr // zero: all of it
	Ports     []string   // besides each interface's own
	PerSecond int
}

// Inventory is the machines that were found.
type Inventory struct {
	// Scan looks for machines and reports until it is done or ctx ends. It calls send from one goroutine
	// at a time, and returns its error.
	Scan func(ctx context.Context, w ScanWish, send func(*hashleasev1.ScanDevicesResponse) error) error
	// List gives n machines from the from-th on, and how many there are.
	List func(from, n int) ([]*hashleasev1.FoundDevice, int)
	// Import remembers machines as if they had been found now, durably.
	Import func(ctx context.Context, list []*hashleasev1.FoundDevice) error
	// Forget takes one out.
	Forget func(ctx context.Context, key string) error
}

func (i *Inventory) check(need func(field string, set bool)) {
	need("Inventory.Scan", i.Scan != nil)
	need("Inventory.List", i.List != nil)
	need("Inventory.Import", i.Import != nil)
	need("Inventory.Forget", i.Forget != nil)
}

// Rates of scans, in addresses a second.
const (
	usualScanRate = 50
	maxScanRate   = 1000
)

// ScanDevices looks for machines in a subnet.
func (s *Service) ScanDevices(
	req *hashleasev1.ScanDevicesRequest, stream grpc.ServerStreamingServer[hashleasev1.ScanDevicesResponse],
) error {
	var v invalid
	w := ScanWish{Ports: req.GetPorts(), PerSecond: int(req.GetPerSecond())}
	var err error
	if w.Subnet, err = netip.ParsePrefix(req.GetSubnet()); err != nil {
		v.add("subnet", "10.0.0.0/24, for example, is accepted")
	}
	if from := req.GetFrom(); from != "" {
		if w.From, err = netip.ParseAddr(from); err != nil || !w.Subnet.Contains(w.From) {
			v.add("from", "an address of the subnet is accepted")
		}
	}
	switch {
	case w.PerSecond < 0 || w.PerSecond > maxScanRate:
		v.add("per_second", fmt.Sprintf("0 to %d is accepted, 0 means %d", maxScanRate, usualScanRate))
	case w.PerSecond == 0:
		w.PerSecond = usualScanRate
	}
	if err := v.err(); err != nil {
		return err
	}
	return answer(stream.Context(), "ScanDevices", s.cfg.Inventory.Scan(stream.Context(), w, stream.Send))
}

// ListFoundDevices gives the inventory.
func (s *Service) ListFoundDevices(
	_ context.Context, req *hashleasev1.ListFoundDevicesRequest,
) (*hashleasev1.ListFoundDevicesResponse, error) {
	var v invalid
	size := int(req.GetPageSize())
	if size < 0 || size > maxPage {
		v.add("page_size", fmt.Sprintf("0 to %d is accepted, 0 means %d", maxPage, defaultPage))
	}
	from := 0
	if token := req.GetPageToken(); token != "" {
		n, err := strconv.ParseUint(token, 10, 31)
		if err != nil {
			v.add("page_token", "next_page_token of the answer before is accepted")
		}
		from = int(n)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	if size == 0 {
		size = defaultPage
	}
	list, total := s.cfg.Inventory.List(from, size)
	res := &hashleasev1.ListFoundDevicesResponse{Devices: list, TotalSize: int64(total)}
	if next := from + len(list); len(list) > 0 && next < total {
		res.NextPageToken = strconv.Itoa(next)
	}
	return res, nil
}

// ImportDevices puts machines into the inventory.
func (s *Service) ImportDevices(
	ctx context.Context, req *hashleasev1.ImportDevicesRequest,
) (*hashleasev1.ImportDevicesResponse, error) {
	list := req.GetDevices()
	var v invalid
	if len(list) == 0 || len(list) > maxPage {
		v.add("devices", fmt.Sprintf("1 to %d are accepted at a time", maxPage))
	}
	for i, d := range list[:min(len(list), maxPage)] {
		name := fmt.Sprintf("devices[%d]", i)
		if _, err := netip.ParseAddrPort(d.GetAddress()); err != nil {
			v.add(name+".address", "IP:PORT is accepted")
		}
		if d.GetKind() == "" {
			v.add(name+".kind", "the kind of a driver is accepted")
		}
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	if err := s.cfg.Inventory.Import(ctx, list); err != nil {
		return nil, answer(ctx, "ImportDevices", err)
	}
	return &hashleasev1.ImportDevicesResponse{Imported: int32(len(list))}, nil
}

// ForgetDevice takes a machine out of the inventory.
func (s *Service) ForgetDevice(
	ctx context.Context, req *hashleasev1.ForgetDeviceRequest,
) (*hashleasev1.ForgetDeviceResponse, error) {
	if req.GetKey() == "" {
		var v invalid
		v.add("key", "the key of a machine is accepted, as ListFoundDevices gives it")
		return nil, v.err()
	}
	if err := s.cfg.Inventory.Forget(ctx, req.GetKey()); err != nil {
		return nil, answer(ctx, "ForgetDevice", err)
	}
	return &hashleasev1.ForgetDeviceResponse{}, nil
}
