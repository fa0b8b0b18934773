package device

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// Errors of drivers, beside those of the network.
var (
	// ErrAnswer says that a machine's answer is not what its interface promises.
	ErrAnswer = errors.New("not an answer of this interface")
	// ErrRefused says that the machine understood and declined.
	ErrRefused = errors.New("the machine refused")
	// ErrLogin says that the machine does not take the credentials.
	ErrLogin = errors.New("the machine refused the credentials")
	// ErrCannot says that the interface has no such command.
	ErrCannot = errors.New("this machine cannot do that")
)

// Driver speaks one vendor's interface to one machine. Its calls may come from several goroutines; it
// makes one call to the machine at a time, because many serve only one. Set repeats harmlessly: an order
// that is in force already is not sent again. A driver never changes pools.
type Driver interface {
	fleet.Actuator
	fleet.Probe
	// Identify asks who the machine is.
	Identify(ctx context.Context) (Identity, error)
	// Close lets go of connections and sessions.
	Close()
}

// Identity is who a machine says that it is. Empty fields were not said.
type Identity struct {
	Kind     string      `json:"kind"`     // of driver, as in Kinds
	Model    string      `json:"model"`    // as fleet's model table spells it where it knows it
	Firmware string      `json:"firmware"` // name and version
	Serial   string      `json:"serial,omitempty"`
	MAC      string      `json:"mac,omitempty"` // lower case with colons
	Host     string      `json:"host,omitempty"`
	Nominal  fleet.Point `json:"nominal"`           // full power by its own word
	Workers  []string    `json:"workers,omitempty"` // names that it uses at its pools, active pool first
}

// firmware is a name with a version, which some machines begin with the name already.
func firmware(name, version string) string {
	if len(version) >= len(name) && strings.EqualFold(version[:len(name)], name) {
		return version
	}
	return strings.TrimSpace(name + " " + version)
}

// Login is what a machine wants to know before it obeys. It does not print.
type Login struct {
	User, Password string
}

// String hides the password.
func (l Login) String() string { return l.User + ":***" }

// GoString hides the password.
func (l Login) GoString() string { return l.String() }

// MarshalText hides the password.
func (l Login) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Config is what a driver is made from.
type Config struct {
	Address string // HOST or HOST:PORT; the interface's own port if there is none
	Login   Login  // the interface's factory login if empty
	Gate    *Gate  // what it dials through; needed
	Timeout time.Duration
	Curve   fleet.Curve // of the machine: what it draws where its interface does not say
	Sleep   unit.Watts  // drawn asleep, likewise
	Socket  Socket      // for switched sockets alone
	// ShedIn and ReturnIn are the times that the owner knows of the machine; 0: what its kind is known for.
	ShedIn, ReturnIn time.Duration
	Now              func() time.Time

	veil *veil // of the machine that Open makes
}

// Socket says how a machine's power is switched.
type Socket struct {
	// A Modbus coil: of which unit, which one as on the wire, and whether 1 cuts, as with a contactor
	// that is closed at rest.
	Unit     uint8
	Coil     uint16
	Inverted bool
	// HTTP: what to POST to switch, what to GET for the state, where the state is in its JSON (names and
	// places with dots between), and its text when the socket is on. On and Off are used as they are,
	// query included.
	On, Off, State string
	Path, Is       string
}

// DefaultTimeout is for one call to a machine.
const DefaultTimeout = 5 * time.Second

// opener makes a driver of one kind; it does not connect.
type opener struct {
	port int // its interface's own
	open func(Config) (Driver, error)
	// is tells the interface from others, without a login and without changing anything; nil: it cannot be
	// told.
	is func(context.Context, Config) bool
}

// openers are all kinds of drivers by name.
var openers = map[string]opener{}

// Kinds lists the kinds of drivers that Open knows.
func Kinds() []string { return slices.Sorted(maps.Keys(openers)) }

// Address is where a driver of a kind finds its machine: an address with a port, spelled in one way.
func Address(kind, address string) (string, error) {
	o, ok := openers[kind]
	if !ok {
		return "", unknownKind(kind)
	}
	return withPort(address, o.port)
}

func unknownKind(kind string) error {
	return fmt.Errorf("kind of machine %q: one of %s is accepted", kind, strings.Join(Kinds(), ", "))
}

// Open makes a driver of a kind. It checks the configuration and does not connect.
func Open(kind string, cfg Config) (Driver, error) {
	o, ok := openers[kind]
	if !ok {
		return nil, unknownKind(kind)
	}
	if cfg.Gate == nil {
		return nil, errors.New("a driver needs a gate: subnets that it may contact")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Timeout < 0 || cfg.Timeout > time.Minute {
		return nil, fmt.Errorf("timeout is %v: above 0, at most 1m is accepted", cfg.Timeout)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	address, err := withPort(cfg.Address, o.port)
	if err != nil {
		return nil, err
	}
	cfg.Address, cfg.veil = address, newVeil(cfg.Login)
	return o.open(cfg)
}
