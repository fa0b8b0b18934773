package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/inventory"
	"github.com/hashlease/hashlease/pool/poolrpc"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
)

// openInventory reads which machines were found.
func (s *server) openInventory(ctx context.Context) (err error) {
	s.inventory, err = inventory.Load(ctx, s.book)
	return err
}

// inventoryRPC is what the operator can do about machines that are found.
func (s *server) inventoryRPC() poolrpc.Inventory {
	return poolrpc.Inventory{
		Scan: s.scan, List: s.listFound, Import: s.importDevices,
		Forget: func(ctx context.Context, key string) error {
			err := s.inventory.Forget(ctx, key)
			if errors.Is(err, inventory.ErrUnknown) {
				return poolrpc.As(poolrpc.ErrUnknown, err)
			}
			return err
		},
	}
}

// scan looks for machines and remembers who is found before it tells.
func (s *server) scan(
	ctx context.Context, w poolrpc.ScanWish, send func(*hashleasev1.ScanDevicesResponse) error,
) error {
	gate, err := s.cfg.Device.Gate()
	if err != nil {
		return err
	}
	ports, err := device.ParsePorts(w.Ports)
	if err != nil {
		return poolrpc.As(poolrpc.ErrState, err)
	}
	logins, err := s.cfg.Logins()
	if err != nil {
		return poolrpc.As(poolrpc.ErrState, err)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	workers := s.knownWorkers()
	err = device.Scan(ctx, device.ScanConfig{
		Gate: gate, Subnet: w.Subnet, From: w.From, Ports: ports, PerSecond: w.PerSecond, Logins: logins,
	}, func(p device.Progress) {
		if err := s.told(ctx, &p, workers, send); err != nil {
			stop(err)
		}
	})
	if cause := context.Cause(ctx); cause != nil && err != nil {
		return cause
	}
	if err != nil {
		return poolrpc.As(poolrpc.ErrState, err)
	}
	return nil
}

// told remembers what a step of a scan found, and tells it.
func (s *server) told(
	ctx context.Context, p *device.Progress, workers []inventory.Worker,
	send func(*hashleasev1.ScanDevicesResponse) error,
) error {
	out := &hashleasev1.ScanDevicesResponse{Done: int32(p.Done), Total: int32(p.Total)}
	if p.Next.IsValid() {
		out.Next = p.Next.String()
	}
	if p.Found != nil {
		m, err := s.inventory.Note(ctx, p.Found, time.Now())
		if err != nil {
			return err
		}
		out.Found = s.foundMessage(&inventory.MatchAll([]inventory.Machine{m}, workers, s.isOurs)[0])
	}
	return send(out)
}

// knownWorkers is what is known of workers that may be one of the machines.
func (s *server) knownWorkers() []inventory.Worker {
	workers := make([]inventory.Worker, 0, len(s.cfg.Workers))
	at := map[pool.WorkerID]int{}
	for i := range s.cfg.Workers {
		w := &s.cfg.Workers[i]
		at[pool.WorkerID(w.ID)] = i
		workers = append(workers, inventory.Worker{ID: pool.WorkerID(w.ID), Address: w.Address})
	}
	for _, c := range s.stratum.Channels() {
		a, err := netip.ParseAddrPort(c.Device.Address)
		if i, ok := at[c.Worker]; ok && err == nil {
			workers[i].Remotes = append(workers[i].Remotes, a.Addr().Unmap())
		}
	}
	return workers
}

// isOurs says that a pool, as a machine calls it, is this server: one of its ports at one of its names.
func (s *server) isOurs(name string) bool {
	host, port, err := net.SplitHostPort(name)
	if err != nil {
		return false
	}
	ours := []net.Listener{s.stratumAt}
	for _, p := range s.ports {
		ours = append(ours, p.at)
	}
	if !slices.ContainsFunc(ours, func(l net.Listener) bool {
		a, ok := l.Addr().(*net.TCPAddr)
		return ok && strconv.Itoa(a.Port) == port
	}) {
		return false
	}
	if slices.Contains(s.cfg.TLS.Hosts, host) {
		return true
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	own, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(own, func(n net.Addr) bool {
		p, err := netip.ParsePrefix(n.String())
		return err == nil && p.Addr().Unmap() == a.Unmap()
	})
}

func (s *server) listFound(from, n int) (out []*hashleasev1.FoundDevice, total int) {
	all := inventory.MatchAll(s.inventory.List(), s.knownWorkers(), s.isOurs)
	from = min(from, len(all))
	for i := range all[from:min(from+n, len(all))] {
		out = append(out, s.foundMessage(&all[from+i]))
	}
	return out, len(all)
}

func (s *server) foundMessage(m *inventory.Match) *hashleasev1.FoundDevice {
	id := &m.Identity
	out := &hashleasev1.FoundDevice{
		Key: m.Key, Address: m.Address, Kind: id.Kind, Problem: m.Problem, Pool: m.Pool, Backups: m.Backups,
		Identity: &hashleasev1.DeviceIdentity{
			Model: id.Model, Firmware: id.Firmware, Serial: id.Serial, Mac: id.MAC, Host: id.Host,
			PoolWorkers: id.Workers,
		},
		FirstTime: timestamppb.New(m.First), LastTime: timestamppb.New(m.Last),
		Worker: string(m.Worker), MatchedBy: m.By, Elsewhere: m.Elsewhere,
	}
	for _, c := range m.Candidates {
		out.Candidates = append(out.Candidates, string(c))
	}
	for i := range s.cfg.Workers {
		out.Enrolled = out.Enrolled || s.cfg.Workers[i].ID == out.Worker && s.cfg.Workers[i].Device != ""
	}
	return out
}

// importDevices remembers machines that somebody else has found.
func (s *server) importDevices(ctx context.Context, list []*hashleasev1.FoundDevice) error {
	for _, d := range list {
		if !slices.Contains(device.Kinds(), d.GetKind()) {
			return poolrpc.As(poolrpc.ErrState, fmt.Errorf("kind of machine %q: one of %s is accepted",
				d.GetKind(), strings.Join(device.Kinds(), ", ")))
		}
	}
	for _, d := range list {
		id := d.GetIdentity()
		f := &device.Found{Address: d.GetAddress(), Problem: d.GetProblem(), Identity: device.Identity{
			Kind: d.GetKind(), Model: id.GetModel(), Firmware: id.GetFirmware(), Serial: id.GetSerial(),
			MAC: id.GetMac(), Host: id.GetHost(), Workers: id.GetPoolWorkers(),
		}}
		f.Sighting.Pool, f.Sighting.Backups = d.GetPool(), d.GetBackups()
		if _, err := s.inventory.Note(ctx, f, time.Now()); err != nil {
			return err
		}
	}
	return nil
}
