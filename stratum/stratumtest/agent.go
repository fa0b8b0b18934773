package stratumtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/sv2"
)

var errNoPower = errors.New("pool does not speak the power extension")

// AgentConfig describes an agent. All but the backoffs are needed.
type AgentConfig struct {
	Pool     func() Endpoint // asked before each connection
	Site     string          // the agent's own name for what it controls
	Identity string          // account.worker that the pool knows it as
	Power    PowerDevice     // the site as one machine
	// After a connection is lost the wait doubles from MinBackoff to MaxBackoff; 0 is 250 ms and 5 s.
	MinBackoff, MaxBackoff time.Duration
}

// Agent stands beside the machines of a site and sets their power on the pool's order, over a connection
// without a channel. Like a Miner's device, the site keeps its orders over connections.
type Agent struct {
	cfg      AgentConfig // immutable
	power    *obedience
	sessions atomic.Uint64 // hellos that were accepted

	redirect *Endpoint // owned by Run: from Reconnect, for the next connection only
}

// NewAgent returns an agent that does nothing until Run.
func NewAgent(cfg AgentConfig) *Agent {
	if cfg.MinBackoff <= 0 {
		cfg.MinBackoff = 250 * time.Millisecond
	}
	if cfg.MaxBackoff < cfg.MinBackoff {
		cfg.MaxBackoff = max(cfg.MinBackoff, 5*time.Second)
	}
	return &Agent{cfg: cfg, power: &obedience{device: cfg.Power}}
}

// Sessions is how often the pool has accepted the agent.
func (a *Agent) Sessions() uint64 { return a.sessions.Load() }

// Command is the newest command that was followed, zero before the first.
func (a *Agent) Command() sv2.PowerCommand { return a.power.command() }

// Run serves the pool until the context ends, across any number of connections.
func (a *Agent) Run(ctx context.Context) error {
	defer a.power.stop()
	backoff := a.cfg.MinBackoff
	for {
		before := a.sessions.Load()
		_ = a.connect(ctx) // whatever it was, the answer is to come back
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if a.sessions.Load() > before {
			backoff = a.cfg.MinBackoff
		}
		if sleep(ctx, backoff/2+rand.N(backoff/2+1)) != nil {
			return ctx.Err()
		}
		backoff = min(2*backoff, a.cfg.MaxBackoff)
	}
}

// connect serves one connection to its end.
func (a *Agent) connect(ctx context.Context) error {
	pool := a.cfg.Pool()
	if a.redirect != nil {
		pool.Address, a.redirect = a.redirect.Address, nil
	}
	if pool.Address == "" {
		return errNoPool
	}
	conn, err := dial(ctx, pool)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer func() { _ = conn.Close() }()
	err = a.serve(conn)
	if r := (*redirection)(nil); errors.As(err, &r) {
		a.redirect = r.endpoint(pool)
	}
	return err
}

// serve negotiates on a connection, says hello and obeys until it ends.
func (a *Agent) serve(conn *noise.Conn) error {
	l := &agentLink{agent: a, wire: wire{conn: conn}}
	l.reporter = reporter{power: a.power, tell: func(r sv2.PowerReading) {
		l.send(sv2.SitePowerReport{Site: a.cfg.Site, PowerReading: r})
	}}
	defer l.reporter.stop()
	host, port := splitAddress(conn.RemoteAddr().String())
	l.send(sv2.SetupConnection{
		Protocol: sv2.ProtocolMining, MinVersion: sv2.Version, MaxVersion: sv2.Version,
		Host: host, Port: port, Vendor: "hashlease", HardwareVersion: "agent",
	})
	var buf [1024]byte
	for {
		raw, payload, err := conn.ReadFrame(buf[:], limitFrame)
		if err != nil {
			return err
		}
		msg, err := sv2.Decode(sv2.ParseHeader(raw), payload)
		if errors.Is(err, sv2.ErrUnknown) {
			continue
		}
		if err != nil {
			return err
		}
		if err := l.handle(msg); err != nil {
			return err
		}
	}
}

// agentLink is one connection of an agent.
type agentLink struct {
	wire
	agent    *Agent
	reporter reporter

	// owned by the reader
	settled bool
	deadMan time.Duration
}

func (l *agentLink) handle(msg sv2.Message) error {
	a := l.agent
	switch msg := msg.(type) {
	case sv2.SetupConnectionSuccess:
		l.send(sv2.RequestExtensions{RequestID: 1, Requested: []uint16{sv2.ExtPower}})
	case sv2.SetupConnectionError:
		return fmt.Errorf("pool refuses the connection: %q", msg.Code)
	case sv2.RequestExtensionsSuccess:
		if !slices.Contains(msg.Supported, sv2.ExtPower) {
			return errNoPower
		}
		l.send(sv2.SitePowerHello{
			Site: a.cfg.Site, UserIdentity: a.cfg.Identity, PowerOffer: a.cfg.Power.Describe().offer(),
		})
	case sv2.RequestExtensionsError:
		return errNoPower
	case sv2.SitePowerHelloError:
		return fmt.Errorf("pool refuses the agent: %q", msg.Code)
	case sv2.SitePowerHelloAck:
		if msg.Site == a.cfg.Site {
			_ = l.conn.SetReadDeadline(time.Time{}) // from here on silence is no fault
			l.settled, l.deadMan = true, msg.DeadMan.Duration()
			a.sessions.Add(1)
			l.reporter.start(msg.ReportPeriod.Duration())
		}
	case sv2.SetSitePowerTarget:
		l.obey(msg)
	case sv2.Reconnect:
		return &redirection{msg.Host, msg.Port}
	}
	return nil
}

// obey follows an order for the site and answers it.
func (l *agentLink) obey(msg sv2.SetSitePowerTarget) {
	if msg.Site != l.agent.cfg.Site {
		return
	}
	answer, code, silent := l.agent.power.obey(msg.PowerTarget, l.settled, l.deadMan)
	switch {
	case silent:
	case code != "":
		l.send(sv2.SetSitePowerTargetError{Site: msg.Site, Command: msg.Command, Code: code})
	default:
		l.send(sv2.SetSitePowerTargetSuccess{Site: msg.Site, PowerAnswer: answer})
	}
}
