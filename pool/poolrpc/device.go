package poolrpc

import (
	"context"
	"fmt"
	"strconv"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

const acceptedFullWorker = `"account.worker" is accepted, as the configuration names it`

// Devices is what machines say of themselves, and what an operator tells single ones.
type Devices struct {
	// List gives n machines with interfaces of their own from the from-th on, and how many there are: on one
	// feeder, or on all if its name is empty. The order never changes.
	List func(site fleet.SiteID, feeder fleet.FeederID, from, n int) ([]*hashleasev1.Device, int)
	// Device gives one machine.
	Device func(worker pool.WorkerID) (*hashleasev1.Device, error)
	// SetPower keeps a machine at watts at most, Sleep lets it sleep, and Wake ends that, durably.
	SetPower func(ctx context.Context, worker pool.WorkerID, watts unit.Watts) error
	Sleep    func(ctx context.Context, worker pool.WorkerID) error
	Wake     func(ctx context.Context, worker pool.WorkerID) error
}

func (d *Devices) check(need func(field string, set bool)) {
	need("Devices.List", d.List != nil)
	need("Devices.Device", d.Device != nil)
	need("Devices.SetPower", d.SetPower != nil)
	need("Devices.Sleep", d.Sleep != nil)
	need("Devices.Wake", d.Wake != nil)
}

// ListDevices gives the machines that are read on interfaces of their own.
func (s *Service) ListDevices(
	_ context.Context, req *hashleasev1.ListDevicesRequest,
) (*hashleasev1.ListDevicesResponse, error) {
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
	var site fleet.SiteID
	var feeder fleet.FeederID
	if name := req.GetFeeder(); name != "" {
		var ok bool
		if site, feeder, ok = parseFeeder(name); !ok {
			v.add("feeder", `"sites/{site}/feeders/{feeder}" is accepted, as ListSites names it`)
		}
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	if size == 0 {
		size = defaultPage
	}
	list, total := s.cfg.Devices.List(site, feeder, from, size)
	res := &hashleasev1.ListDevicesResponse{Devices: list, TotalSize: int64(total)}
	if next := from + len(list); len(list) > 0 && next < total {
		res.NextPageToken = strconv.Itoa(next)
	}
	return res, nil
}

// GetDevice gives one machine.
func (s *Service) GetDevice(
	ctx context.Context, req *hashleasev1.GetDeviceRequest,
) (*hashleasev1.Device, error) {
	return s.device(ctx, "GetDevice", req.GetWorker(), func(pool.WorkerID) error { return nil })
}

// SetDevicePower keeps a machine at some watts at most until it is woken.
func (s *Service) SetDevicePower(
	ctx context.Context, req *hashleasev1.SetDevicePowerRequest,
) (*hashleasev1.Device, error) {
	if w := req.GetWatts(); w < 1 || w > maxWatts {
		var v invalid
		v.add("watts", "from the machine's least to below its full power is accepted")
		return nil, v.err()
	}
	return s.device(ctx, "SetDevicePower", req.GetWorker(), func(id pool.WorkerID) error {
		return s.cfg.Devices.SetPower(ctx, id, unit.Watts(req.GetWatts()))
	})
}

// SleepDevice puts a machine to sleep until it is woken.
func (s *Service) SleepDevice(
	ctx context.Context, req *hashleasev1.SleepDeviceRequest,
) (*hashleasev1.Device, error) {
	return s.device(ctx, "SleepDevice", req.GetWorker(), func(id pool.WorkerID) error {
		return s.cfg.Devices.Sleep(ctx, id)
	})
}

// WakeDevice ends what SetDevicePower and SleepDevice began.
func (s *Service) WakeDevice(
	ctx context.Context, req *hashleasev1.WakeDeviceRequest,
) (*hashleasev1.Device, error) {
	return s.device(ctx, "WakeDevice", req.GetWorker(), func(id pool.WorkerID) error {
		return s.cfg.Devices.Wake(ctx, id)
	})
}

// device does something with one machine and shows it as it is then.
func (s *Service) device(
	ctx context.Context, call, name string, do func(pool.WorkerID) error,
) (*hashleasev1.Device, error) {
	_, id, err := pool.ParseIdentity(name)
	if err != nil || string(id) != name {
		var v invalid
		v.add("worker", acceptedFullWorker)
		return nil, v.err()
	}
	if err := do(id); err != nil {
		return nil, answer(ctx, call, err)
	}
	d, err := s.cfg.Devices.Device(id)
	if err != nil {
		return nil, answer(ctx, call, err)
	}
	return d, nil
}
