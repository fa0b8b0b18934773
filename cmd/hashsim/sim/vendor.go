package sim

import (
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
	drivers "github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/device/devicetest"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/stratumtest"
)

// VendorPassword is what every simulated machine with a login takes, for the user "root" where there are
// users.
const VendorPassword = "simulated"

// otherPool is where machines mine that do not mine with us.
var otherPool = devicetest.Pool{URL: "stratum+tcp://other-pool.example:3333", User: "someone", Password: "x"}

// vendorAPI is how a firmware's own interface is served.
type vendorAPI struct {
	kind  string
	login drivers.Login
	serve func(m *devicetest.Machine, ln net.Listener)
}

// overHTTP serves an emulated web interface until its listener is closed.
func overHTTP(make func(*devicetest.Machine) http.Handler) func(*devicetest.Machine, net.Listener) {
	return func(m *devicetest.Machine, ln net.Listener) {
		s := &http.Server{
			Handler: make(m), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
			ErrorLog: log.New(io.Discard, "", 0),
		}
		_ = s.Serve(ln) // ends with the listener
		_ = s.Close()
	}
}

var (
	rootLogin  = drivers.Login{User: "root", Password: VendorPassword}
	superLogin = drivers.Login{User: "super", Password: VendorPassword}
)

// Interfaces by Firmware.API.
var vendorAPIs = map[string]vendorAPI{
	"antminer": {"antminer", rootLogin, overHTTP(func(m *devicetest.Machine) http.Handler {
		return &devicetest.Antminer{Machine: m, User: "root", Password: VendorPassword}
	})},
	"axeos": {"axeos", drivers.Login{}, overHTTP(func(m *devicetest.Machine) http.Handler {
		return &devicetest.AxeOS{Machine: m, Clock: 525}
	})},
	"avalon": {"avalon", drivers.Login{}, overTCP(func(m *devicetest.Machine) *devicetest.Avalon {
		return &devicetest.Avalon{Machine: m, Hurry: 1000} // the device's own delay is the wait
	})},
	"luxos": {"luxos", drivers.Login{}, overTCP(func(m *devicetest.Machine) *devicetest.LuxOS {
		return &devicetest.LuxOS{Machine: m}
	})},
	"whatsminer-v3": {"whatsminer-v3", superLogin, overTCP(whatsMinerV3)},
	"braiins": {"braiins", rootLogin, overHTTP(func(m *devicetest.Machine) http.Handler {
		return &devicetest.Braiins{Machine: m, User: "root", Password: VendorPassword}
	})},
}

// whatsMinerV3 is a machine's interface with fast boot, as the profile's times have it.
func whatsMinerV3(m *devicetest.Machine) *devicetest.WhatsMinerV3 {
	return &devicetest.WhatsMinerV3{Machine: m, User: superLogin.User, Password: VendorPassword, Fast: true}
}

// overTCP serves an emulated interface of its own protocol until its listener is closed.
func overTCP[E interface{ Serve(ln net.Listener) }](make func(*devicetest.Machine) E) func(
	*devicetest.Machine, net.Listener) {
	return func(m *devicetest.Machine, ln net.Listener) { make(m).Serve(ln) }
}

// spelled is a model as its firmware spells it.
func spelled(api, model string) string {
	if api == "whatsminer-v3" {
		return strings.TrimPrefix(model, "WhatsMiner ") + "_VK40"
	}
	return model
}

// vendor is a machine's own interface.
type vendor struct {
	api     vendorAPI
	machine *devicetest.Machine
	ln      net.Listener
}

// newVendor gives a machine the interface of its firmware. It listens at once, so that its address is
// known.
func (s *Sim) newVendor(i int, p *powered, host string) (*vendor, error) {
	api := vendorAPIs[p.device.firmware.API]
	var ln net.Listener
	var err error
	if s.exchange != nil {
		ln, err = s.exchange.listen(i)
	} else {
		ln, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return nil, fmt.Errorf("listening for the interface of %s: %w", p.device.worker.ID, err)
	}
	w := &p.device.worker
	m := devicetest.NewMachine(devicetest.Facts{
		Model: spelled(p.device.firmware.API, w.Model), Version: p.device.firmware.version(),
		Serial: fmt.Sprintf("SIM%06d", i+1),
		MAC:    fmt.Sprintf("02:00:00:%02x:%02x:%02x", byte((i+1)>>16), byte((i+1)>>8), byte(i+1)),
		Host:   string(w.ID[strings.LastIndexByte(string(w.ID), '.')+1:]),
	}, body{p})
	m.Fail(devicetest.Defects{Dead: p.device.fault.Dead})
	return &vendor{api: api, machine: m, ln: ln}, nil
}

