package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
)

// ChildConfig says how to start a btcd of our own.
type ChildConfig struct {
	Path     string           // the program; BuildBtcd gives one
	Dir      string           // for its files; it must exist, and be this child's alone
	Network  *chaincfg.Params // simnet, regtest, or Signet([]byte{0x51})
	Connect  []string         // peers, as P2P gives them; the child looks for no others
	Address  string           // that blocks made by its own "generate" pay; may be empty
	Loglevel string           // btcd's debuglevel; info if empty
}

const (
	childStart = 30 * time.Second       // longest wait for the first answer
	childStop  = 10 * time.Second       // from SIGINT to SIGKILL
	childProbe = 100 * time.Millisecond // between questions whether it is up
	childPorts = 3                      // attempts to find ports that are still free when it starts
)

// Child is a btcd process on loopback with ports and credentials of its own. It does
// not outlive this process where the system can see to that (Linux).
//
// Its ports stay the same when it is stopped and started again.
type Child struct {
	cfg            ChildConfig // immutable after NewChild
	user, password string      // immutable after NewChild

	// guarded by mu
	mu       sync.Mutex
	rpc, p2p string
	settled  bool          // others may know the ports
	process  *os.Process   // nil while it does not run
	exited   chan struct{} // closed when the process has ended
}

// NewChild checks the configuration. Start starts the process.
func NewChild(cfg ChildConfig) (*Child, error) {
	if cfg.Network == nil || networkFlags(cfg.Network) == nil {
		return nil, errors.New("network: simnet, regtest and Signet([]byte{0x51}) are accepted")
	}
	if info, err := os.Stat(cfg.Dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("directory %q: an existing directory is accepted", cfg.Dir)
	}
	if info, err := os.Stat(cfg.Path); err != nil || info.IsDir() {
		return nil, fmt.Errorf("path %q: the path of a btcd program is accepted", cfg.Path)
	}
	secret := make([]byte, 16)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	c := &Child{cfg: cfg, user: "hashlease", password: hex.EncodeToString(secret)}
	var err error
	if c.rpc, c.p2p, err = freePorts(); err != nil {
		return nil, err
	}
	return c, nil
}

// networkFlags is what btcd is told about its network; nil if a child cannot be on it.
func networkFlags(p *chaincfg.Params) []string {
	switch {
	case p.Net == chaincfg.SimNetParams.Net:
		return []string{"--simnet"}
	case p.Net == chaincfg.RegressionNetParams.Net:
		return []string{"--regtest"}
	case p.Net == Signet([]byte{0x51}).Net:
		return []string{"--signet", "--signetchallenge=51"}
	}
	return nil
}

// Config is how to reach the child.
func (c *Child) Config() Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Config{
		Name: "btcd " + c.rpc, Network: c.cfg.Network, Address: c.rpc, User: c.user, Password: c.password,
	}
}

// P2P is the address for the peers of the child.
func (c *Child) P2P() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.p2p
}

// Start starts the process and waits until it answers.
func (c *Child) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, childStart)
	defer cancel()
	for try := 1; ; try++ {
		exited, err := c.launch()
		if err == nil {
			err = c.ready(ctx, exited)
		}
		if err == nil {
			c.settle()
			return nil
		}
		c.Kill()
		if try == childPorts || ctx.Err() != nil || !c.movePorts() {
			return fmt.Errorf("starting btcd: %w", err)
		}
	}
}

// settle keeps the ports from now on.
func (c *Child) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settled = true
}

// movePorts finds other ports if somebody took ours before the first start.
func (c *Child) movePorts() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.settled || free(c.rpc) && free(c.p2p) {
		return false
	}
	rpc, p2p, err := freePorts()
	if err != nil {
		return false
	}
	c.rpc, c.p2p = rpc, p2p
	return true
}

