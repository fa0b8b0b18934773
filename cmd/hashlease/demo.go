package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
	"github.com/hashlease/hashlease/cmd/hashsim/sim"
	"github.com/hashlease/hashlease/lease/leaserpc"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/node"
	"github.com/hashlease/hashlease/pool/unit"
	"github.com/hashlease/hashlease/stratum/stratumtest"
)

//nolint:revive // tags are one line
type demoCmd struct {
	For    time.Duration `help:"Run this long after the start-up, at least 45s, then check everything and stop; without it until Ctrl-C." placeholder:"90s"`
	JSON   bool          `name:"json" help:"Print one JSON object of results at the end and nothing else on standard output."`
	Dir    string        `help:"Keep everything in this directory; without it in a temporary one." type:"path" placeholder:"DIR"`
	Btcd   string        `help:"A btcd program to use instead of building ours." type:"path" placeholder:"PATH"`
	Miners int           `help:"Simulated ASICs, 8 to 2000; from 100 on a Bitaxe beside each 25." default:"200"`
	Debug  bool          `help:"Write the server's log to standard error."`
}

// Rhythm of a demo.
const (
	demoUsual    = 200 // machines at the simulation's own scale
	demoShortest = 45 * time.Second
	demoControl  = 10 * time.Second // the run with the governor off, at the end
	demoTenant   = "demo"
	demoStatus   = 5 * time.Second // between two lines of progress
	demoSettle   = 30 * time.Second
	demoLead     = 12 * time.Second // from a request to the start of its slot; the feeders' notice is less
	demoNetwork  = "signet:51"
	demoPayout   = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx" // coins of a private signet are worth nothing
	demoPrice    = 40_000 * unit.Sat / 1000                     // a kWh
	// demoDifficulty is the least difficulty of a share: a thousand times easier than a scaled ASIC needs, so
	// that a Bitaxe of 27 H/s has a share in a few seconds.
	demoDifficulty = 1e-8
)

// demo is everything that runs: two nodes, the server, the simulated site with its tenant.
type demo struct {
	cmd  *demoCmd
	env  *env
	log  *slog.Logger
	dir  string
	keys demoKeys
	// listen are the addresses of Stratum, gRPC and console.
	listen [3]string

	nodes  []*node.Child
	plan   sim.Plan       // that of --miners, unless it is given
	class  float64        // of the meters; 0: the simulation's own
	vendor bool           // machines take orders over their vendors' interfaces
	modbus fleet.FeederID // whose meters are read by Modbus TCP; empty: nobody's
	scale  float64        // of the simulated hashes; 0 is the simulation's own
	sim    *sim.Sim
	tenant *sim.Tenant
	// tenantRun lets the tenant act until the simulation ends.
	tenantRun func()
	server    *server
	began     time.Time // when everything was up
}

// demoKeys are the secrets that were made for this run.
type demoKeys struct{ admin, tenant string }

// Run runs the demo until the time is over or the context ends.
func (c *demoCmd) Run(ctx context.Context, e *env) error {
	if c.Miners < 8 || c.Miners > 2000 {
		return usagef("--miners is %d: 8 to 2000 are accepted", c.Miners)
	}
	if c.For != 0 && c.For < demoShortest {
		return usagef("--for is %v: %v or more is accepted, as 90s", c.For, demoShortest)
	}
	if c.JSON && c.For == 0 {
		return usagef("--json prints results at the end: give --for too, as --for 90s")
	}
	d := newDemo(c, e)
	d.modbus = "f2" // as at a site with switchgear of two ages
	d.vendor = true
	d.scale = demoScale(c.Miners)
	if c.Debug {
		d.log = slog.New(slog.NewTextHandler(e.stderr, nil))
	}
	if d.dir == "" {
		dir, err := os.MkdirTemp("", "hashlease-demo-")
		if err != nil {
			return err
		}
		d.dir = dir
		defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	}
	return d.run(ctx)
}

// demoScale lets a small site find as many blocks as one of the default size: with 20 machines at the
// usual scale, two runs of 45 s in five would see none.
func demoScale(miners int) float64 {
	return sim.DefaultScale * min(1, float64(miners)/demoUsual)
}

