package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"google.golang.org/grpc"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
	"github.com/hashlease/hashlease/cmd/hashlease/console"
	"github.com/hashlease/hashlease/lease/service"
	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/audit"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/inventory"
	"github.com/hashlease/hashlease/pool/ledger"
	"github.com/hashlease/hashlease/pool/node"
	"github.com/hashlease/hashlease/storage"
	"github.com/hashlease/hashlease/storage/bolt"
	"github.com/hashlease/hashlease/storage/wal"
	"github.com/hashlease/hashlease/stratum"
)

// server is the whole product in one process: every room, opened in order, run together, and
// closed in the opposite order.
type server struct {
	cfg  *config.Config
	log  *slog.Logger
	term storage.Term

	shares  *wal.Journal
	book    *bolt.Journal
	credits *ledger.Shares
	blocks  *ledger.Blocks
	entries *ledger.Entries

	sources   []node.Source // in the order of preference; opened ahead at a take-over
	relay     *node.Relay
	watch     *node.Watch
	feed      *pool.Feed
	assembler *pool.Assembler
	params    *chaincfg.Params

	registry *fleet.Registry
	machines map[pool.WorkerID]*machine // with interfaces of their own
	governor *governor.Governor
	audit    *audit.Log
	leases   *service.Service

	keys    *identities
	runKeys func(context.Context) error
	stratum *stratum.Server
	tls     *tlsFiles
	grpc    *grpc.Server
	console *console.Console
	web     *http.Server

	stratumAt, grpcAt, consoleAt net.Listener
	ports                        []minerPort // further ones
	inventory                    *inventory.Inventory
	certificates                 []*certificateFiles
	giver                        *giver // nil if the system has no such sockets

	takeover *takeover // nil unless another server is waited for
	locked   time.Time // when the journals were open

	closers []func() error // in the order of opening
}

// openServer opens journals, rooms and ports. Nothing runs yet; after an error nothing stays open. With
// a takeover it first prepares what it can and waits until the running server gives up its journals.
func openServer(
	ctx context.Context, cfg *config.Config, log *slog.Logger, t *takeover,
) (_ *server, err error) {
	s := &server{cfg: cfg, log: log, feed: pool.NewFeed(), registry: fleet.NewRegistry(), takeover: t}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if t != nil {
		s.closers = append(s.closers, func() error { return t.heir.close() })
		if err := s.prepareAhead(); err != nil {
			return nil, fmt.Errorf("preparing to take over: %w", err)
		}
	}
	for _, open := range []struct {
		what string
		open func(context.Context) error
	}{
		{"opening the journals", s.openJournals},
		{"opening the ledger", s.openLedger},
		{"reading the inventory", s.openInventory},
		{"preparing the node", s.openNode},
		{"preparing the governor", s.openGovernor},
		{"preparing the lease service", s.openLeases},
		{"preparing the Stratum server", s.openStratum},
		{"preparing the gRPC server", s.openGRPC},
		{"preparing the console", s.openConsole},
		{"opening ports", s.listen},
	} {
		if err := open.open(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", open.what, err)
		}
	}
	return s, nil
}

func (s *server) openJournals(ctx context.Context) error {
	dir := s.cfg.Path(s.cfg.Storage.Dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	err := s.openWhenFree(ctx, dir, func(wait time.Duration) (err error) {
		s.book, err = bolt.Open(filepath.Join(dir, bookFile), bolt.Options{LockWait: wait})
		return err
	})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, s.book.Close)
	if err := adoptShares(ctx, dir, s.log); err != nil {
		return err
	}
	err = s.openWhenFree(ctx, dir, func(wait time.Duration) (err error) {
		s.shares, err = wal.Open(filepath.Join(dir, sharesDir), wal.Options{LockWait: wait})
		return err
	})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, s.shares.Close)
	s.locked = time.Now()
	if err := s.openAudit(); err != nil {
		return err
	}
	s.term, err = s.book.Lead(ctx)
	return err
}

func (s *server) openLedger(ctx context.Context) (err error) {
	if s.credits, err = ledger.NewShares(ctx, s.shares, s.book, ledger.DefaultConfig()); err != nil {
		return err
	}
	if s.blocks, err = ledger.NewBlocks(ctx, s.book); err != nil {
		return err
	}
	s.entries, err = ledger.NewEntries(ctx, s.book)
	return err
}

// openSources makes the nodes, unless a take-over has them already.
func (s *server) openSources() error {
	if s.sources != nil {
		return nil
	}
	configs, err := s.cfg.NodeConfigs()
	if err != nil {
		return err
	}
	for i, c := range configs {
		source, err := newSource(s.cfg.Nodes[i].Kind, c)
		if err != nil {
			return err
		}
		s.sources = append(s.sources, source)
	}
	return nil
}