// launch starts the process and its keeper.
func (c *Child) launch() (<-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process != nil {
		return nil, errors.New("it runs already")
	}
	cmd, err := c.command()
	if err != nil {
		return nil, err
	}
	out, err := os.OpenFile(c.output(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // the process has a copy by then
	cmd.Stdout, cmd.Stderr = out, out
	started := make(chan error, 1)
	exited := make(chan struct{})
	go func() { // ends with the process
		// The system ends the child with the thread that started it: keep that thread.
		runtime.LockOSThread()
		defer close(exited)
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = cmd.Wait() // how it ended is in its output
		c.mu.Lock()
		c.process = nil
		c.mu.Unlock()
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	c.process, c.exited = cmd.Process, exited
	return exited, nil
}

// command writes btcd's configuration, so that the password is in no process list.
func (c *Child) command() (*exec.Cmd, error) {
	conf := filepath.Join(c.cfg.Dir, "btcd.conf")
	text := fmt.Sprintf("[Application Options]\nrpcuser=%s\nrpcpass=%s\n", c.user, c.password)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	level := c.cfg.Loglevel
	if level == "" {
		level = "info"
	}
	args := slices.Concat(networkFlags(c.cfg.Network), []string{
		"--configfile=" + conf, "--datadir=" + filepath.Join(c.cfg.Dir, "data"),
		"--logdir=" + filepath.Join(c.cfg.Dir, "logs"), "--debuglevel=" + level,
		"--notls", "--rpclisten=" + c.rpc, "--listen=" + c.p2p, "--nodnsseed", "--nobanning",
		"--blockmaxweight=3996000", "--nocfilters",
	})
	for _, peer := range c.cfg.Connect {
		args = append(args, "--connect="+peer)
	}
	if c.cfg.Address != "" {
		args = append(args, "--miningaddr="+c.cfg.Address)
	}
	cmd := exec.Command(c.cfg.Path, args...)
	cmd.Dir, cmd.SysProcAttr = c.cfg.Dir, childAttr()
	return cmd, nil
}

// ready waits until the node answers, or says why it never will.
func (c *Child) ready(ctx context.Context, exited <-chan struct{}) error {
	for {
		_, err := c.Call(ctx, "getblockcount")
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("it ended: %s", c.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("no answer: %w: %s", err, c.lastWords())
		case <-time.After(childProbe):
		}
	}
}

func (c *Child) output() string { return filepath.Join(c.cfg.Dir, "output.log") }

// lastWords is the end of what the process wrote.
func (c *Child) lastWords() string {
	text, err := os.ReadFile(c.output())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-maxText):])
}

// Call asks the child anything, on a connection of its own: for demos and tests.
func (c *Child) Call(ctx context.Context, method string, params ...any) (json.RawMessage, error) {
	cfg := c.Config().withDefaults(defaultPollBtcd)
	l, err := dialSocket(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer l.close()
	return l.call(ctx, method, params...)
}

// Stop ends the process: it may finish what it does, but not for long.
func (c *Child) Stop() { c.end(os.Interrupt) }

// Kill ends the process at once, as a power failure would.
func (c *Child) Kill() { c.end(os.Kill) }

func (c *Child) end(sig os.Signal) {
	c.mu.Lock()
	process, exited := c.process, c.exited
	c.mu.Unlock()
	if process == nil {
		return
	}
	if process.Signal(sig) != nil { // Windows knows no interrupt
		_ = process.Kill()
	}
	select {
	case <-exited:
	case <-time.After(childStop):
		_ = process.Kill()
		<-exited
	}
}

// freePorts finds two addresses on loopback that nobody listens on.
func freePorts() (first, second string, err error) {
	for range 1000 {
		a := fmt.Sprintf("127.0.0.1:%d", portsFrom+mathrand.IntN(portsTo-portsFrom))
		if a == first || !free(a) {
			continue
		}
		if first != "" {
			return first, a, nil
		}
		first = a
	}
	return "", "", fmt.Errorf("finding a free port from %d to %d: those tried are taken", portsFrom, portsTo)
}

// The ports of a child are its own while it is stopped too. So they are below those that Linux hands out to
// whoever asks for any (ip_local_port_range, from 32768).
const portsFrom, portsTo = 20_000, 32_000

func free(addr string) bool {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	return l.Close() == nil
}
