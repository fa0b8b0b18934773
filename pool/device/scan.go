package device

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

// Bounds of a scan.
const (
	// MaxScan is how many addresses one scan may visit: a /16 of IPv4.
	MaxScan = 1 << 16
	// MaxScanRate is how many addresses a second a scan may begin.
	MaxScanRate = 1000
	// MaxScanPorts is how many further ports may be asked for.
	MaxScanPorts = 1024

	scanWorkers = 64              // addresses at a time
	scanConnect = time.Second     // for a port to open
	scanAnswer  = 3 * time.Second // for one question to it
)

// ScanConfig says where to look for machines.
type ScanConfig struct {
	Gate      *Gate
	Subnet    netip.Prefix // all of it must be allowed by Gate
	From      netip.Addr   // first address to visit, to go on with a scan that was broken off; zero: all
	Ports     []uint16     // to ask for every kind, besides each interface's own
	PerSecond int          // addresses begun a second, 1 to MaxScanRate
	// Logins are told to machines that say nothing without one, by kind; factory logins if absent.
	Logins map[string]Login
}

// Found is a machine that was found.
type Found struct {
	Address  string // host and port
	Identity Identity
	Sighting fleet.Sighting // zero if it did not say
	Problem  string         // why Identity is only what could be seen without a login; empty: all is well
}

// Progress is how far a scan is.
type Progress struct {
	Done, Total int
	Next        netip.Addr // every address before it was visited; invalid: all were
	Found       *Found     // a machine, with the step that found it
}

// Scan visits every address of a subnet and tells report, one call at a time, of each step and each
// machine. It ends with ctx, whose error it returns; what was reported until then holds.
func Scan(ctx context.Context, cfg ScanConfig, report func(Progress)) error {
	s, err := newScan(cfg, report)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	todo := make(chan int)
	for range scanWorkers {
		wg.Go(func() { // ends when todo is closed
			for n := range todo {
				s.visit(ctx, n)
			}
		})
	}
	pace := time.NewTicker(time.Second / time.Duration(cfg.PerSecond))
	defer pace.Stop()
	for n := s.first; n < s.total && ctx.Err() == nil; n++ {
		select {
		case <-pace.C:
		case <-ctx.Done():
			continue
		}
		select {
		case todo <- n:
		case <-ctx.Done():
		}
	}
	close(todo)
	wg.Wait()
	return ctx.Err()
}

// Addresses is how many addresses a scan of a subnet visits.
func Addresses(p netip.Prefix) (int, error) {
	if !p.IsValid() {
		return 0, errors.New("a subnet such as 10.0.0.0/24 is accepted")
	}
	bits := p.Addr().BitLen() - p.Bits()
	if bits > 16 {
		return 0, fmt.Errorf("%v has 2^%d addresses: at most %d are accepted at a time", p, bits, MaxScan)
	}
	return 1 << bits, nil
}

// scan is a scan under way.
type scan struct {
	cfg    ScanConfig
	report func(Progress)
	base   netip.Addr
	first  int
	total  int
	own    []uint16 // ports of interfaces, each once

	mu   sync.Mutex
	done map[int]bool // guarded by mu: visited, at or after next
	next int          // guarded by mu: all before it were visited
}

func newScan(cfg ScanConfig, report func(Progress)) (*scan, error) {
	total, err := Addresses(cfg.Subnet)
	if err != nil {
		return nil, err
	}
	if cfg.PerSecond < 1 || cfg.PerSecond > MaxScanRate {
		return nil, fmt.Errorf("%d addresses a second: 1 to %d is accepted", cfg.PerSecond, MaxScanRate)
	}
	if len(cfg.Ports) > MaxScanPorts {
		return nil, fmt.Errorf("%d ports: at most %d are accepted", len(cfg.Ports), MaxScanPorts)
	}
	s := &scan{cfg: cfg, report: report, base: cfg.Subnet.Masked().Addr(), total: total, done: map[int]bool{}}
	if !cfg.Gate.Allows(s.base) || !cfg.Gate.Allows(addrAt(s.base, total-1)) {
		return nil, fmt.Errorf("%v: %w", cfg.Subnet, ErrOutside)
	}
	if cfg.From.IsValid() {
		if !cfg.Subnet.Contains(cfg.From) {
			return nil, fmt.Errorf("%v is not in %v", cfg.From, cfg.Subnet)
		}
		s.first = offset(s.base, cfg.From)
	}
	s.next = s.first
	ports := map[uint16]bool{}
	for _, o := range openers {
		if o.is != nil {
			ports[uint16(o.port)] = true
		}
	}
	s.own = slices.Sorted(maps.Keys(ports))
	return s, nil
}