func (s *server) openNode(context.Context) error {
	err := s.openSources()
	if err != nil {
		return err
	}
	spool := filepath.Join(s.cfg.Path(s.cfg.Storage.Dir), "blocks")
	if s.relay, err = node.NewRelay(spool, s.blocks, s.log, s.sources...); err != nil {
		return err
	}
	params, err := node.ParseNetwork(s.cfg.Network)
	if err != nil {
		return err
	}
	script, err := pool.PayoutScript(s.cfg.Payout, params)
	if err != nil {
		return err
	}
	s.params = params
	coinbase := pool.CoinbaseConfig{Script: script, Tag: s.cfg.Stratum.Tag}
	if s.assembler, err = pool.NewAssembler(coinbase, uint16(s.term)); err != nil {
		return err
	}
	s.watch = node.NewWatch(s.relay, s.assembler, s.feed, s.log)
	return nil
}

func newSource(kind config.NodeKind, c node.Config) (node.Source, error) {
	if kind == config.Core {
		return node.NewCore(c)
	}
	return node.NewBtcd(c)
}

func (s *server) openGovernor(ctx context.Context) error {
	sites, workers, err := s.cfg.Fleet()
	if err != nil {
		return err
	}
	meters, err := s.meters(s.registry, workers)
	if err != nil {
		return err
	}
	cfg := governor.DefaultConfig()
	if s.machines, cfg.Actuators, err = openMachines(s.cfg, s.log); err != nil {
		return err
	}
	s.closers = append(s.closers, s.closeMachines)
	cfg.Probes = s.probes()
	s.patience(&cfg)
	cfg.Sites, cfg.Workers, cfg.Meters = sites, workers, meters
	cfg.Registry, cfg.Journal, cfg.Term, cfg.Log = s.registry, s.book, uint32(s.term), s.log
	if cfg.Tariffs, err = s.cfg.Tariffs(); err != nil {
		return err
	}
	cfg.HashScale, cfg.MsatPerHash = s.cfg.HashScale(), s.msatPerHash
	cfg.ProofAge = time.Duration(s.cfg.Headroom.ProofAge)
	cfg.LeasePrice, cfg.Owners = s.cfg.Lease.Price, s.cfg.OwnersTerms()
	cfg.Audit = s.audit.Note
	s.governor, err = governor.New(ctx, cfg)
	return err
}

// msatPerHash is what one hash earns now: the template's value over the hashes that a block takes.
func (s *server) msatPerHash() float64 {
	r := s.feed.Current()
	if r == nil {
		return 0
	}
	return float64(r.Best().Template.Value) * 1000 / float64(r.Tip.Target().Work())
}

func (s *server) openLeases(context.Context) (err error) {
	sites, _, err := s.cfg.Fleet()
	if err != nil {
		return err
	}
	cfg := service.DefaultConfig()
	cfg.Sites, cfg.Term, cfg.Log = sites, uint32(s.term), s.log
	cfg.Price, cfg.Penalty = s.cfg.Lease.Price, s.cfg.Lease.Overrun()
	s.leases, err = service.New(cfg, s.book, s.governor, s.entries)
	return err
}

// openKeys reads the authority's key, unless a take-over has it already.
func (s *server) openKeys() (err error) {
	if s.keys != nil {
		return nil
	}
	s.keys, err = openIdentities(s.cfg.Path(s.cfg.Stratum.AuthorityKey))
	s.runKeys = s.keys.run
	return err
}

func (s *server) openStratum(context.Context) (err error) {
	if err := s.openKeys(); err != nil {
		return err
	}
	cfg := s.cfg.Stratum.Server()
	cfg.MinDifficulty = s.cfg.Stratum.Floor()
	cfg.Classes = s.cfg.Stratum.MinerClasses()
	rooms := stratum.Rooms{
		Feed: s.feed, Assembler: s.assembler, Registry: s.registry, Authorize: anyWorker{s.params},
		Credit: s.credits, Blocks: s.relay, Identity: s.keys.current,
	}
	if s.cfg.Solo {
		rooms.Solo = func(identity string) (pool.Payout, pool.WorkerID, error) {
			return pool.ParseSolo(identity, s.params)
		}
	}
	if rooms.Sessions, err = pool.NewSessionKey([]byte(s.keys.authority.Secret())); err != nil {
		return err
	}
	s.stratum, err = stratum.New(cfg, rooms, s.log)
	return err
}

// anyWorker lets every well-formed identity mine: its shares are credited under the account
// that it names. What a worker may be ordered to do depends on the configured fleet, not on this.
type anyWorker struct{ params *chaincfg.Params }

// Authorize implements stratum.Authorizer.
func (a anyWorker) Authorize(_ context.Context, identity string, _ stratum.Device) (pool.WorkerID, error) {
	return pool.ParseMiner(identity, a.params)
}

