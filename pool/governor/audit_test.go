package governor_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/pool/audit"
	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/fleet/fleettest"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
)

// notes keeps what was noted.
type notes struct {
	mu   sync.Mutex
	list []audit.Record
}

func (n *notes) take(r audit.Record) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, r)
}

func (n *notes) of(kind audit.Kind) (list []audit.Record) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.list {
		if r.Kind == kind {
			list = append(list, r)
		}
	}
	return list
}

// Ensure that everything that was done about a lease is noted: its claim, each order and each answer, how
// far it took effect, what the meter showed every second, and the work that was not done, as measured.
func TestGovernor_NotesWhatItDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		var n notes
		cfg := s.config()
		cfg.Audit = n.take
		g, stop := s.start(cfg)
		setCaps(t, g, 1)
		s.run(12 * time.Minute)
		if got := len(n.of(audit.Reading)); got < 11 || got > 16 {
			t.Errorf("%d readings in 12 quiet minutes", got)
		}
		quarters := len(n.of(audit.Interval))
		start := time.Now().Add(45 * time.Second)
		l := lease("l1", 20_000, start, 2*time.Minute)
		s.policy = func(now time.Time) unit.Watts {
			if now.Before(l.From) || !now.Before(l.Until) {
				return 0
			}
			return l.Watts
		}
		setCaps(t, g, 2, l)
		s.run(6 * time.Minute)
		orders := g.Status().Orders
		stop()

		writes := 0
		for _, d := range s.devices {
			writes += len(d.orders())
		}
		if a := len(n.of(audit.Acked)); a != writes || uint64(len(n.of(audit.Order))) != orders {
			t.Errorf("%d orders and %d answers are noted, %d left and %d came in",
				len(n.of(audit.Order)), a, orders, writes)
		}
		confirmed := false
		for _, r := range n.of(audit.Evidence) {
			confirmed = confirmed || r.State == fleet.MeterConfirmed.String()
		}
		claims := n.of(audit.Claim)
		if !confirmed || len(claims) != 1 || claims[0].Watts != l.Watts || claims[0].State != "set" {
			t.Errorf("confirmed %v, claims %+v", confirmed, claims)
		}
		proofs := n.of(audit.Proof)
		if len(proofs) < 2 || !proofs[0].Free || !proofs[len(proofs)-1].Gone ||
			proofs[len(proofs)-1].Delivered < 20_000*118 {
			t.Errorf("proofs %+v", proofs)
		}
		if got := len(n.of(audit.Interval)); got <= quarters {
			t.Errorf("%d quarters of an hour", got)
		}
		checkWork(t, s, n.of(audit.Reading), n.of(audit.Order))
	})
}

// checkWork compares the work that is said to be missing with what the orders took.
func checkWork(t *testing.T, s *sim, readings, orders []audit.Record) {
	t.Helper()
	var missing, want float64
	var last time.Time
	busy := 0
	for _, r := range readings {
		missing += r.Due - r.Done
		if r.Reduced > 0 {
			busy++
			if gap := r.At.Sub(last); busy > 1 && gap > 1300*time.Millisecond {
				t.Errorf("%v between two readings while workers are reduced", gap)
			}
		}
		last = r.At
	}
	since := map[pool.WorkerID]audit.Record{}
	for _, r := range orders {
		if o, ok := since[r.Worker]; ok {
			want += (o.Stable - o.Hashrate) * r.At.Sub(o.At).Seconds()
		}
		since[r.Worker] = r
		curve := float64(s.devices[0].worker.Curve.Full().Hashrate)
		if r.Stable <= 0 || curve <= 0 {
			t.Errorf("no stable hashrate is known of %s", r.Worker)
		}
	}
	if busy < 100 || want <= 0 || math.Abs(missing-want) > want/8 {
		t.Errorf("%d readings; %.3g hashes are missing, by the orders %.3g", busy, missing, want)
	}
}

// Ensure that limits, arms, stops and curtailments are noted, and what is in force at a start.
func TestGovernor_NotesTheOperatorsWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 10)
		var n notes
		cfg := s.config()
		cfg.Audit = n.take
		g, stop := s.start(cfg)
		setCaps(t, g, 1)
		s.run(5 * time.Second)
		for _, do := range []func() error{
			func() error {
				_, err := g.SetLimit(t.Context(), governor.Limit{
					Site: "s1", Watts: 20_000, Until: time.Now().Add(time.Minute), Reason: "4CP",
				})
				return err
			},
			func() error { return g.ClearLimit(t.Context(), 1) },
			func() error { _, err := g.Stop(t.Context(), "s1", "smoke"); return err },
			func() error { return g.Resume(t.Context(), "s1") },
			func() error { return g.SetArm(t.Context(), "f1", fleet.Advise) },
		} {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		}
		stop()
		var said []string
		for _, k := range []audit.Kind{audit.LimitSet, audit.Stop, audit.Armed} {
			for _, r := range n.of(k) {
				said = append(said, fmt.Sprint(r.Kind, " ", r.State, " ", r.Text))
			}
		}
		want := "[limit set 4CP limit cleared 4CP stop stopped smoke stop resumed  arm act  arm advise ]"
		if got := fmt.Sprint(said); got != want {
			t.Errorf("noted %s, want %s", got, want)
		}
		if len(n.of(audit.Event)) < 5 || len(n.of(audit.MeterState)) == 0 {
			t.Errorf("%d events, %d states of meters", len(n.of(audit.Event)), len(n.of(audit.MeterState)))
		}
	})
}

// BenchmarkAudit is a second of a governor of 10,000 workers, a tenth of them reduced, with and without a
// log.
func BenchmarkAudit(b *testing.B) {
	for _, logged := range []bool{false, true} {
		b.Run(fmt.Sprintf("logged=%v", logged), func(b *testing.B) {
			cfg := governor.DefaultConfig()
			cfg.Registry = fleet.NewRegistry()
			m := fleettest.Models()[0]
			f := fleet.Feeder{
				ID: "f1", Site: "s1", Limit: 100 * unit.Megawatt, Reserve: unit.Megawatt, Base: unit.Megawatt,
				Overload: fleet.Overload{Watts: unit.Megawatt, For: time.Minute}, Arm: fleet.Act,
			}
			cfg.Sites = []fleet.Site{{ID: "s1", Feeders: []fleet.Feeder{f}}}
			for i := range 10_000 {
				id := pool.WorkerID(fmt.Sprintf("a.w%05d", i))
				w := fleet.Worker{ID: id, Feeder: "f1", Curve: m.Curve(6), Sleep: m.Sleep}
				cfg.Workers = append(cfg.Workers, w)
				l := cfg.Registry.Open(w.ID, func() {})
				l.Report(fleet.Reading{Watts: w.Curve.Full().Watts, At: time.Now()})
			}
			if logged {
				l, err := audit.Open(audit.DefaultConfig(b.TempDir()), time.Now())
				if err != nil {
					b.Fatal(err)
				}
				cfg.Audit = l.Note
				ctx, cancel := context.WithCancel(b.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					_ = l.Run(ctx)
				}()
				defer func() {
					cancel()
					<-done
				}()
			}
			g, err := governor.New(b.Context(), cfg)
			if err != nil {
				b.Fatal(err)
			}
			now := time.Now()
			governor.Step(g, now)
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(250 * time.Millisecond)
				governor.Step(g, now)
			}
		})
	}
}