func newDemo(c *demoCmd, e *env) *demo {
	const any = "127.0.0.1:0"
	return &demo{
		cmd: c, env: e, log: slog.New(slog.DiscardHandler), dir: c.Dir, listen: [3]string{any, any, any},
	}
}

// say tells people what goes on; with --json that is standard error.
func (d *demo) say(format string, args ...any) {
	if d.cmd.JSON {
		d.env.notef(format+"\n", args...)
		return
	}
	d.env.printf(format+"\n", args...)
}

// run starts the parts from the node upwards, and ends them the other way round.
func (d *demo) run(ctx context.Context) error {
	defer d.stopNodes()
	if err := d.startNodes(ctx); err != nil {
		return err
	}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	parts, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	simulated, served := newGroup(stop), newGroup(stop)
	serving, drain := context.WithCancel(parts)
	defer drain()
	served.run("server", func() error { return d.server.run(serving) })
	simulated.run("simulation", func() error { return d.sim.Run(parts) })
	d.tenantRun = func() { simulated.run("tenant", func() error { return d.tenant.Run(parts) }) }

	watch, done := withEither(ctx, parts)
	defer done()
	result, err := d.show(watch)
	d.say("Draining: acknowledging shares, sending miners away, closing the journals.")
	drain()
	err = errors.Join(err, served.wait())
	stop()
	err = errors.Join(err, simulated.wait())
	if err != nil || result == nil {
		return err
	}
	return d.report(result)
}

// withEither ends when ctx does or the parts fail.
func withEither(ctx, parts context.Context) (context.Context, context.CancelFunc) {
	both, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(parts, cancel)
	return both, func() { stop(); cancel() }
}

// startNodes builds btcd if need be and starts two of them on a private signet, connected to each other.
func (d *demo) startNodes(ctx context.Context) error {
	path := d.cmd.Btcd
	if path == "" {
		d.say("Looking for btcd of the version in go.mod (the first time it is built, about a minute).")
		built, err := node.BuildBtcd(ctx, func(line string) { d.say("  %s", line) })
		if err != nil {
			return fmt.Errorf("building btcd (--btcd PATH takes one that is there): %w", err)
		}
		path = built
	}
	d.say("Starting two btcd on a private signet.")
	var peers []string
	for i := range 2 {
		dir := filepath.Join(d.dir, fmt.Sprintf("btcd-%d", i+1))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		child, err := node.NewChild(node.ChildConfig{
			Path: path, Dir: dir, Network: node.Signet([]byte{0x51}), Connect: peers,
		})
		if err != nil {
			return err
		}
		if err := child.Start(ctx); err != nil {
			return fmt.Errorf("starting btcd: %w", err)
		}
		d.nodes = append(d.nodes, child)
		peers = []string{child.P2P()}
	}
	return nil
}

func (d *demo) stopNodes() {
	for _, n := range d.nodes {
		n.Stop()
	}
}

// simulate sets the site up and writes the same files that init writes, for a server of it.
func (d *demo) simulate() (cfg *config.Config, err error) {
	if len(d.plan.Sites) == 0 {
		d.plan = sim.DemoSite(d.cmd.Miners, demoTenant)
	}
	if d.sim, err = sim.New(sim.Config{
		Plan: d.plan, Scale: d.scale, Class: d.class, Seed: 1, Dialects: sim.Mixed, Vendor: d.vendor,
		Elsewhere: demoElsewhere(d.vendor), Log: d.log,
	}); err != nil {
		return nil, err
	}
	return d.config()
}

// prepare opens the server for the simulated site.
func (d *demo) prepare(ctx context.Context) error {
	cfg, err := d.simulate()
	if err != nil {
		return err
	}
	if d.server, err = openServer(ctx, cfg, d.log, nil); err != nil {
		return err
	}
	authority := d.server.keys.authority.Public()
	d.sim.SetPool(stratumtest.Endpoint{Address: d.server.stratumAt.Addr().String(), Authority: &authority})
	return nil
}

// addTenant gives the site a tenant that begins to lease now.
func (d *demo) addTenant() (err error) {
	d.tenant, err = d.sim.AddTenant(sim.TenantConfig{
		Name: demoTenant, Target: d.server.grpcAt.Addr().String(), Key: d.keys.tenant,
		CA: d.caFile(), Demands: d.demands(), Log: d.log,
	})
	return err
}

