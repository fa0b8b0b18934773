package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/poolrpc"
	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// devices is what machines say of themselves, and what the operator tells single ones.
func (s *server) devices() poolrpc.Devices {
	return poolrpc.Devices{
		List: s.listDevices, Device: s.device,
		SetPower: func(ctx context.Context, id pool.WorkerID, w unit.Watts) error {
			return s.setCeiling(ctx, id, governor.Ceiling{Mode: fleet.Capped, Watts: w})
		},
		Sleep: func(ctx context.Context, id pool.WorkerID) error {
			return s.setCeiling(ctx, id, governor.Ceiling{Mode: fleet.Paused})
		},
		Wake: func(ctx context.Context, id pool.WorkerID) error {
			return refusedByGovernor(s.governor.Wake(ctx, id))
		},
	}
}

func (s *server) setCeiling(ctx context.Context, id pool.WorkerID, c governor.Ceiling) error {
	err := s.governor.SetCeiling(ctx, id, c)
	if errors.Is(err, governor.ErrBound) {
		return poolrpc.As(poolrpc.ErrState, err)
	}
	return refusedByGovernor(err)
}

// listDevices gives those workers that have interfaces of their own, n from the from-th on.
func (s *server) listDevices(
	site fleet.SiteID, feeder fleet.FeederID, from, n int,
) (out []*hashleasev1.Device, total int) {
	s.eachDevice(func(st fleet.SiteID, f fleet.FeederID, w *governor.WorkerStatus) bool {
		if w.Seen == nil || feeder != "" && (st != site || f != feeder) {
			return true
		}
		if total >= from && len(out) < n {
			out = append(out, s.deviceMessage(feederName(st, f), w))
		}
		total++
		return true
	})
	return out, total
}

// device gives one worker, whether it has an interface of its own or not.
func (s *server) device(id pool.WorkerID) (found *hashleasev1.Device, err error) {
	s.eachDevice(func(st fleet.SiteID, f fleet.FeederID, w *governor.WorkerStatus) bool {
		if w.ID == id {
			found = s.deviceMessage(feederName(st, f), w)
		}
		return found == nil
	})
	if found == nil {
		return nil, poolrpc.As(poolrpc.ErrUnknown, fmt.Errorf("there is no worker %q in the fleet", id))
	}
	return found, nil
}

// eachDevice passes all workers until see has enough.
func (s *server) eachDevice(see func(fleet.SiteID, fleet.FeederID, *governor.WorkerStatus) bool) {
	for _, site := range s.governor.Status().Sites {
		for i := range site.Feeders {
			f := &site.Feeders[i]
			for j := range f.Workers {
				if !see(site.ID, f.ID, &f.Workers[j]) {
					return
				}
			}
		}
	}
}

func (s *server) deviceMessage(feeder string, w *governor.WorkerStatus) *hashleasev1.Device {
	out := &hashleasev1.Device{
		Worker: string(w.ID), Feeder: feeder, Model: w.Model, State: w.State, Reachable: w.Reachable,
		Ordered: true, Elsewhere: w.Elsewhere, Escaped: w.Escaped, Stray: w.Stray.String(),
		Mode: w.Mode.String(), ModeWatts: int64(w.Watts), FullWatts: int64(w.Full),
		ReportedWatts: int64(w.Reported), Evidence: w.Evidence.String(),
	}
	if c := w.Ceiling; c != nil {
		out.Ceiling = &hashleasev1.DeviceCeiling{
			Mode: c.Mode.String(), Watts: int64(c.Watts), Time: timestamppb.New(c.At),
		}
	}
	if w.Refused != nil {
		out.OrderFault = w.Refused.Error()
	}
	if m := s.machines[w.ID]; m != nil {
		m.fill(out)
	}
	if w.Seen != nil {
		out.Sighting, out.Failures = sightingMessage(w.Seen), int32(w.Seen.Failures)
		if w.Seen.Err != nil {
			out.Fault = w.Seen.Err.Error()
		}
	}
	return out
}

// fill adds what is known of the machine's interface.
func (m *machine) fill(d *hashleasev1.Device) {
	d.Kind, d.Address, d.Ordered = m.kind, m.address, m.ordered
	d.Capability = capabilityMessage(m.Capability())
	if who := m.who.Load(); who != nil {
		d.Identity = &hashleasev1.DeviceIdentity{
			Model: who.Model, Firmware: who.Firmware, Serial: who.Serial, Mac: who.MAC, Host: who.Host,
			PoolWorkers: who.Workers,
		}
	}
}

// capabilityMessage is nil of a machine that was not seen.
func capabilityMessage(c fleet.Capability) *hashleasev1.DeviceCapability {
	if c == (fleet.Capability{}) {
		return nil
	}
	return &hashleasev1.DeviceCapability{
		Sleeps: c.CanPause, TakesWatts: c.CanCap,
		MinWatts: int64(c.Min), MaxWatts: int64(c.Max), StepWatts: int64(c.Step),
		ShedSeconds: int64(c.ShedIn / time.Second), ReturnSeconds: int64(c.ReturnIn / time.Second),
		Restarts: c.Restarts, HoldsAlone: c.HoldsAlone, SurvivesReboot: !c.Forgets, Measured: c.Measured,
	}
}

func sightingMessage(s *governor.Seen) *hashleasev1.DeviceSighting {
	if s.At.IsZero() {
		return nil
	}
	return &hashleasev1.DeviceSighting{
		Time: timestamppb.New(s.At), Activity: s.Activity.String(),
		Watts: int64(s.Watts), Wattage: s.Wattage.String(), TargetWatts: int64(s.Target),
		Hashrate: float64(s.Hashrate), UptimeSeconds: int64(s.Uptime / time.Second),
		ChipCelsius: int32(s.Chip), InletCelsius: int32(s.Inlet),
		Pool: s.Pool, Backups: s.Backups, Errors: s.Errors,
	}
}
