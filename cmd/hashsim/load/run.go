package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum"
	"github.com/hashlease/hashlease/stratum/noise"
)

// Result is everything that was measured.
type Result struct {
	Command   string     `json:"command"`
	Time      time.Time  `json:"time"`
	Seconds   float64    `json:"seconds"`
	Machine   Machine    `json:"machine"`
	Rows      []Row      `json:"rows,omitempty"`
	V1        []V1Row    `json:"v1_rows,omitempty"`
	Knees     []Knee     `json:"knees,omitempty"`
	Extended  []Shares   `json:"extended,omitempty"`  // on extended channels, by rate
	Sustained *Storm     `json:"sustained,omitempty"` // a storm without a stock
	Channels  []Channels `json:"channels,omitempty"`
	Profiles  []Profile  `json:"profiles,omitempty"` // of each server, with Config.Profile
}

// Row is what was measured with so many connections.
type Row struct {
	Connections int     `json:"connections"`
	Connect     float64 `json:"connect_s"` // until all of them mined, both sides' cryptography included
	Memory      *Memory `json:"memory,omitempty"`
	Tip         *Tip    `json:"tip,omitempty"`
	Block       *Block  `json:"block,omitempty"`
	Shares      *Shares `json:"shares,omitempty"`
	Storm       *Storm  `json:"storm,omitempty"`
}

// run is one server with its connections.
type run struct {
	cfg      *Config
	child    *child // nil: the pool is somebody else's
	crowd    *crowd
	ackEvery int
	stock    int
	channels int
	dir      string
}

