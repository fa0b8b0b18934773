package main

import (
	"fmt"
	"time"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
)

// openMeter is what reads one configured branch by the network.
func openMeter(cfg *config.Config, m *config.Meter, timeout, maxAge time.Duration) (fleet.Meter, error) {
	if m.Modbus == "" {
		h := m.HTTP()
		h.Timeout, h.MaxAge = timeout, maxAge
		var err error
		if h.Secret, err = cfg.MeterSecret(m); err != nil {
			return nil, err
		}
		return device.NewHTTPMeter(h)
	}
	registers, err := m.RegisterMap()
	if err != nil {
		return nil, err
	}
	return device.NewModbusMeter(device.ModbusMeterConfig{
		Address: m.Modbus, Unit: m.Unit, Map: registers, Timeout: timeout,
	})
}

// meters are the configured branches with something to read them.
func (s *server) meters(registry *fleet.Registry, workers []fleet.Worker) (list []governor.Meter, err error) {
	for i := range s.cfg.Sites {
		for _, b := range s.cfg.Sites[i].Branch {
			for _, m := range b.Meters {
				one := governor.Meter{Name: m.Name(string(b.ID)), Branch: b.ID, Group: m.Group(b.Meters)}
				if one.Meter, err = openMeter(s.cfg, &m, 0, 0); err != nil {
					return nil, fmt.Errorf("meter %s: %w", one.Name, err)
				}
				list = append(list, one)
			}
		}
		for _, f := range s.cfg.Sites[i].Feeder {
			for _, m := range f.Meters {
				one := governor.Meter{
					Name: m.Name(string(f.ID)), Feeder: f.ID, Role: m.Role, Tenant: m.Tenant,
					Group: m.Group(f.Meters),
				}
				if m.Devices {
					one.Words, one.Suffices = true, m.DevicesSuffice
					one.Meter = sumOf(f.ID, registry, workers)
				} else if one.Meter, err = openMeter(s.cfg, &m, 0, 0); err != nil {
					return nil, fmt.Errorf("meter %s: %w", one.Name, err)
				}
				list = append(list, one)
			}
		}
	}
	tellApart(list)
	return list, nil
}

// tellApart gives meters that nobody named, of one role of a feeder, names of their own.
func tellApart(list []governor.Meter) {
	seen := make(map[string]int, len(list))
	for i := range list {
		name := list[i].Name
		if seen[name]++; seen[name] > 1 {
			list[i].Name = fmt.Sprintf("%s (%d)", name, seen[name])
		}
	}
}

// sumOf is what the feeder's machines say of themselves.
func sumOf(f fleet.FeederID, registry *fleet.Registry, workers []fleet.Worker) fleet.Meter {
	s := &governor.SumOfDevices{Registry: registry, Permille: governor.DeratePermilleOfDevices}
	for i := range workers {
		if workers[i].Feeder == f {
			s.Workers = append(s.Workers, workers[i])
		}
	}
	return s
}
