package vendors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool/device/devicetest"
	"github.com/hashlease/hashlease/pool/fleet"
)

// Interface is what one machine is served as.
type Interface struct {
	Kind     string `json:"kind"` // as the server's configuration names its driver
	Model    string `json:"model"`
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"` // the factory's
	// Addresses are where it listens; the first is the one that the driver speaks to.
	Addresses []string `json:"addresses"`
	WellKnown bool     `json:"well_known"` // at the ports that the vendor uses
}

// door is one port of a machine.
type door struct {
	port  int
	serve func(net.Listener)
}

// kind is how machines of one interface are made: the first door is the driver's.
type kind struct {
	name, model, spelled, version string
	user, password                string
	doors                         func(m *devicetest.Machine) []door
}

// web serves a handler at a port until its listener is closed.
func web(port int, h http.Handler) door {
	return door{port, func(ln net.Listener) {
		s := &http.Server{
			Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
			ErrorLog: log.New(io.Discard, "", 0),
		}
		_ = s.Serve(ln) // ends with the listener
		_ = s.Close()
	}}
}

// kinds are all interfaces there are, with the passwords that machines leave the factory with.
var kinds = []kind{
	{"antminer", "Antminer S21", "Antminer S21", "49.0.1.3", "root", "root", antminer},
	{"avalon", "Avalon A1566", "Avalon A1566", "1566-24102401_25462b2", "", "", avalon},
	{"axeos", "Bitaxe Gamma", "Gamma", "2.14.0", "", "", axeOS},
	{"braiins", "Antminer S19k Pro", "Antminer S19k Pro", "26.04", "root", "root", braiins},
	{"cgminer", "Antminer S19 XP", "Antminer S19 XP", "4.12.1", "", "", cgMiner},
	{"epic", "Antminer S19j Pro", "ANTMINER S19J PRO", "PowerPlay-BM v1.30.0", "", "letmein", epic},
	{"luxos", "Antminer S19 XP", "Antminer S19 XP", "2026.6", "", "", luxOS},
	{"vnish", "Antminer S19 XP", "Antminer S19 XP", "1.2.6", "", "admin", vnish},
	{"whatsminer-v2", "WhatsMiner M50S", "M50S_VH30", "20230911.12.REL", "", "admin", whatsMinerV2},
	{"whatsminer-v3", "WhatsMiner M60S", "M60S_VK40", "20240523.15.REL", "super", "super", whatsMinerV3},
}

func antminer(m *devicetest.Machine) []door {
	a := &devicetest.Antminer{Machine: m, User: "root", Password: "root"}
	return []door{web(80, a), {4028, a.ServeAPI}}
}

func avalon(m *devicetest.Machine) []door {
	return []door{{4028, (&devicetest.Avalon{Machine: m}).Serve}}
}

func axeOS(m *devicetest.Machine) []door {
	return []door{web(80, &devicetest.AxeOS{Machine: m, Clock: 525})}
}

func braiins(m *devicetest.Machine) []door {
	return []door{web(80, &devicetest.Braiins{Machine: m, User: "root", Password: "root"})}
}

func cgMiner(m *devicetest.Machine) []door {
	return []door{{4028, (&devicetest.CGMiner{Machine: m}).Serve}}
}

// epic has its dashboard on the web's port, and its interface on cgminer's.
func epic(m *devicetest.Machine) []door {
	e := &devicetest.EPIC{Machine: m, Password: "letmein"}
	return []door{web(4028, e), web(80, e)}
}

func luxOS(m *devicetest.Machine) []door {
	return []door{{4028, (&devicetest.LuxOS{Machine: m}).Serve}}
}

func vnish(m *devicetest.Machine) []door {
	return []door{web(80, &devicetest.VNish{Machine: m, Password: "admin"})}
}

func whatsMinerV2(m *devicetest.Machine) []door {
	return []door{{4028, (&devicetest.WhatsMinerV2{Machine: m, Password: "admin"}).Serve}}
}

// whatsMinerV3 goes on answering the older interface, too.
func whatsMinerV3(m *devicetest.Machine) []door {
	v3 := &devicetest.WhatsMinerV3{Machine: m, User: "super", Password: "super", Fast: true}
	return append([]door{{4433, v3.Serve}}, whatsMinerV2(m)...)
}

// Served are machines that answer until they are closed.
type Served struct {
	Interfaces []Interface

	listeners []net.Listener
	wg        sync.WaitGroup
}

// Serve has one machine of every interface answer, the n-th at the n-th address after first: at its vendor's
// ports where this process may bind them, otherwise at any.
func Serve(ctx context.Context, first netip.Addr) (*Served, error) {
	s := &Served{}
	at := first
	for i := range kinds {
		if !at.IsLoopback() {
			return nil, errors.Join(
				fmt.Errorf("%v is not a loopback address: machines listen on 127.0.0.0/8", at), s.Close())
		}
		if err := s.add(ctx, i, at); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		at = at.Next()
	}
	return s, nil
}

// add serves a machine of the i-th kind.
func (s *Served) add(ctx context.Context, i int, at netip.Addr) error {
	k := &kinds[i]
	model, known := fleet.ModelNamed(k.model)
	if !known {
		return fmt.Errorf("the table of models has no %q", k.model)
	}
	m := devicetest.NewMachine(devicetest.Facts{
		Model: k.spelled, Version: k.version, Serial: fmt.Sprintf("SIM%06d", i+1),
		MAC: fmt.Sprintf("02:00:00:00:01:%02x", i+1), Host: k.name,
	}, &devicetest.Rig{
		Curve: model.Curve(9), Sleep: model.Sleep, ShedIn: time.Second, ReturnIn: 2 * time.Second,
	}, devicetest.Pool{URL: "stratum+tcp://pool.example:3333", User: "account." + k.name, Password: "x"})
	out := Interface{Kind: k.name, Model: k.model, User: k.user, Password: k.password, WellKnown: true}
	for _, d := range k.doors(m) {
		ln, err := listen(ctx, at, d.port)
		if err != nil {
			ln, err = listen(ctx, at, 0)
			out.WellKnown = false
		}
		if err != nil {
			return fmt.Errorf("listening for %s: %w", k.name, err)
		}
		s.listeners = append(s.listeners, ln)
		out.Addresses = append(out.Addresses, ln.Addr().String())
		s.wg.Go(func() { d.serve(ln) }) // ends with its listener
	}
	s.Interfaces = append(s.Interfaces, out)
	return nil
}

func listen(ctx context.Context, at netip.Addr, port int) (net.Listener, error) {
	var c net.ListenConfig
	return c.Listen(ctx, "tcp", netip.AddrPortFrom(at, uint16(port)).String())
}

// Close ends all and waits for them.
func (s *Served) Close() error {
	var errs []error
	for _, ln := range s.listeners {
		errs = append(errs, ln.Close())
	}
	s.wg.Wait()
	return errors.Join(errs...)
}
