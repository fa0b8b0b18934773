package shed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashlease/hashlease/cmd/hashsim/load"
	"github.com/hashlease/hashlease/cmd/hashsim/sim"
	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/unit"
	hashleasev1 "github.com/hashlease/hashlease/proto/hashlease/v1"
	"github.com/hashlease/hashlease/stratum/stratumtest"
)

// PollConfig describes a measurement of what it costs a server to ask machines on their own interfaces.
type PollConfig struct {
	Config // Devices, Fleet, Server, Btcd, Dir, Progress; Shed: who yields is asked more often

	Window time.Duration // of each of the two measurements
}

// Oldest that what is known of a machine may be, for 99 of 100: one round and a half, since an answer
// takes its time. At rest a round is 30 s, for those held down 5 s.
const (
	restAge = 45 * time.Second
	fastAge = 7500 * time.Millisecond
)

// MaxPolled bounds the fleet: all of it has one process.
const MaxPolled = 50_000

// PollResult is what the server used, and how fresh what it knew was.
type PollResult struct {
	Devices int        `json:"devices"`
	Fleet   string     `json:"fleet"`
	Rest    PollWindow `json:"at_rest"`
	Busy    PollWindow `json:"in_dispatch"`
	Missed  []string   `json:"missed"` // empty: below one core and fresh enough in both
}

// PollWindow is one measurement.
type PollWindow struct {
	Seconds   float64 `json:"seconds"`
	Cores     float64 `json:"server_cores"`     // CPU time of the whole server a second
	Simulated float64 `json:"simulation_cores"` // of the machines, on the same computer
	Reduced   int     `json:"devices_reduced"`  // asked every 5 s instead of every 30 s
	Unheard   int     `json:"devices_unheard"`  // that never answered
	Silent    int     `json:"devices_silent"`   // that did not answer the last time
	AgeP50    float64 `json:"age_p50_s"`        // of what is known, at the end of the window
	AgeP99    float64 `json:"age_p99_s"`
	FastP99   float64 `json:"reduced_age_p99_s"` // of what is known of those held down
}

// Validate lists every fault at once.
func (c *PollConfig) Validate() error {
	var errs []error
	if c.Devices < 8 || c.Devices > MaxPolled {
		errs = append(errs, fmt.Errorf("devices is %d: 8 to %d are accepted", c.Devices, MaxPolled))
	}
	if !fleetKinds[c.Fleet].own {
		errs = append(errs, fmt.Errorf("fleet %q: %s, %s, %s or %s is accepted: others have no interface of "+
			"their own", c.Fleet, Fast, Antminer, Mix, All))
	}
	if !(c.Shed > 0 && c.Shed <= 0.5) {
		errs = append(errs, fmt.Errorf("shed is %v %%: above 0 to 50 %% is accepted", 100*c.Shed))
	}
	if c.Window < 10*time.Second || c.Window > time.Hour {
		errs = append(errs, fmt.Errorf("window is %v: 10s to 1h is accepted", c.Window))
	}
	return errors.Join(errs...)
}

// Poll measures. None of the machines has a session here: asking them is all the server has to do, beside
// planning for them.
func Poll(ctx context.Context, cfg PollConfig) (res *PollResult, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Progress == nil {
		cfg.Progress = io.Discard
	}
	b := &bench{cfg: &cfg.Config, began: time.Now(), told: map[pool.WorkerID]*orders{}}
	defer b.stopNodes()
	if err := b.startNodes(ctx); err != nil {
		return nil, err
	}
	kind := fleetKinds[cfg.Fleet]
	b.plan = kind.site(cfg.Devices)
	b.sim, err = sim.New(sim.Config{
		Plan: b.plan, Scale: scale, Seed: 1, Firmware: kind.firmware, Vendor: true, Elsewhere: 1,
		OnePort: true, Dialects: sim.Mixed,
	})
	if err != nil {
		return nil, err
	}
	if b.server, err = newServer(ctx, b.cfg, b.nodes, b.plan, b.sim); err != nil {
		return nil, errors.Join(err, b.sim.Close())
	}
	defer b.server.log.Close() //nolint:errcheck // only a log
	running, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	failed := make(chan error, 1)
	wg.Go(func() { failed <- b.sim.Run(running) }) // ends with running
	if err = b.server.start(ctx); err == nil {
		b.sim.SetPool(stratumtest.Endpoint{Address: b.server.stratum, Authority: &b.server.authority})
		res, err = b.poll(running, &cfg)
	}
	err = errors.Join(err, b.server.stop())
	stop()
	wg.Wait()
	return res, errors.Join(err, <-failed)
}

// poll waits until all are known, and measures at rest and while some are held down.
func (b *bench) poll(ctx context.Context, cfg *PollConfig) (*PollResult, error) {
	r := &PollResult{Devices: cfg.Devices, Fleet: cfg.Fleet, Missed: []string{}}
	if err := b.known(ctx, cfg.Devices); err != nil {
		return nil, err
	}
	b.say("at rest")
	var err error
	if r.Rest, err = b.pollWindow(ctx, cfg.Window); err != nil {
		return nil, err
	}
	watts := unit.Watts(b.sim.Mining() * cfg.Shed)
	b.say("%v is ordered free", watts)
	curtailed, end := context.WithCancel(ctx)
	defer end()
	ordered := make(chan error, 1)
	go func() { // ends with curtailed at the latest
		ordered <- b.server.curtail(curtailed, watts, 2*cfg.Window+5*time.Minute,
			func(*hashleasev1.CurtailSiteResponse) {})
	}()
	if err := wait(ctx, 90*time.Second); err != nil { // until all have yielded
		return nil, err
	}
	b.say("in dispatch")
	if r.Busy, err = b.pollWindow(ctx, cfg.Window); err != nil {
		return nil, err
	}
	select {
	case err := <-ordered:
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("curtailing: %w", err)
		}
	default:
	}
	r.judge()
	return r, nil
}

