package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

func init() { openers["cgminer"] = opener{port: 4028, open: openCGMiner, is: isCGMiner} }

// cgAPI is the TCP half of drivers of cgminer's family: one question a connection, as JSON. The machine
// closes the connection behind its answer, or puts a zero byte there, or does neither.
type cgAPI struct {
	address string
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

func newCGAPI(cfg Config) cgAPI { return cgAPI{address: cfg.Address, dial: cfg.Gate.DialContext} }

// errSilent says that a machine hung up without a word.
var errSilent = fmt.Errorf("%w: it hung up without a word", ErrAnswer)

// exchange sends a request and reads one JSON object.
func (c *cgAPI) exchange(ctx context.Context, request []byte) ([]byte, error) {
	conn, err := c.dial(ctx, "tcp", c.address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Write(request); err != nil {
		return nil, fmt.Errorf("asking the machine: %w", err)
	}
	return readObject(conn)
}

// readObject reads up to the end of a JSON object, a zero byte or the end of the stream. Whether it is JSON
// is for the decoder to say.
func readObject(r io.Reader) ([]byte, error) {
	var b []byte
	var end objectEnd
	chunk := make([]byte, 4096)
	for {
		n, err := r.Read(chunk)
		for i, c := range chunk[:n] {
			if c == 0 {
				return append(b, chunk[:i]...), nil
			}
			if end.at(c) {
				return append(b, chunk[:i+1]...), nil
			}
		}
		b = append(b, chunk[:n]...)
		ended := errors.Is(err, io.EOF)
		switch {
		case len(b) > MaxAnswer:
			return nil, fmt.Errorf("%w: more than %d bytes", ErrAnswer, MaxAnswer)
		case ended && len(b) == 0:
			return nil, errSilent
		case ended:
			return b, nil
		case err != nil:
			return nil, fmt.Errorf("reading the machine's answer: %w", err)
		}
	}
}

// objectEnd finds where a JSON object ends.
type objectEnd struct {
	depth           int
	text, backslash bool
}

// at takes the next byte and says whether it ends the object.
func (o *objectEnd) at(c byte) bool {
	switch {
	case o.backslash:
		o.backslash = false
	case o.text:
		o.text, o.backslash = c != '"', c == '\\'
	case c == '"':
		o.text = true
	case c == '{' || c == '[':
		o.depth++
	case c == '}' || c == ']':
		o.depth--
		return o.depth <= 0
	}
	return false
}

// ask makes one request and reads the answer into out, if that is wanted. A refusal is an error.
func (c *cgAPI) ask(ctx context.Context, command, parameter string, out any) error {
	_, err := c.tell(ctx, command, parameter, out)
	return err
}

// cgSaid is the status of an answer.
type cgSaid struct {
	Status string `json:"STATUS"`
	Msg    string `json:"Msg"`
	When   int64  `json:"When"` // by the machine's clock
}

// tell is ask, for whom the status matters.
func (c *cgAPI) tell(ctx context.Context, command, parameter string, out any) (cgSaid, error) {
	request := map[string]string{"command": command}
	if parameter != "" {
		request["parameter"] = parameter
	}
	send, err := json.Marshal(request)
	if err != nil {
		return cgSaid{}, fmt.Errorf("writing a request: %w", err)
	}
	// Behind the newline others, HTTP servers for one, know that this is all.
	b, err := c.exchange(ctx, append(send, '\n'))
	if err != nil {
		return cgSaid{}, fmt.Errorf("%s: %w", command, err)
	}
	said, err := cgStatus(b)
	if err != nil {
		return said, fmt.Errorf("%s: %w", command, err)
	}
	if out == nil {
		return said, nil
	}
	return said, decodeAnswer(b, out)
}

// cgStatus is what the status of an answer means: S, I and W are good, E and F are refusals.
func cgStatus(b []byte) (cgSaid, error) {
	var reply struct {
		Status []cgSaid `json:"STATUS"`
	}
	if err := decodeAnswer(b, &reply); err != nil {
		return cgSaid{}, err
	}
	if len(reply.Status) == 0 {
		return cgSaid{}, fmt.Errorf("%w: no STATUS", ErrAnswer)
	}
	switch s := reply.Status[0]; s.Status {
	case "S", "I", "W":
		return s, nil
	case "E", "F":
		return s, fmt.Errorf("%w: %s", ErrRefused, quote(s.Msg))
	default:
		return s, fmt.Errorf("%w: status is none of S, I, W, E and F: %s", ErrAnswer, quote(s.Status))
	}
}

// cgPools is what the command pools answers, as far as it is used.
type cgPools struct {
	Pools []cgPool `json:"POOLS"`
}

type cgPool struct {
	URL      string `json:"URL"`
	User     string `json:"User"`
	Status   string `json:"Status"` // Alive, Dead, Disabled, Rejecting, Unknown
	Priority number `json:"Priority"`
	Active   bool   `json:"Stratum Active"`
}

// facts tells the active pool: of those with a live Stratum connection the first in order. Some firmwares
// keep connections to backups, too.
func (p *cgPools) facts() (f slowFacts) {
	active := -1
	for n, pool := range p.Pools {
		if pool.Active && pool.Status != "Dead" && (active < 0 || pool.Priority < p.Pools[active].Priority) {
			active = n
		}
	}
	if active < 0 {
		active = p.next()
	}
	for n, pool := range p.Pools {
		f.addPool(pool.URL, pool.User, n == active, pool.Status != "Disabled")
	}
	return f
}

// next is where a machine that has no connection, as asleep, mines when it wakes; -1: nowhere.
func (p *cgPools) next() int {
	next := -1
	for n, pool := range p.Pools {
		if pool.Status != "Disabled" && (next < 0 || pool.Priority < p.Pools[next].Priority) {
			next = n
		}
	}
	return next
}

// cgSummary is what the command summary answers, as far as it is used.
type cgSummary struct {
	Summary []struct {
		Elapsed number `json:"Elapsed"`
		GHS     number `json:"GHS 5s"`
		MHS     number `json:"MHS 5s"`
		GHSav   number `json:"GHS av"`
		MHSav   number `json:"MHS av"`
	} `json:"SUMMARY"`
}

// hashrate is the newest that is said, and how long the software runs.
func (s *cgSummary) hashrate() (h, average unit.Hashrate, up time.Duration) {
	if len(s.Summary) == 0 {
		return 0, 0, 0
	}
	n := &s.Summary[0]
	h = unit.Hashrate(max(n.GHS*1e9, n.MHS*1e6))
	return h, unit.Hashrate(max(n.GHSav*1e9, n.MHSav*1e6)), seconds(int64(min(max(n.Elapsed, 0), 1<<32)))
}

// cgVersion is what the command version answers, as far as it is used. Forks add names of their own.
type cgVersion struct {
	Version []struct {
		CGMiner  string `json:"CGMiner"`
		BMMiner  string `json:"BMMiner"`
		Miner    string `json:"Miner"`
		LUXminer string `json:"LUXminer"`
		BOSminer string `json:"BOSminer"`
		Type     string `json:"Type"`
		Product  string `json:"PROD"`
		Model    string `json:"MODEL"`
		MAC      string `json:"MAC"`
		DNA      string `json:"DNA"`
		Control  string `json:"CGVERSION"`
		Logic    string `json:"LVERSION"`
		Build    string `json:"VERSION"`
	} `json:"VERSION"`
}

// cgminer is the interface of cgminer and its forks as its API-README describes it, for firmwares without
// a driver of their own. It knows no watts and is only read.
type cgminer struct {
	api   cgAPI
	cfg   Config
	slow  slowFacts // faults and temperature alone
	every time.Time // of slow
}

func openCGMiner(cfg Config) (Driver, error) {
	return newMachine("cgminer", cfg, &cgminer{api: newCGAPI(cfg), cfg: cfg}), nil
}

// isCGMiner leaves machines to the drivers of their own that they have.
func isCGMiner(ctx context.Context, cfg Config) bool {
	v, err := versionOf(ctx, cfg)
	return err == nil && len(v.Version) > 0 && !v.special()
}

// versionOf asks a machine of cgminer's family for its version.
func versionOf(ctx context.Context, cfg Config) (v cgVersion, err error) {
	api := newCGAPI(cfg)
	err = api.ask(ctx, "version", "", &v)
	return v, err
}

// special says that a driver of another kind is for this machine: Antminers from the S19 on have their
// interface on port 80.
func (v *cgVersion) special() bool {
	n := &v.Version[0]
	for _, model := range []string{"Antminer S19", "Antminer T19", "Antminer S21", "Antminer T21"} {
		if strings.HasPrefix(n.Type, model) {
			return true
		}
	}
	return n.LUXminer != "" || n.BOSminer != "" || v.avalon()
}

// avalon says that the machine is one of Canaan's.
func (v *cgVersion) avalon() bool { return strings.HasPrefix(v.Version[0].Product, "Avalon") }

func (c *cgminer) identify(ctx context.Context) (Identity, error) {
	var v cgVersion
	if err := c.api.ask(ctx, "version", "", &v); err != nil {
		return Identity{}, err
	}
	pools, err := c.pools(ctx)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{Firmware: "cgminer", Workers: pools.workers}
	if len(v.Version) > 0 {
		n := &v.Version[0]
		id.Model, id.MAC, id.Serial = n.Type, macOf(n.MAC), n.DNA
		if id.Model == "" {
			id.Model = n.Product
		}
		switch {
		case n.BMMiner != "":
			id.Firmware = firmware("bmminer", n.BMMiner)
		case n.CGMiner != "":
			id.Firmware = firmware("cgminer", n.CGMiner)
		case n.Miner != "":
			id.Firmware = n.Miner
		}
	}
	return id, nil
}

// macOf writes a MAC with colons and in lower case, however the machine does.
func macOf(s string) string {
	s = strings.ToLower(strings.ReplaceAll(s, "-", ":"))
	if len(s) != 12 || strings.Contains(s, ":") {
		return s
	}
	parts := make([]string, 6)
	for i := range parts {
		parts[i] = s[2*i : 2*i+2]
	}
	return strings.Join(parts, ":")
}

func (c *cgminer) pools(ctx context.Context) (slowFacts, error) {
	var p cgPools
	if err := c.api.ask(ctx, "pools", "", &p); err != nil {
		return slowFacts{}, err
	}
	return p.facts(), nil
}

func (c *cgminer) see(ctx context.Context) (fleet.Sighting, error) {
	var sum cgSummary
	if err := c.api.ask(ctx, "summary", "", &sum); err != nil {
		return fleet.Sighting{}, err
	}
	pools, err := c.pools(ctx)
	if err != nil {
		return fleet.Sighting{}, err
	}
	if c.cfg.Now().Sub(c.every) >= slowEvery {
		if err := c.readDevices(ctx); err != nil {
			return fleet.Sighting{}, err
		}
	}
	h, average, up := sum.hashrate()
	s := fleet.Sighting{
		Hashrate: h, Uptime: up, Pool: pools.pool, Backups: pools.backups,
		Chip: c.slow.chip, Errors: c.slow.errors,
		Activity: fleet.ActivityMining, Wattage: fleet.WattsEstimated, Watts: estimate(c.cfg.Curve, h),
	}
	if len(c.cfg.Curve) == 0 {
		s.Wattage = fleet.WattsUnknown
	}
	if h <= 0 || h < average/2 {
		s.Activity = fleet.ActivityMoving
	}
	return s, nil
}

// readDevices reads how hot and how well its boards are. Forks that do not list them leave that unknown.
func (c *cgminer) readDevices(ctx context.Context) error {
	var d struct {
		Devices []struct {
			ID     number `json:"ID"`
			Name   string `json:"Name"`
			Status string `json:"Status"` // Alive, Sick, Dead, NoStart, Initialising
			Heat   number `json:"Temperature"`
		} `json:"DEVS"`
	}
	if err := c.api.ask(ctx, "devs", "", &d); err != nil && !errors.Is(err, ErrRefused) {
		return err
	}
	c.slow, c.every = slowFacts{}, c.cfg.Now()
	for _, one := range d.Devices {
		c.slow.chip = max(c.slow.chip, degrees(float64(one.Heat)))
		if one.Status != "" && one.Status != "Alive" && len(c.slow.errors) < fleet.MaxErrors {
			c.slow.errors = append(c.slow.errors, fmt.Sprintf("%s %v is %s", one.Name, one.ID, one.Status))
		}
	}
	return nil
}

// estimate is what a curve draws at a hashrate. Who hashes nothing may draw anything: full power is
// assumed.
func estimate(c fleet.Curve, h unit.Hashrate) unit.Watts {
	switch {
	case len(c) == 0:
		return 0
	case h <= 0:
		return c.Full().Watts
	}
	return c.WattsAt(h)
}

func (c *cgminer) set(context.Context, fleet.Setpoint) error {
	return fmt.Errorf("%w: the generic interface is only read", ErrCannot)
}

func (c *cgminer) capability() fleet.Capability {
	var k fleet.Capability
	if len(c.cfg.Curve) > 0 {
		k.Max = c.cfg.Curve.Full().Watts
	}
	return k
}

func (c *cgminer) close() {}