// Run measures. It ends by itself, and leaves no process behind.
func Run(ctx context.Context, cfg Config) (res Result, err error) {
	if err := cfg.Validate(); err != nil {
		return res, err
	}
	if err := descriptors(uint64(slices.Max(cfg.Connections)) + 2000); err != nil {
		return res, err
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // this process has memory to spare, and no time
	res = Result{Command: cfg.Command, Time: time.Now().UTC(), Machine: describe()}
	cfg.profiles = &res.Profiles
	defer func() { res.Seconds = time.Since(res.Time).Seconds() }()
	if cfg.Dialect == DialectV1 {
		return res, cfg.v1Rows(ctx, &res)
	}
	for _, n := range cfg.Connections {
		row, err := cfg.row(ctx, n)
		res.Rows = append(res.Rows, row)
		if err != nil {
			return res, fmt.Errorf("with %d connections: %w", n, err)
		}
	}
	return res, cfg.extras(ctx, &res)
}

// row measures what depends on the number of connections.
func (c *Config) row(ctx context.Context, n int) (row Row, err error) {
	row.Connections = n
	if slices.ContainsFunc([]string{MeasureMemory, MeasureTip, MeasureBlock, MeasureShares}, c.has) {
		err = c.with(ctx, stratum.DefaultConfig().AckEvery, 0, func(r *run) error { return r.row(ctx, &row) })
	}
	if err == nil && c.has(MeasureStorm) {
		err = c.with(ctx, 1, c.Stock, func(r *run) error {
			row.Storm, err = r.stormAmong(ctx, n)
			return err
		})
	}
	return row, err
}

func (r *run) row(ctx context.Context, row *Row) error {
	if err := r.measured(ctx, row); err != nil {
		return err
	}
	if !r.cfg.has(MeasureShares) {
		return nil
	}
	r.say("%6d connections: %.0f shares/s for %v", row.Connections, r.cfg.Rate, r.cfg.For)
	s, err := r.shares(ctx, offered{rate: r.cfg.Rate, settle: r.cfg.settle(), measure: r.cfg.For})
	row.Shares = &s
	return err
}

// measured connects, and measures everything but shares.
func (r *run) measured(ctx context.Context, row *Row) error {
	n := row.Connections
	var empty int64
	var before answer
	var err error
	if r.child != nil {
		if err := r.warm(ctx); err != nil {
			return err
		}
		if empty, before, err = r.weighEmpty(); err != nil {
			return err
		}
	}
	r.say("%6d connections: opening", n)
	begin := time.Now()
	if err := r.crowd.connect(ctx, n, 1); err != nil {
		return err
	}
	row.Connect, r.channels = time.Since(begin).Seconds(), n
	if r.cfg.has(MeasureMemory) {
		r.say("%6d connections: idle for %v", n, r.cfg.Idle)
		m, err := r.memory(ctx, empty, before)
		if row.Memory = &m; err != nil {
			return err
		}
	}
	if r.cfg.has(MeasureTip) {
		r.say("%6d connections: %d tips", n, r.cfg.Tips)
		t, err := r.tip(ctx, r.cfg.Tips)
		if row.Tip = &t; err != nil {
			return err
		}
	}
	if r.cfg.has(MeasureBlock) {
		b, err := r.block(ctx)
		if row.Block = &b; err != nil {
			return err
		}
	}
	return nil
}

// warm lets the server use every path once, so that what it needs only once is not counted for
// connections or channels.
func (r *run) warm(ctx context.Context) error {
	k := &crowd{address: r.crowd.address, authority: r.crowd.authority}
	defer k.cut()
	if err := k.connect(ctx, 32, 1); err != nil {
		return err
	}
	return k.connect(ctx, 1, 100)
}

// connectedMiners is how many mine while a storm comes.
const connectedMiners = 1000

func (r *run) stormAmong(ctx context.Context, n int) (*Storm, error) {
	miners := min(n, connectedMiners)
	if err := r.crowd.connect(ctx, miners, 1); err != nil {
		return nil, err
	}
	r.say("%6d reconnects at once, stock of %d keys", n, r.stock)
	s, err := r.storm(ctx, n, offered{rate: float64(miners), settle: r.cfg.settle(), measure: r.cfg.settle()})
	return &s, err
}

// extras measures what is measured once.
func (c *Config) extras(ctx context.Context, res *Result) error {
	if c.has(MeasureExtended) {
		if err := c.extended(ctx, res); err != nil {
			return fmt.Errorf("on extended channels: %w", err)
		}
	}
	if c.has(MeasureStorm) {
		err := c.with(ctx, 1, 0, func(r *run) (err error) {
			res.Sustained, err = r.stormAmong(ctx, min(5000, slices.Max(c.Connections)))
			return err
		})
		if err != nil {
			return fmt.Errorf("sustaining handshakes: %w", err)
		}
	}
	for _, every := range []int{stratum.DefaultConfig().AckEvery, 1} {
		if !c.has(MeasureKnee) || c.Pool != "" && every == 1 {
			continue
		}
		err := c.with(ctx, every, 0, func(r *run) error {
			n := min(1000, slices.Max(c.Connections))
			if err := r.crowd.connect(ctx, n, 1); err != nil {
				return err
			}
			r.say("%6d connections: looking for the knee, acknowledging every %d", n, every)
			k, err := r.knee(ctx)
			res.Knees = append(res.Knees, k)
			return err
		})
		if err != nil {
			return fmt.Errorf("looking for the knee: %w", err)
		}
	}
	if c.has(MeasureChannels) {
		return c.proxies(ctx, res)
	}
	return nil
}

// extended measures shares on extended channels, whose miners roll the extranonce: the server makes the
// coinbase and folds its path for each.
func (c *Config) extended(ctx context.Context, res *Result) error {
	return c.with(ctx, stratum.DefaultConfig().AckEvery, 0, func(r *run) error {
		r.crowd.kind = pool.Extended
		if err := r.crowd.connect(ctx, min(1000, slices.Max(c.Connections)), 1); err != nil {
			return err
		}
		for _, rate := range []float64{c.Rate, min(4*c.Rate, maxRate)} {
			r.say("%6d connections: %.0f shares/s on extended channels", len(r.crowd.clients), rate)
			s, err := r.shares(ctx, offered{rate: rate, settle: c.settle(), measure: c.For})
			s.Levels = r.crowd.levels()
			res.Extended = append(res.Extended, s)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// proxies measures connections with many channels.
func (c *Config) proxies(ctx context.Context, res *Result) error {
	for _, p := range c.Proxies {
		err := c.with(ctx, stratum.DefaultConfig().AckEvery, 0, func(r *run) error {
			r.say("%6d connections of %d channels each", p.Connections, p.Channels)
			// Two from the start, so that these are connections of a proxy.
			if err := r.crowd.connect(ctx, p.Connections, 2); err != nil {
				return err
			}
			ch, err := r.channelsOf(ctx, p)
			res.Channels = append(res.Channels, ch)
			return err
		})
		if err != nil {
			return fmt.Errorf("with many channels: %w", err)
		}
	}
	return nil
}

// with runs a server for one measurement, or uses the one that is there.
func (c *Config) with(ctx context.Context, ackEvery, stock int, measure func(*run) error) (err error) {
	r := &run{
		cfg: c, ackEvery: ackEvery, stock: stock, crowd: &crowd{address: c.Pool, authority: c.Authority},
	}
	defer func() {
		r.crowd.cut()
		if r.child != nil {
			err = errors.Join(err, r.child.stop())
		}
	}()
	if c.Pool != "" {
		return measure(r)
	}
	if r.dir, err = os.MkdirTemp(c.Dir, "load-"); err != nil {
		return fmt.Errorf("making a directory for journals: %w", err)
	}
	defer func() {
		if !c.Profile {
			err = errors.Join(err, os.RemoveAll(r.dir))
		}
	}()
	r.child, err = start(ctx, c.Spawn, TargetConfig{Dir: r.dir, Stock: stock, AckEvery: ackEvery})
	if err != nil {
		return err
	}
	r.crowd.address = r.child.first.Address
	key, err := noise.ParsePublicKey(r.child.first.Authority)
	if err != nil {
		return fmt.Errorf("reading the server's key: %w", err)
	}
	r.crowd.authority = &key
	if err := r.profile(cpuProfile, opProfile); err != nil {
		return err
	}
	return errors.Join(measure(r), r.profile("heap.pprof", opHeap), r.endProfile())
}

// endProfile ends the CPU profile and sums it up.
func (r *run) endProfile() error {
	if err := r.profile("", opProfile); err != nil || !r.cfg.Profile {
		return err
	}
	p, err := readProfile(filepath.Join(r.dir, cpuProfile))
	if err != nil {
		return err
	}
	a, err := r.child.order(order{Op: opState})
	if err != nil {
		return err
	}
	p.Shares = a.Durable
	*r.cfg.profiles = append(*r.cfg.profiles, p)
	return nil
}

// cpuProfile is the name of a server's CPU profile.
const cpuProfile = "cpu.pprof"

// profile gives an order about a profile, if any is wanted.
func (r *run) profile(name, op string) error {
	if !r.cfg.Profile {
		return nil
	}
	o := order{Op: op}
	if name != "" {
		o.File = filepath.Join(r.dir, name)
		r.say("profile in %s", o.File)
	}
	_, err := r.child.order(o)
	return err
}

// pid is the server's process, 0 if it is not known.
func (r *run) pid() int {
	if r.child == nil {
		return r.cfg.PID
	}
	return r.child.pid()
}

// say tells what is going on.
func (r *run) say(format string, args ...any) {
	if r.cfg.Progress != nil {
		_, _ = fmt.Fprintf(r.cfg.Progress, format+"\n", args...)
	}
}
