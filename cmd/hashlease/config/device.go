package config

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/hashlease/hashlease/pool/device"
)

// Device says how machines are reached over their own interfaces.
type Device struct {
	// Credentials is a file with what machines want to know before they obey; only its owner may read it.
	Credentials string   `toml:"credentials"`
	Subnets     []string `toml:"subnets"`    // outside of them nothing is contacted
	PerSubnet   int      `toml:"per_subnet"` // connections to one /24 (IPv6: /64) at a time
	Timeout     Duration `toml:"timeout"`    // for one call to a machine
}

// Socket says how a machine's power is switched. Device, Address and After are for a socket that stands
// behind a machine with an interface of its own.
type Socket struct {
	Device   string   `toml:"device"` // socket-modbus or socket-http
	Address  string   `toml:"address"`
	After    Duration `toml:"after"` // that an order to sleep may go undone; 0: 30s
	Unit     uint8    `toml:"unit"`  // Modbus: of the switch behind the address
	Coil     uint16   `toml:"coil"`  // as on the wire, from 0
	Inverted bool     `toml:"inverted"`
	On       string   `toml:"on"` // HTTP: what to POST to
	Off      string   `toml:"off"`
	State    string   `toml:"state"` // what to GET
	Path     string   `toml:"path"`  // to the state in its JSON
	Is       string   `toml:"is"`    // its text when the socket is on
}

// plain is the socket as its driver takes it.
func (s *Socket) plain() device.Socket {
	return device.Socket{
		Unit: s.Unit, Coil: s.Coil, Inverted: s.Inverted,
		On: s.On, Off: s.Off, State: s.State, Path: s.Path, Is: s.Is,
	}
}

func defaultDevice() Device { return Device{PerSubnet: 8, Timeout: Duration(device.DefaultTimeout)} }

// Bounds of a file with credentials.
const (
	maxLogins    = 1 << 20 // bytes
	maxLoginText = 200     // bytes of a user or a password
)

// Gate is what machines are dialled through.
func (d *Device) Gate() (*device.Gate, error) {
	allow := make([]netip.Prefix, 0, len(d.Subnets))
	for i, s := range d.Subnets {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("subnets: entry %d, %q: 10.0.0.0/16, for example, is accepted", i+1, s)
		}
		allow = append(allow, p)
	}
	gate, err := device.NewGate(allow, d.PerSubnet)
	if err != nil {
		return nil, fmt.Errorf("per_subnet: %w", err)
	}
	return gate, nil
}

// Logins are the entries of the credentials file, by name. What is wrong with the file is said without a
// word of what it holds.
func (c *Config) Logins() (map[string]device.Login, error) {
	if c.Device.Credentials == "" {
		return nil, nil
	}
	path := c.Path(c.Device.Credentials)
	text, err := readPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("device.credentials: %w", err)
	}
	var entries map[string]struct {
		User     string `toml:"user"`
		Password string `toml:"password"`
	}
	md, err := toml.Decode(text, &entries)
	if err != nil {
		where := ""
		if at, ok := errors.AsType[toml.ParseError](err); ok {
			where = fmt.Sprintf(":%d", at.Position.Line)
		}
		return nil, fmt.Errorf("device.credentials: %s%s: not what is accepted: [NAME] with "+
			"user = \"...\" and password = \"...\" below it", path, where)
	}
	var faults []error
	fault := func(name, what string) {
		faults = append(faults, fmt.Errorf("device.credentials: %s: entry %q: %s", path, name, what))
	}
	for _, key := range md.Undecoded() {
		fault(key[0], "it has a key other than user and password")
	}
	logins := make(map[string]device.Login, len(entries))
	for name, e := range entries {
		if len(e.User) > maxLoginText || len(e.Password) > maxLoginText {
			fault(name, fmt.Sprintf("user and password of at most %d bytes are accepted", maxLoginText))
		}
		logins[name] = device.Login{User: e.User, Password: e.Password}
	}
	return logins, errors.Join(faults...)
}

// readPrivate reads a file that only its owner may read.
func readPrivate(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if mode := info.Mode(); !mode.IsRegular() || mode.Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s has mode %v: a file that only its owner may read is accepted: chmod 600 %s",
			path, mode, path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxLogins+1))
	if err == nil && len(b) > maxLogins {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxLogins)
	}
	return string(b), err
}

