package shed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/sim"
	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/node"
	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
	"github.com/hashlease/hashlease/stratum/stratumtest"
)

const (
	siteName = "north" // as sim.DemoSite has it
	// scale is hashes of a device for one really ground: two thousand devices hash as much as one
	// ordinary computer does without noticing.
	scale = 4e12
	// leastDifficulty is far below what a device at that scale is given.
	leastDifficulty = 1e-9
	// lull is how long the fleet mines in peace before the order; over its second half the baseline is taken.
	lull = 10 * time.Second
	// killAfter is when the server is killed: while machines ramp down.
	killAfter = time.Second / 2
	sample    = 50 * time.Millisecond
	// comeBackShare of what was shed must be drawn again: a site that is full to its limit settles a machine
	// higher or lower.
	comeBackShare = 0.9
	meetTime      = 3 * time.Minute // for all devices to be mining
)

// bench is everything that runs.
type bench struct {
	cfg    *Config
	nodes  []*node.Child
	plan   sim.Plan
	sim    *sim.Sim
	server *server
	began  time.Time

	mu      sync.Mutex
	ordered time.Time                 // guarded by mu: when the order was given; zero before
	told    map[pool.WorkerID]*orders // guarded by mu: what each device was told since then
	over    time.Duration             // guarded by mu: when the order ended, since it was given; 0 before
	preview []pool.WorkerID           // guarded by mu: who gives way by the first plan
	proven  float64                   // guarded by mu: seconds, by the server's word; 0 if never
	refused string                    // guarded by mu
}

// Run measures. Its error is a failure to measure; what was measured and missed is in the result.
func Run(ctx context.Context, cfg Config) (res *Result, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Progress == nil {
		cfg.Progress = io.Discard
	}
	b := &bench{cfg: &cfg, began: time.Now(), told: map[pool.WorkerID]*orders{}}
	defer b.stopNodes()
	if err := b.startNodes(ctx); err != nil {
		return nil, err
	}
	if err := b.makeSite(); err != nil {
		return nil, err
	}
	if b.server, err = newServer(ctx, &cfg, b.nodes, b.plan, b.sim); err != nil {
		return nil, errors.Join(err, b.sim.Close())
	}
	defer b.server.log.Close() //nolint:errcheck // only a log
	if err := b.server.start(ctx); err != nil {
		return nil, errors.Join(err, b.server.kill(), b.sim.Close())
	}
	b.sim.SetPool(stratumtest.Endpoint{Address: b.server.stratum, Authority: &b.server.authority})
	mining, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	failed := make(chan error, 1)
	wg.Go(func() { failed <- b.sim.Run(mining) }) // ends with mining
	if cfg.Blip {
		res, err = b.blip(mining)
	} else {
		res, err = b.measure(ctx)
	}
	if err != nil {
		err = fmt.Errorf("%w\nthe server's last words:\n%s", err, b.server.tail())
	}
	err = errors.Join(err, b.server.stop())
	stop()
	wg.Wait()
	return res, errors.Join(err, <-failed)
}

// say is a line of progress.
func (b *bench) say(format string, args ...any) {
	// A reader that went away is not the measurement's failure.
	_, _ = fmt.Fprintf(b.cfg.Progress, "%6.1fs  "+format+"\n",
		append([]any{time.Since(b.began).Seconds()}, args...)...)
}

// startNodes starts two nodes that are each other's peer: one alone gives no work.
func (b *bench) startNodes(ctx context.Context) error {
	b.say("starting two btcd on a private signet")
	var peers []string
	for i := range 2 {
		dir := filepath.Join(b.cfg.Dir, fmt.Sprintf("btcd-%d", i+1))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		n, err := node.NewChild(node.ChildConfig{
			Path: b.cfg.Btcd, Dir: dir, Network: node.Signet([]byte{0x51}), Connect: peers,
		})
		if err != nil {
			return err
		}
		if err := n.Start(ctx); err != nil {
			return fmt.Errorf("starting btcd: %w", err)
		}
		b.nodes = append(b.nodes, n)
		peers = []string{n.P2P()}
	}
	return nil
}

func (b *bench) stopNodes() {
	for _, n := range b.nodes {
		n.Stop()
	}
}

// makeSite sets the simulated site up, its faulty machines anywhere on it.
func (b *bench) makeSite() (err error) {
	kind := fleetKinds[b.cfg.Fleet]
	b.plan = kind.site(b.cfg.Devices)
	if b.cfg.Blip {
		withTenant(&b.plan)
	} else if b.cfg.NoGovernor {
		for i := range b.plan.Sites[0].Feeders {
			b.plan.Sites[0].Feeders[i].Arm = fleet.Observe
		}
	}
	c := sim.Config{
		Plan: b.plan, Scale: scale, Seed: 1, Faults: b.faults(), Ordered: b.command,
		Firmware: kind.firmware, Vendor: kind.own,
	}
	if kind.own {
		c.Dialects = sim.Mixed
	}
	b.sim, err = sim.New(c)
	return err
}

// kinds of faults, in turn: deaf, mute, liar, wrong watts.
var kinds = [...]sim.Fault{{Ignore: true}, {Silent: true}, {Lie: true}, {Report: 0.9}}

