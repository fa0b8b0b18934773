package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
)

// machine is a driver that knows whom it drives: it asks when it first can, and again when the machine has
// begun anew, as after an update of its firmware.
type machine struct {
	device.Driver

	kind    string
	address string
	ordered bool
	who     atomic.Pointer[device.Identity] // nil until the machine said it
	uptime  atomic.Int64
}

// Probe implements fleet.Probe.
func (m *machine) Probe(ctx context.Context) (fleet.Sighting, error) {
	s, err := m.Driver.Probe(ctx)
	if err != nil {
		return s, err
	}
	if was := m.uptime.Swap(int64(s.Uptime)); int64(s.Uptime) < was {
		m.who.Store(nil)
	}
	if who := m.identity(ctx); who != nil {
		s.Firmware = who.Firmware
	}
	return s, nil
}

// identity is who the machine says that it is, nil while it does not: what it does is known all the same.
func (m *machine) identity(ctx context.Context) *device.Identity {
	if who := m.who.Load(); who != nil {
		return who
	}
	if id, err := m.Identify(ctx); err == nil {
		m.who.Store(&id)
	}
	return m.who.Load()
}

// openMachines makes drivers of the workers that have interfaces of their own. Nothing is contacted yet.
func openMachines(
	cfg *config.Config, log *slog.Logger,
) (map[pool.WorkerID]*machine, map[pool.WorkerID]fleet.Actuator, error) {
	all, orders := map[pool.WorkerID]*machine{}, map[pool.WorkerID]fleet.Actuator{}
	list, err := cfg.Machines()
	if err != nil {
		return nil, nil, err
	}
	var faults []error
	for i, m := range list {
		if m == nil {
			continue
		}
		id := pool.WorkerID(cfg.Workers[i].ID)
		d, err := openDriver(m, log.With(slog.String("worker", string(id))))
		if err != nil {
			faults = append(faults, fmt.Errorf("worker %q: %w", id, err))
			continue
		}
		all[id] = &machine{Driver: d, kind: m.Kind, address: m.Config.Address, ordered: m.Ordered}
		if m.Ordered {
			orders[id] = all[id]
		}
	}
	return all, orders, errors.Join(faults...)
}

// openDriver makes one machine's driver, with the socket behind it if there is one.
func openDriver(m *config.Machine, log *slog.Logger) (device.Driver, error) {
	d, err := device.Open(m.Kind, m.Config)
	if err != nil || m.Cutoff == nil {
		return d, err
	}
	socket, err := device.Open(m.Cutoff.Kind, m.Cutoff.Config)
	if err != nil {
		d.Close()
		return nil, fmt.Errorf("its socket: %w", err)
	}
	return device.NewCutoff(device.CutoffConfig{
		Machine: d, Socket: socket, Armed: m.Cutoff.Armed, After: m.Cutoff.After,
		Told: func(cut bool) {
			if cut {
				log.Warn("a machine's power is cut at its socket: it did not sleep as it was told")
				return
			}
			log.Warn("a machine's power is back at its socket")
		},
	}), nil
}

// patience gives orders and questions the time that machines are given: a call, and one before it that it
// has to wait for.
func (s *server) patience(cfg *governor.Config) {
	if len(s.machines) > 0 {
		two := 2 * time.Duration(s.cfg.Device.Timeout)
		cfg.SendTimeout = min(max(cfg.SendTimeout, two), time.Minute)
		cfg.ProbeTimeout = min(max(cfg.ProbeTimeout, two), time.Minute)
	}
}

// closeMachines lets go of all connections and sessions.
func (s *server) closeMachines() error {
	for _, m := range s.machines {
		m.Close()
	}
	return nil
}

// probes are the machines as the governor asks them.
func (s *server) probes() map[pool.WorkerID]fleet.Probe {
	out := make(map[pool.WorkerID]fleet.Probe, len(s.machines))
	for id, m := range s.machines {
		out[id] = m
	}
	return out
}

// machineProbes ask every machine what it does, for hashlease check. Nothing is written to one.
func machineProbes(cfg *config.Config) []probe {
	any := false
	for i := range cfg.Workers {
		any = any || cfg.Workers[i].Device != ""
	}
	if !any && cfg.Device.Credentials == "" {
		return nil
	}
	all, _, err := openMachines(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return []probe{{"devices", func(context.Context) (string, error) { return "", err }}}
	}
	var out []probe
	many := len(all) > checkEach
	kinds := map[string][]pool.WorkerID{}
	for i := range cfg.Workers {
		id := pool.WorkerID(cfg.Workers[i].ID)
		m := all[id]
		switch {
		case m == nil:
		case many:
			kinds[m.kind] = append(kinds[m.kind], id)
		default:
			out = append(out, probe{"device of " + string(id), func(ctx context.Context) (string, error) {
				defer m.Close()
				return m.describe(ctx)
			}})
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		out = append(out, probe{"devices: " + kind, func(ctx context.Context) (string, error) {
			return askMany(context.WithoutCancel(ctx), all, kinds[kind])
		}})
	}
	return out
}

// Bounds of asking many machines for hashlease check.
const (
	checkEach  = 30 // so many have a line of their own
	checkAtAll = 2 * time.Minute
	checkSides = 64
	checkNamed = 5
)

// askMany asks machines side by side and says how many answer, and of some why they do not.
func askMany(ctx context.Context, all map[pool.WorkerID]*machine, ids []pool.WorkerID) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, checkAtAll)
	defer cancel()
	faults := make([]error, len(ids))
	side := make(chan struct{}, checkSides) // one a question on its way
	var wg sync.WaitGroup
	for i, id := range ids {
		side <- struct{}{}
		wg.Go(func() { // ends at the machine's timeout, or with ctx
			defer func() { <-side }()
			defer all[id].Close()
			if _, err := all[id].Driver.Probe(ctx); err != nil {
				faults[i] = fmt.Errorf("%s at %s: %w", id, all[id].address, err)
			}
		})
	}
	wg.Wait()
	faults = slices.DeleteFunc(faults, func(err error) bool { return err == nil })
	text := fmt.Sprintf("%d of %d answer", len(ids)-len(faults), len(ids))
	if len(faults) == 0 {
		return text, nil
	}
	for _, err := range faults[:min(len(faults), checkNamed)] {
		text += "; " + err.Error()
	}
	return "", fixf(errors.New(text), "see that they answer, and that their logins are right")
}

// describe asks who the machine is and what it does.
func (m *machine) describe(ctx context.Context) (string, error) {
	s, err := m.Probe(ctx)
	if err != nil {
		return "", fixf(err, "see that %s answers, and that its login is right", m.address)
	}
	text := fmt.Sprintf("%v, %v (%v), %v", s.Activity, s.Watts, s.Wattage, s.Hashrate)
	if who := m.who.Load(); who != nil {
		text = fmt.Sprintf("%s, %s: %s", who.Model, who.Firmware, text)
	}
	if s.Uptime > 0 {
		text += ", up " + s.Uptime.Round(time.Minute).String()
	}
	return text, nil
}