func (r *PollResult) judge() {
	for name, w := range map[string]*PollWindow{"at rest": &r.Rest, "in dispatch": &r.Busy} {
		miss := func(format string, args ...any) {
			r.Missed = append(r.Missed, name+": "+fmt.Sprintf(format, args...))
		}
		if w.Cores >= 1 {
			miss("%.2f cores; the goal is below 1", w.Cores)
		}
		if w.AgeP99 > restAge.Seconds() {
			miss("1 %% of machines were last heard of %.1f s ago or more; %v is accepted", w.AgeP99, restAge)
		}
		if w.FastP99 > fastAge.Seconds() {
			miss("1 %% of those held down were last heard of %.1f s ago or more; %v is accepted",
				w.FastP99, fastAge)
		}
		if w.Unheard > 0 {
			miss("%d machines were never heard of", w.Unheard)
		}
	}
	if r.Busy.Reduced == 0 {
		r.Missed = append(r.Missed, "nobody was held down")
	}
	slices.Sort(r.Missed)
}

// known waits until the server has heard of all machines, or of nobody new for a while.
func (b *bench) known(ctx context.Context, n int) error {
	deadline := time.Now().Add(meetTime)
	for {
		w, err := b.sighted(ctx)
		if err != nil {
			return err
		}
		b.say("%d of %d machines have answered", n-w.Unheard, n)
		if w.Unheard == 0 || time.Now().After(deadline) {
			return nil
		}
		if err := wait(ctx, 5*time.Second); err != nil {
			return err
		}
	}
}

// pollWindow measures for a while.
func (b *bench) pollWindow(ctx context.Context, span time.Duration) (w PollWindow, err error) {
	start := time.Now()
	server, own, err := b.cpu()
	if err != nil {
		return w, err
	}
	if err := wait(ctx, span); err != nil {
		return w, err
	}
	server2, own2, err := b.cpu()
	if err != nil {
		return w, err
	}
	took := time.Since(start).Seconds()
	if w, err = b.sighted(ctx); err != nil {
		return w, err
	}
	w.Seconds, w.Cores, w.Simulated = took, (server2-server).Seconds()/took, (own2-own).Seconds()/took
	b.say("the server uses %.2f cores, the machines %.2f", w.Cores, w.Simulated)
	return w, nil
}

// sighted is what the server says that it knows of the machines.
func (b *bench) sighted(ctx context.Context) (w PollWindow, err error) {
	ctx, conn, err := b.server.operator(ctx)
	if err != nil {
		return w, err
	}
	defer conn.Close() //nolint:errcheck // nothing was written that could be lost
	var ages, fast []float64
	ask := &hashleasev1.ListDevicesRequest{PageSize: 1000}
	for {
		page, err := hashleasev1.NewOperatorServiceClient(conn).ListDevices(ctx, ask)
		if err != nil {
			return w, fmt.Errorf("listing machines: %w", err)
		}
		now := time.Now()
		for _, d := range page.GetDevices() {
			switch {
			case d.GetSighting() == nil:
				w.Unheard++
				continue
			case d.GetFailures() > 0:
				w.Silent++
			}
			age := now.Sub(d.GetSighting().GetTime().AsTime()).Seconds()
			ages = append(ages, age)
			if d.GetMode() != "free" {
				w.Reduced++
				fast = append(fast, age)
			}
		}
		if ask.PageToken = page.GetNextPageToken(); ask.GetPageToken() == "" {
			break
		}
	}
	w.AgeP50, w.AgeP99, w.FastP99 = rank(ages, 0.5), rank(ages, 0.99), rank(fast, 0.99)
	return w, nil
}

// rank is what a share of the values does not pass; 0 if there are none. It sorts them.
func rank(values []float64, share float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[int(math.Ceil(share*float64(len(values))))-1]
}

// cpu is the CPU time that the server and this process, in which the machines are, have used.
func (b *bench) cpu() (server, own time.Duration, err error) {
	if server, err = load.CPUOf(b.server.cmd.Process.Pid); err != nil {
		return 0, 0, err
	}
	own, err = load.CPUOf(os.Getpid())
	return server, own, err
}

// PollText is the result for people, as Markdown.
func PollText(r *PollResult) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d machines (%s), asked on their own interfaces.\n\n", r.Devices, r.Fleet)
	s.WriteString("| | at rest | in dispatch |\n|---|---:|---:|\n")
	row := func(name, format string, of func(*PollWindow) any) {
		fmt.Fprintf(&s, "| %s | "+format+" | "+format+" |\n", name, of(&r.Rest), of(&r.Busy))
	}
	row("cores that the server uses (goal: below 1)", "%.2f", func(w *PollWindow) any { return w.Cores })
	row("cores that the machines use", "%.2f", func(w *PollWindow) any { return w.Simulated })
	row("machines held down, asked every 5 s", "%d", func(w *PollWindow) any { return w.Reduced })
	row("machines that did not answer the last time", "%d", func(w *PollWindow) any { return w.Silent })
	row("machines never heard of", "%d", func(w *PollWindow) any { return w.Unheard })
	row("age of what is known, median, s", "%.1f", func(w *PollWindow) any { return w.AgeP50 })
	row("age of what is known, 99 %, s (goal: <= 45)", "%.1f", func(w *PollWindow) any { return w.AgeP99 })
	row("the same of those held down (goal: <= 7.5)", "%.1f", func(w *PollWindow) any { return w.FastP99 })
	return s.String() + "\n" + missedText(r.Missed)
}