// listen binds every port before anything is served, so that a taken one is found at the start. Ports
// of the server before this one are taken over as they are.
func (s *server) listen(context.Context) (err error) {
	var all estate
	var ports []net.Listener
	type opening struct {
		port estatePort
		to   *net.Listener
	}
	wanted := []opening{
		{estatePort{"stratum", s.cfg.Stratum.Listen}, &s.stratumAt},
		{estatePort{"grpc", s.cfg.GRPC.Listen}, &s.grpcAt},
		{estatePort{"console", s.cfg.Console.Listen}, &s.consoleAt},
	}
	s.ports = make([]minerPort, len(s.cfg.Stratum.Ports))
	for i := range s.ports {
		p := &s.cfg.Stratum.Ports[i]
		if s.ports[i].Port, err = s.openPort(p); err != nil {
			return fmt.Errorf("stratum.port %d: %w", i+1, err)
		}
		wanted = append(wanted, opening{estatePort{"stratum.port", p.Listen}, &s.ports[i].at})
	}
	for _, l := range wanted {
		if *l.to, err = s.port(l.port); err != nil {
			return fmt.Errorf("%s.listen: %w; choose another port or stop what uses it", l.port.Name, err)
		}
		s.closers = append(s.closers, ignoreClosed((*l.to).Close))
		all.Ports, ports = append(all.Ports, l.port), append(ports, *l.to)
	}
	if s.takeover != nil { // what is no port of ours must not take connections that nobody accepts
		_ = s.takeover.heir.close()
	}
	dir := s.cfg.Path(s.cfg.Storage.Dir)
	if s.giver, err = newGiver(dir, all, ports, s.log); err != nil {
		s.log.Warn("a server that takes over will have to open the ports anew", slog.Any("error", err))
		s.giver = nil
	}
	return nil
}

func (s *server) port(p estatePort) (net.Listener, error) {
	if s.takeover != nil {
		if ln := s.takeover.heir.take(p); ln != nil {
			return ln, nil
		}
	}
	return net.Listen("tcp", p.Listen)
}

func ignoreClosed(closer func() error) func() error {
	return func() error {
		if err := closer(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

// close closes what was opened, newest first.
func (s *server) close() error {
	var errs []error
	for _, closer := range slices.Backward(s.closers) {
		errs = append(errs, closer())
	}
	s.closers = nil
	return errors.Join(errs...)
}

// Bounds of an orderly end.
const (
	drainLimit = 20 * time.Second       // beside the time that miners are sent away over
	callLimit  = 250 * time.Millisecond // for calls in flight; streams have no end of their own
)

// run serves until ctx ends, then drains: shares are acknowledged, calls are finished, the ledger is brought
// up to date, and the journals are closed. Only then are the miners sent away: another server may
// have opened the journals, and is there for them. Orders in force stay as they are.
func (s *server) run(ctx context.Context) error {
	// The rooms outlive ctx: they have to serve while the server drains; the miners' connections
	// outlive the rooms.
	rooms, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, miners := newGroup(stop), newGroup(stop)
	g.run("relay", func() error { return s.relay.Run(rooms) })
	g.run("watch", func() error { return s.watch.Run(rooms) })
	g.run("ledger", func() error { return s.credits.Run(rooms) })
	g.run("evidence log", func() error { return s.audit.Run(rooms) })
	g.run("governor", func() error { return s.governor.Run(rooms) })
	g.run("lease service", func() error { return s.leases.Run(rooms) })
	g.run("identities", func() error { return s.runKeys(rooms) })
	miners.run("stratum", func() error { return s.stratum.Run(context.WithoutCancel(ctx)) })
	g.run("stratum port", func() error { return s.stratum.ServePort(s.stratumAt, s.mainPort()) })
	for _, p := range s.ports {
		g.run("stratum port "+p.Name, func() error { return s.stratum.ServePort(p.at, p.Port) })
	}
	for _, c := range s.certificates {
		g.run("certificate", func() error { return c.run(rooms) })
	}
	g.run("grpc port", func() error { return s.grpc.Serve(s.grpcAt) })
	g.run("console port", func() error { return s.web.ServeTLS(s.consoleAt, "", "") })
	if s.giver != nil {
		g.run("hand-over", s.giver.run)
	}
	s.takeover.served(s.log, s.locked)

	select {
	case <-ctx.Done():
	case <-rooms.Done(): // a room failed
	}
	within := drainLimit + time.Duration(s.cfg.Stratum.Timing.Drain)
	limit, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	err := s.drain(limit)
	stop()
	err = errors.Join(err, g.wait(), s.audit.Close(time.Now()), s.shares.Close(), s.book.Close())
	s.log.Info("journals are closed, sending miners away")
	err = errors.Join(err, s.stratum.Shutdown(limit))
	return errors.Join(err, miners.wait(), s.close())
}

// drain ends calls, while miners still mine, and then makes everything durable that was read.
func (s *server) drain(ctx context.Context) error {
	var err error
	if s.giver != nil {
		err = s.giver.close()
	}
	s.endCalls()
	return errors.Join(err, s.stratum.Drain(ctx), s.credits.Flush(ctx), s.leases.Shutdown(ctx))
}

// endCalls ends the operator's and the tenants' calls.
func (s *server) endCalls() {
	done := make(chan struct{})
	go func() { // ends when the calls have, or Stop cuts them
		s.grpc.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(callLimit):
		s.grpc.Stop()
		<-done
	}
	_ = s.web.Close() // event streams have no end of their own either
}