// addrAt is the n-th address from base on, n below MaxScan.
func addrAt(base netip.Addr, n int) netip.Addr {
	b := base.As16()
	v := (int(b[14])<<8 | int(b[15])) + n
	b[14], b[15] = byte(v>>8), byte(v)
	a := netip.AddrFrom16(b)
	if base.Is4() {
		return a.Unmap()
	}
	return a
}

// offset is addrAt backwards.
func offset(base, a netip.Addr) int {
	x, y := base.As16(), a.As16()
	return (int(y[14])<<8 | int(y[15])) - (int(x[14])<<8 | int(x[15]))
}

// visit looks at all ports of one address.
func (s *scan) visit(ctx context.Context, n int) {
	a := addrAt(s.base, n)
	for _, port := range s.own {
		s.look(ctx, netip.AddrPortFrom(a, port), func(o opener) bool { return o.port == int(port) })
	}
	for _, port := range s.cfg.Ports {
		s.look(ctx, netip.AddrPortFrom(a, port), func(opener) bool { return true })
	}
	if ctx.Err() == nil {
		s.step(n, nil)
	}
}

// step counts a visited address.
func (s *scan) step(n int, f *Found) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f == nil {
		s.done[n] = true
		for s.done[s.next] {
			delete(s.done, s.next)
			s.next++
		}
	}
	p := Progress{Done: s.next + len(s.done) - s.first, Total: s.total - s.first, Found: f}
	if s.next < s.total {
		p.Next = addrAt(s.base, s.next)
	}
	s.report(p)
}

// look asks one port which interface is behind it, if it opens.
func (s *scan) look(ctx context.Context, at netip.AddrPort, fits func(opener) bool) {
	if !s.opens(ctx, at.String()) {
		return
	}
	for _, kind := range Kinds() {
		o := openers[kind]
		if o.is == nil || !fits(o) || ctx.Err() != nil {
			continue
		}
		cfg := Config{
			Address: at.String(), Gate: s.cfg.Gate, Timeout: scanAnswer, Now: time.Now,
			Login: s.cfg.Logins[kind],
		}
		asked, cancel := context.WithTimeout(ctx, scanAnswer)
		is := o.is(asked, cfg)
		cancel()
		if is {
			s.step(0, s.meet(ctx, kind, cfg))
			return
		}
	}
}

func (s *scan) opens(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, scanConnect)
	defer cancel()
	conn, err := s.cfg.Gate.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// meet asks a machine of a known kind who it is and what it does.
func (s *scan) meet(ctx context.Context, kind string, cfg Config) *Found {
	f := &Found{Address: cfg.Address, Identity: Identity{Kind: kind}}
	d, err := Open(kind, cfg)
	if err != nil {
		f.Problem = err.Error()
		return f
	}
	defer d.Close()
	id, err := d.Identify(ctx)
	if err == nil {
		f.Identity = id
		f.Sighting, err = d.Probe(ctx)
	}
	if err != nil {
		f.Problem = err.Error()
	}
	return f
}

// ParsePorts reads ports and ranges of them: 80, 8080-8090.
func ParsePorts(all []string) ([]uint16, error) {
	var ports []uint16
	for _, text := range all {
		from, to, err := parseRange(text)
		if err != nil || len(ports)+int(to)-int(from) >= MaxScanPorts {
			return nil, fmt.Errorf(
				"port %q: 1 to 65535 or a range such as 8000-8010, at most %d in all, is accepted",
				text, MaxScanPorts)
		}
		for p := int(from); p <= int(to); p++ {
			ports = append(ports, uint16(p))
		}
	}
	return ports, nil
}

func parseRange(text string) (from, to uint16, err error) {
	low, high, ok := strings.Cut(text, "-")
	if !ok {
		high = low
	}
	a, err := strconv.ParseUint(low, 10, 16)
	if err != nil {
		return 0, 0, err
	}
	b, err := strconv.ParseUint(high, 10, 16)
	if err != nil || a < 1 || b < a {
		return 0, 0, strconv.ErrRange
	}
	return uint16(a), uint16(b), nil
}