// aim tells a machine's interface where the machine mines.
func (v *vendor) aim(e stratumtest.Endpoint, user string, elsewhere bool) {
	ours := devicetest.Pool{URL: "stratum+tcp://" + e.Address, User: user, Password: "x"}
	if elsewhere {
		ours = otherPool
	}
	v.machine.SetPools([]devicetest.Pool{ours})
}

// Interfaces are those of all machines that have one, if Config.Vendor is set.
func (s *Sim) Interfaces() (list []config.Interface) {
	for i := range s.machines {
		if v := s.machines[i].vendor; v != nil {
			can := s.machines[i].power.device.capability()
			list = append(list, config.Interface{
				Worker: s.machines[i].worker.ID, Kind: v.api.kind,
				Address: v.ln.Addr().String(), Login: v.api.login, ShedIn: can.ShedIn, ReturnIn: can.ReturnIn,
			})
		}
	}
	return list
}

// Writes counts the orders that came to all machines over their own interfaces, obeyed or not.
func (s *Sim) Writes() (n int) {
	for i := range s.machines {
		if v := s.machines[i].vendor; v != nil {
			n += v.machine.Orders()
		}
	}
	return n
}

func (s *Sim) closeVendors() (err error) {
	for i := range s.machines {
		if v := s.machines[i].vendor; v != nil {
			err = errors.Join(err, v.ln.Close())
		}
	}
	if s.exchange != nil {
		err = errors.Join(err, s.exchange.ln.Close())
	}
	return err
}

// body is a device as its vendor's interface sees it.
type body struct{ *powered }

var _ devicetest.Body = body{}

// State implements devicetest.Body.
func (b body) State() devicetest.BodyState {
	b.site.mu.Lock()
	defer b.site.mu.Unlock()
	d, t := b.device, b.site.now()
	b.site.advanceLocked(t)
	w := d.watts(t)
	if d.fault.Lie && d.told > 0 {
		w = d.told
	}
	if d.fault.Report > 0 {
		w *= d.fault.Report
	}
	state := d.state(t)
	return devicetest.BodyState{
		Mode: d.mode, Moving: state == RampDown || state == RampUp, Watts: unit.Watts(math.Round(w)),
		Target: unit.Watts(math.Round(d.to)), Hashrate: d.hashrate(d.planned(t)),
		Curve: d.curve(), Sleep: d.worker.Sleep, Uptime: t - d.booted,
	}
}

// curve is what the device truly draws.
func (d *device) curve() fleet.Curve {
	c := make(fleet.Curve, 0, len(d.worker.Curve))
	for _, p := range d.worker.Curve {
		w := unit.Watts(math.Round(float64(p.Watts) * d.factor))
		c = append(c, fleet.Point{Watts: w, Hashrate: p.Hashrate})
	}
	return c
}

// Order implements devicetest.Body.
func (b body) Order(mode fleet.Mode, watts unit.Watts) {
	b.site.mu.Lock()
	defer b.site.mu.Unlock()
	d, t := b.device, b.site.now()
	b.site.advanceLocked(t)
	if b.ordered != nil {
		b.ordered(d.worker.ID)
	}
	if d.fault.Silent {
		return
	}
	before := *d
	d.order(t, mode, watts, 0, 0)
	if d.fault.Ignore || d.fault.Lie {
		told := d.to
		*d = before
		d.told = told
	}
}

// Reboot implements devicetest.Body.
func (b body) Reboot(mode fleet.Mode, watts unit.Watts) {
	b.site.mu.Lock()
	defer b.site.mu.Unlock()
	t := b.site.now()
	b.site.advanceLocked(t)
	b.device.reboot(t, mode, watts)
}

// reboot begins anew from next to nothing, towards what the firmware has kept.
func (d *device) reboot(t time.Duration, mode fleet.Mode, watts unit.Watts) {
	d.from, d.to, d.mode, d.booted = d.asleep(), d.goal(mode, watts), mode, t
	d.begin = t + paced(d.firmware.ReturnDelay, d.returns)
	d.end = d.begin + paced(d.firmware.ReturnRamp, d.returns)
}