func (b *bench) faults() map[pool.WorkerID]sim.Fault {
	share := func(of float64) int { return int(of*float64(b.cfg.Devices) + 0.5) }
	n, dead := share(b.cfg.Faulty), share(fleetKinds[b.cfg.Fleet].dead)
	faults := make(map[pool.WorkerID]sim.Fault, n+dead)
	for i, at := range rand.New(rand.NewPCG(1, 2)).Perm(b.cfg.Devices)[:n+dead] {
		if i < n {
			faults[b.plan.Workers[at].ID] = kinds[i%len(kinds)]
		} else {
			faults[b.plan.Workers[at].ID] = sim.Fault{Dead: true}
		}
	}
	return faults
}

// command notes that a device was told something.
func (b *bench) command(w pool.WorkerID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ordered.IsZero() {
		return
	}
	at := time.Since(b.ordered)
	o := b.told[w]
	if o == nil {
		o = &orders{first: at}
		b.told[w] = o
	}
	if b.over > 0 && o.back == 0 {
		o.back = at
	}
}

// listen takes the server's own account.
func (b *bench) listen(r *hashleasev1.CurtailSiteResponse) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := r.GetPreview(); p != nil {
		for _, w := range p.GetWorkers() {
			b.preview = append(b.preview, pool.WorkerID(w.GetWorker()))
		}
	}
	if p := r.GetProgress(); p.GetProven() {
		b.proven = p.GetSeconds()
	}
}

// gather waits until every device mines.
func (b *bench) gather(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, meetTime)
	defer cancel()
	for i := 0; ; i++ {
		n := b.sim.Stats().Mining
		if n == b.cfg.Devices {
			b.say("all %d devices mine", n)
			return nil
		}
		if i%8 == 0 {
			b.say("%d of %d devices mine", n, b.cfg.Devices)
		}
		if err := wait(ctx, 250*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for %d devices, %d of which mine: %w", b.cfg.Devices, n, err)
		}
	}
}

// measure is the measurement itself: lull, order, hold, return.
func (b *bench) measure(ctx context.Context) (*Result, error) {
	if err := b.gather(ctx); err != nil {
		return nil, err
	}
	if err := wait(ctx, lull/2); err != nil {
		return nil, err
	}
	before, err := b.record(ctx, time.Now(), lull/2, nil)
	if err != nil {
		return nil, err
	}
	base := before.mean(0)
	watts := unit.Watts(base * b.cfg.Shed)
	b.say("mining draws %v: %v of it is ordered free", unit.Watts(base), watts)
	start := time.Now()
	b.mu.Lock()
	b.ordered = start
	b.mu.Unlock()
	said := make(chan struct{})
	go func() { // ends with the server's stream, at the latest when the server does
		defer close(said)
		if err := b.server.curtail(ctx, watts, b.cfg.Hold, b.listen); err != nil && !errors.Is(err, io.EOF) {
			b.mu.Lock()
			b.refused = err.Error()
			b.mu.Unlock()
		}
	}()
	held, err := b.record(ctx, start, b.cfg.Hold, b.killer(ctx))
	if err != nil {
		return nil, err
	}
	b.say("the order ends")
	b.mu.Lock()
	b.over = time.Since(start)
	b.mu.Unlock()
	back, err := b.comeBack(ctx, base, held)
	if err != nil {
		return nil, err
	}
	<-said
	return b.judge(base, float64(watts), held, back), nil
}

// killer kills the server once, at its time, and starts it again.
func (b *bench) killer(ctx context.Context) func(at time.Duration) error {
	done := !b.cfg.KillServer
	return func(at time.Duration) error {
		if done || at < killAfter {
			return nil
		}
		done = true
		b.say("kill -9")
		if err := b.server.kill(); err != nil {
			return err
		}
		go func() { // ends when the server listens again, or with ctx
			if err := b.server.start(ctx); err != nil {
				b.say("starting again: %v", err)
				return
			}
			b.say("the server listens again")
		}()
		return nil
	}
}

// record samples the truth for a span from start on.
func (b *bench) record(
	ctx context.Context, start time.Time, span time.Duration, also func(time.Duration) error,
) (s series, err error) {
	tick := time.NewTicker(sample)
	defer tick.Stop()
	told := time.Duration(0)
	for {
		at := time.Since(start)
		w := b.sim.Mining()
		s = append(s, point{at, w})
		if at-told >= 5*time.Second {
			told = at
			b.say("mining draws %v", unit.Watts(w))
		}
		if len(s)%5 == 0 {
			b.look()
		}
		if at >= span {
			return s, nil
		}
		if also != nil {
			if err := also(at); err != nil {
				return s, err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
}

// comeBack records until 90 % of what was shed is drawn again, or the wait is over.
func (b *bench) comeBack(ctx context.Context, base float64, held series) (series, error) {
	low := held.mean(b.cfg.Hold * 2 / 3)
	enough := errors.New("enough")
	s, err := b.record(ctx, time.Now(), b.cfg.Return, func(time.Duration) error {
		if b.sim.Mining() >= low+comeBackShare*(base-low) && (!b.cfg.Table || b.allBack()) {
			return enough
		}
		return nil
	})
	if errors.Is(err, enough) {
		err = nil
	}
	return s, err
}
