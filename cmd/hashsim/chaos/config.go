package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"syscall"
	"time"

	"github.com/hashlease/hashlease/stratum/noise"
)

// Config says what to do to whom.
type Config struct {
	Pool      string           // address of a pool that runs already; empty: start one for each phase
	Authority *noise.PublicKey // of that pool, nil: any
	PID       int              // of that pool, to read its CPU time and memory; 0: they are not known
	// Spawn makes the command that runs load.Target with its journals in dir. Needed without Pool.
	Spawn func(ctx context.Context, dir string) *exec.Cmd
	// SpawnHorde makes the command that runs Horde with this configuration.
	SpawnHorde func(ctx context.Context, cfg HordeConfig) *exec.Cmd
	Nice       int    // of the others' process in both phases: 0 is the server's own, 19 the lowest
	Dir        string // for journals

	Honest  int           // miners
	Hostile int           // peers that misbehave; as many are idle in the control
	Rate    int           // frames a second of each peer that floods
	For     time.Duration // how long each phase is measured

	Progress io.Writer // a line for each step; nil: silence
}

// DefaultConfig is a thousand of each.
func DefaultConfig() Config {
	return Config{Honest: 1000, Hostile: 1000, Rate: 200, For: 20 * time.Second}
}

const maxPeers = 12_000 // of either sort: ports of one address

// Validate lists every fault.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Honest >= 1 && c.Honest <= maxPeers, "honest is %d: 1 to %d is accepted", c.Honest, maxPeers)
	check(c.Hostile >= 1 && c.Hostile <= maxPeers, "hostile is %d: 1 to %d is accepted", c.Hostile, maxPeers)
	check(c.Rate >= 1 && c.Rate <= 100_000, "rate is %d: 1 to 100000 is accepted", c.Rate)
	check(c.For >= time.Second && c.For <= time.Hour, "for is %v: 1s to 1h is accepted", c.For)
	check(c.Pool == "" || loopback(c.Pool),
		"pool %q: HOST:PORT of this machine is accepted, as chaos is for nobody else's pool", c.Pool)
	check(c.Nice >= 0 && c.Nice <= 19, "nice is %d: 0 to 19 is accepted", c.Nice)
	check(c.Pool != "" || c.PID == 0, "pid is %d without a pool", c.PID)
	return errors.Join(errs...)
}

// loopback reports whether an address is on this machine without a look at the network.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// descriptors raises the limit of open files as far as it goes and checks that it is enough.
func descriptors(need uint64) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("reading the limit of open files: %w", err)
	}
	if l.Cur < l.Max {
		l.Cur = l.Max
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
			return fmt.Errorf("raising the limit of open files: %w", err)
		}
	}
	if l.Cur < need {
		return fmt.Errorf("%d open files are needed, %d are allowed: raise the hard limit (ulimit -Hn) "+
			"or lower --honest and --hostile", need, l.Cur)
	}
	return nil
}