// loginOf is what a worker's machine is told: its entry, else the one that has its kind's name, else none.
func (w *Worker) loginOf(logins map[string]device.Login) (device.Login, error) {
	if w.Login == "" {
		return logins[w.Device], nil
	}
	l, ok := logins[w.Login]
	if !ok {
		return l, fmt.Errorf("worker %q: login: %q is no entry of device.credentials", w.ID, w.Login)
	}
	return l, nil
}

// Machine is one worker's own interface.
type Machine struct {
	Kind   string
	Config device.Config
	// Ordered is false of a switched socket that is not armed: it is only read.
	Ordered bool
	Cutoff  *Cutoff // nil: there is none
}

// Cutoff is a switched socket behind a machine: its last actuator.
type Cutoff struct {
	Kind   string
	Config device.Config
	Armed  bool
	After  time.Duration
}

// Machines are the workers that have interfaces of their own, in order of c.Workers; the others are nil. The
// credentials file is read.
func (c *Config) Machines() ([]*Machine, error) {
	gate, err := c.Device.Gate()
	if err != nil {
		return nil, fmt.Errorf("device.%w", err)
	}
	logins, err := c.Logins()
	if err != nil {
		return nil, err
	}
	out := make([]*Machine, len(c.Workers))
	var faults []error
	for i := range c.Workers {
		w := &c.Workers[i]
		if w.Device == "" {
			continue
		}
		login, err := w.loginOf(logins)
		faults = append(faults, err)
		m, err := w.machine(gate, time.Duration(c.Device.Timeout))
		faults = append(faults, err)
		m.Config.Login = login
		if m.Cutoff != nil {
			m.Cutoff.Config.Login = logins[m.Cutoff.Kind]
		}
		out[i] = m
	}
	return out, errors.Join(faults...)
}

// machine is the worker's own interface without its credentials.
func (w *Worker) machine(gate *device.Gate, timeout time.Duration) (*Machine, error) {
	fw, err := w.fleet()
	m := &Machine{
		Kind: w.Device, Ordered: !w.isSocket() || w.Cut,
		Config: device.Config{
			Address: w.Address, Gate: gate, Timeout: timeout, Curve: fw.Curve, Sleep: fw.Sleep,
			ShedIn: time.Duration(w.ShedIn), ReturnIn: time.Duration(w.ReturnIn),
		},
	}
	if w.Socket != nil && w.isSocket() {
		m.Config.Socket = w.Socket.plain()
	} else if w.Socket != nil {
		m.Cutoff = &Cutoff{
			Kind: w.Socket.Device, Armed: w.Cut, After: time.Duration(w.Socket.After), Config: m.Config,
		}
		m.Cutoff.Config.Address, m.Cutoff.Config.Socket = w.Socket.Address, w.Socket.plain()
		m.Cutoff.Config.ShedIn, m.Cutoff.Config.ReturnIn = 0, 0
	}
	return m, err
}

// isSocket says that the worker is switched by its socket: a hard cut.
func (w *Worker) isSocket() bool { return isSocket(w.Device) }

func isSocket(kind string) bool {
	return strings.HasPrefix(kind, "socket-") && slices.Contains(device.Kinds(), kind)
}

// devices checks how machines are reached.
func (v *validation) devices(c *Config) {
	gate, err := c.Device.Gate()
	if err != nil {
		v.faultf("device.%w", err)
		gate, _ = device.NewGate(nil, 1) // cannot fail
	}
	if t := time.Duration(c.Device.Timeout); t < 100*time.Millisecond || t > time.Minute {
		v.faultf("device.timeout is %v: 100ms to 1m is accepted", t)
	}
	used := map[string]string{} // worker by the machine or outlet that it is
	for i := range c.Workers {
		w := &c.Workers[i]
		switch {
		case w.Device != "":
			v.device(w, gate, used, err == nil)
		case w.Address != "" || w.Login != "" || w.Cut || w.Socket != nil || w.ShedIn != 0 || w.ReturnIn != 0:
			v.faultf("worker %q: address, login, cut, socket, shed_in and return_in are accepted only "+
				"with device: one of %s", w.ID, strings.Join(device.Kinds(), ", "))
		}
	}
}

