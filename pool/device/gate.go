package device

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
)

// ErrOutside says that an address is in none of the subnets that may be contacted.
var ErrOutside = errors.New("outside the subnets that may be contacted")

// subnetBits is how much of an address names its subnet, of IPv4 and IPv6: a rack row's switch.
const (
	subnetBits4 = 24
	subnetBits6 = 64
)

// MaxPerSubnet bounds Gate's connections to one subnet.
const MaxPerSubnet = 256

// Gate is what all drivers dial through. It contacts nothing outside its subnets, and holds few
// connections to one subnet at a time, because switches and control boards at sites are small.
type Gate struct {
	allow []netip.Prefix
	most  int // connections to one subnet
	dial  func(ctx context.Context, network, address string) (net.Conn, error)

	mu    sync.Mutex
	slots map[netip.Prefix]chan struct{} // guarded by mu; one a subnet dialled
}

// NewGate makes a gate to the subnets, with at most perSubnet connections to each /24 (IPv6: /64) of them.
func NewGate(allow []netip.Prefix, perSubnet int) (*Gate, error) {
	if perSubnet < 1 || perSubnet > MaxPerSubnet {
		return nil, fmt.Errorf("connections to one subnet: %d: 1 to %d is accepted", perSubnet, MaxPerSubnet)
	}
	for _, p := range allow {
		if !p.IsValid() {
			return nil, fmt.Errorf("subnet %q: 10.0.0.0/16, for example, is accepted", p)
		}
	}
	return &Gate{
		allow: allow, most: perSubnet, dial: (&net.Dialer{}).DialContext,
		slots: map[netip.Prefix]chan struct{}{},
	}, nil
}

// Allows says whether an address may be contacted.
func (g *Gate) Allows(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range g.allow {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// DialContext connects to a host and port, waiting for a place in its subnet as long as ctx lasts. The place
// is given back when the connection is closed.
func (g *Gate) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	at, err := g.resolve(ctx, address)
	if err != nil {
		return nil, err
	}
	slots := g.subnet(at.Addr())
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for one of %d places in its subnet: %w", g.most, ctx.Err())
	}
	conn, err := g.dial(ctx, network, at.String())
	if err != nil {
		<-slots
		return nil, fmt.Errorf("dialling a machine: %w", err)
	}
	return &gated{Conn: conn, slots: slots}, nil
}

// resolve is the first address of a host that may be contacted. What is checked is what is dialled.
func (g *Gate) resolve(ctx context.Context, address string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("address %q: host:port is accepted: %w", address, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("address %q: a port of 1 to 65535 is accepted", address)
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("looking for a machine: %w", err)
	}
	for _, a := range found {
		if g.Allows(a) {
			return netip.AddrPortFrom(a.Unmap(), uint16(n)), nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf("%s: %w", host, ErrOutside)
}

func (g *Gate) subnet(a netip.Addr) chan struct{} {
	bits := subnetBits6
	if a.Is4() {
		bits = subnetBits4
	}
	p, _ := a.Prefix(bits) // cannot fail: bits fit the family
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.slots[p]
	if s == nil {
		s = make(chan struct{}, g.most)
		g.slots[p] = s
	}
	return s
}

// gated is a connection that gives its place back once.
type gated struct {
	net.Conn
	slots chan struct{}
	once  sync.Once
}

// Close ends the connection.
func (c *gated) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { <-c.slots })
	return err
}

// withPort is an address with a port, the interface's own if it has none. The same host and port are always
// the same text.
func withPort(address string, port int) (string, error) {
	with := address
	if _, _, err := net.SplitHostPort(with); err != nil {
		with = net.JoinHostPort(strings.Trim(with, "[]"), strconv.Itoa(port))
	}
	host, p, err := net.SplitHostPort(with)
	n, bad := strconv.ParseUint(p, 10, 16)
	if err != nil || bad != nil || n == 0 || host == "" || strings.ContainsAny(host, " /@?#\\\t\r\n") {
		return "", fmt.Errorf("address %q: HOST or HOST:PORT is accepted", address)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		host = a.Unmap().String()
	}
	return net.JoinHostPort(strings.ToLower(host), strconv.FormatUint(n, 10)), nil
}