// caFile is the authority that clients of the server trust.
func (d *demo) caFile() string { return filepath.Join(d.dir, config.Default().TLS.Dir, caCertFile) }

// demands are the tenant's leases, on a feeder each. With --for, the slots end in time to
// be settled before the control run.
func (d *demo) demands() (list []sim.Demand) {
	site := d.plan.Sites[0]
	length, every := 40*time.Second, 100*time.Second
	if d.cmd.For != 0 {
		room := d.cmd.For - demoControl - 2*demoLead // what is left for slots and their ends
		length, every = max(10*time.Second, (room/2).Truncate(time.Second)), 0
	}
	for i, f := range site.Feeders {
		list = append(list, sim.Demand{
			Site: string(site.ID), Feeder: string(f.ID), Watts: roundTo(f.Limit * unit.Watts(1+2*i) / 14),
			After: time.Duration(1+2*i) * time.Second, Notice: demoLead, For: length, Every: every,
		})
	}
	return list
}

// roundTo is whole kilowatts, at least one.
func roundTo(w unit.Watts) unit.Watts { return max(1, w/unit.Kilowatt) * unit.Kilowatt }

// config is the server's configuration for the simulated site, written to the demo's directory like
// a real one.
func (d *demo) config() (*config.Config, error) {
	made, err := (&initCmd{
		Dir: d.dir, Network: demoNetwork, Payout: demoPayout, NodeKind: config.Btcd, NodeUser: "replaced",
	}).prepare(time.Now())
	if err != nil {
		return nil, err
	}
	d.keys.admin = made.adminKey
	cfg := config.Default()
	cfg.Network, cfg.Payout = demoNetwork, demoPayout
	cfg.Admin.KeyHash = leaserpc.HashKey(made.adminKey).String()
	cfg.Simulation.HashScale = 1 / d.sim.Scale()
	cfg.Stratum.Listen, cfg.GRPC.Listen, cfg.Console.Listen = d.listen[0], d.listen[1], d.listen[2]
	cfg.Stratum.MinDifficulty, cfg.Stratum.Tag = demoDifficulty, "hashlease demo"
	cfg.Lease.Price = demoPrice
	for i, n := range d.nodes {
		c := n.Config()
		cfg.Nodes = append(cfg.Nodes, config.Node{
			Name: fmt.Sprintf("btcd-%d", i+1), Kind: config.Btcd, URL: "http://" + c.Address,
			User: c.User, Password: c.Password,
		})
	}
	cfg.Sites, cfg.Workers = config.FromFleet(d.plan.Sites, d.plan.Workers, d.meters())
	if err := cfg.AddInterfaces(d.dir, d.sim.Interfaces()); err != nil {
		return nil, err
	}
	tenant := config.Tenant{ID: demoTenant}
	if d.keys.tenant, tenant.KeyHash, err = newKey(demoTenant); err != nil {
		return nil, err
	}
	cfg.Tenants = append(cfg.Tenants, tenant)
	return d.write(made, &cfg)
}

// write puts the files in place and reads the configuration back, as a server does.
func (d *demo) write(m *made, cfg *config.Config) (*config.Config, error) {
	text, err := config.Encode(cfg)
	if err != nil {
		return nil, err
	}
	for i := range m.files {
		if m.files[i].name == configFile {
			m.files[i].data = text
		}
	}
	if err := m.write(); err != nil {
		return nil, err
	}
	read, err := config.Load(filepath.Join(d.dir, configFile))
	return &read, err
}

func (d *demo) meters() map[fleet.FeederID][]config.Meter {
	m := map[fleet.FeederID][]config.Meter{}
	for _, meter := range d.plan.Meters() {
		one := config.Meter{Role: meter.Role, Tenant: meter.Tenant}
		if meter.Feeder == d.modbus {
			one.Modbus, one.Unit, one.Map = d.sim.ModbusAddr(), meter.Unit, sim.ModbusMap
		} else {
			one.URL = "http://" + d.sim.Addr() + meter.Path
		}
		m[meter.Feeder] = append(m[meter.Feeder], one)
	}
	return m
}