// device checks one worker's own interface.
func (v *validation) device(w *Worker, gate *device.Gate, used map[string]string, gated bool) {
	if !slices.Contains(device.Kinds(), w.Device) {
		v.faultf("worker %q: device: %q: one of %s is accepted", w.ID, w.Device,
			strings.Join(device.Kinds(), ", "))
		return
	}
	m, err := w.machine(gate, device.DefaultTimeout)
	if err != nil {
		return // named with the worker
	}
	d, err := device.Open(m.Kind, m.Config)
	if err != nil {
		v.faultf("worker %q: %w", w.ID, err)
		return
	}
	d.Close()
	v.one(w, used)
	if at, ok := addressOf(w.Address); ok && gated && !gate.Allows(at) {
		v.faultf("worker %q: address: %s is in none of device.subnets: nothing outside of them is contacted",
			w.ID, at)
	}
	for name, d := range map[string]Duration{"shed_in": w.ShedIn, "return_in": w.ReturnIn} {
		if d < 0 || time.Duration(d) > time.Hour {
			v.faultf("worker %q: %s: %v: 0 to 1h is accepted", w.ID, name, time.Duration(d))
		}
	}
	v.switched(w, gate, gated)
}

// one checks that no machine and no outlet is another worker's already, however its address is spelled.
func (v *validation) one(w *Worker, used map[string]string) {
	take := func(name, kind, address, rest, what string) {
		at, err := device.Address(kind, address)
		if err != nil {
			return // named with the machine
		}
		if other := used[at+rest]; other != "" {
			v.faultf("worker %q: %s: %s is worker %q already: two would write to one %s",
				w.ID, name, address+rest, other, what)
			return
		}
		used[at+rest] = w.ID
	}
	outlet := func(s *Socket, kind string) string {
		if kind == "socket-modbus" {
			return fmt.Sprintf(" unit %d coil %d", s.Unit, s.Coil)
		}
		return " " + s.Off
	}
	switch s := w.Socket; {
	case s != nil && w.isSocket():
		take("address", w.Device, w.Address, outlet(s, w.Device), "outlet")
	case w.isSocket(): // its socket is missing, which is a fault of its own
	default:
		take("address", w.Device, w.Address, "", "machine")
		if s != nil && isSocket(s.Device) {
			take("socket", s.Device, s.Address, outlet(s, s.Device), "outlet")
		}
	}
}

// switched checks the terms on which a machine's power is cut.
func (v *validation) switched(w *Worker, gate *device.Gate, gated bool) {
	s := w.Socket
	switch {
	case w.Cut && s == nil:
		v.faultf("worker %q: cut needs a socket: how its power is switched", w.ID)
	case w.isSocket() && s == nil:
		v.faultf("worker %q: socket is missing: {unit = 1, coil = 4} or {on = \"/on\", off = \"/off\", ...} "+
			"is accepted", w.ID)
	case s == nil:
		return
	case w.isSocket() && (s.Device != "" || s.Address != "" || s.After != 0):
		v.faultf("worker %q: socket: device, address and after are accepted only behind a machine of "+
			"another kind", w.ID)
	case !w.isSocket():
		v.cutoff(w, gate, gated)
	}
	if w.Cut && w.Wear <= 0 {
		v.faultf("worker %q: cut needs wear_msat above 0: what a hard cut of its power costs", w.ID)
	}
}

// cutoff checks a socket behind a machine.
func (v *validation) cutoff(w *Worker, gate *device.Gate, gated bool) {
	s := w.Socket
	if !isSocket(s.Device) {
		v.faultf("worker %q: socket: device: %q: socket-modbus or socket-http is accepted", w.ID, s.Device)
		return
	}
	if d := time.Duration(s.After); d != 0 && (d < 5*time.Second || d > time.Hour) {
		v.faultf("worker %q: socket: after: %v: 5s to 1h is accepted", w.ID, d)
	}
	m, _ := w.machine(gate, device.DefaultTimeout) // its faults are named with the machine
	if d, err := device.Open(m.Cutoff.Kind, m.Cutoff.Config); err != nil {
		v.faultf("worker %q: socket: %w", w.ID, err)
	} else {
		d.Close()
	}
	if at, ok := addressOf(s.Address); ok && gated && !gate.Allows(at) {
		v.faultf("worker %q: socket: address: %s is in none of device.subnets", w.ID, at)
	}
}

// addressOf is the IP address that a machine is given by, if it is given by one.
func addressOf(text string) (netip.Addr, bool) {
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at.Addr(), true
	}
	at, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return at, err == nil
}
