package governor_test

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/governor"
	"github.com/hashlease/hashlease/pool/unit"
)

// Ensure that nothing is ordered before the first set of caps: a tenant may be drawing.
func TestGovernor_OrdersNothingBeforeItKnowsTheClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		for _, d := range s.devices[:10] {
			d.draws, d.next = d.worker.Sleep, d.worker.Sleep
		}
		g, stop := s.start(s.config())
		defer stop()
		s.run(20 * time.Second)
		if n := s.writes(); n > 0 {
			t.Errorf("%d orders before SetCaps", n)
		}
		if st := one(g); !strings.Contains(st.State, "waiting") {
			t.Errorf("state %q", st.State)
		}
	})
}

// wholeLease runs one lease from booking to restored mining; the tenant draws in full from its start
// to its end, proof or no proof.
func wholeLease(t *testing.T, governed bool) *sim {
	t.Helper()
	s := newSim(t, 40)
	cfg := s.config()
	g, stop := s.start(cfg)
	defer stop()
	start := time.Now().Add(45 * time.Second)
	l := lease("l1", 40_000, start, time.Minute)
	s.policy = func(now time.Time) unit.Watts {
		if now.Before(l.From) || now.After(l.Until.Add(10*time.Second)) {
			return 0
		}
		return l.Watts
	}
	if governed {
		setCaps(t, g, 1, l)
	}
	s.run(14 * time.Second)
	if n := s.writes(); n > 0 {
		t.Errorf("%d orders before the notice began", n)
	}
	s.run(30 * time.Second)
	s.proofs(g)
	if p := s.proof["l1"]; governed && (!p.Free || p.FirstOrder.IsZero() || p.Freed < 30_000) {
		t.Errorf("not proven before its start: %+v", p)
	}
	s.run(66 * time.Second)
	s.proofs(g)
	if p := s.proof["l1"]; governed && (p.Gone || p.Delivered < 40_000*58 || p.Delivered > 40_000*62) {
		t.Errorf("the tenant still draws, proof: %+v", p)
	}
	if n := one(g).Curtailed; governed && n == 0 {
		t.Error("mining was restored while the tenant draws")
	}
	s.run(60 * time.Second)
	s.proofs(g)
	if p := s.proof["l1"]; governed && !p.Gone {
		t.Errorf("the tenant is off, proof: %+v", p)
	}
	if st := one(g); governed && (st.Curtailed > 0 || st.Mining < st.Full*99/100) {
		t.Errorf("%d workers still curtailed, mining %v of %v, bound %v, excess %v, state %s, planned %v",
			st.Curtailed, st.Mining, st.Full, st.Bound, st.Excess, st.State, st.Planned)
	}
	return s
}

// Ensure that a lease is freed, proven, held past its end while the tenant draws, and restored, without
// the limit being crossed, and that the same lease without a governor crosses it.
func TestGovernor_CarriesLeaseWithoutCrossingTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := wholeLease(t, true)
		s.neverOver()
		if n := s.writes(); n > 36 {
			t.Errorf("%d orders for a lease that needs 13 machines or so", n)
		}
		for _, d := range s.devices {
			if d.mostSet > 1 {
				t.Errorf("%s got %d orders at once", d.worker.ID, d.mostSet)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		if s := wholeLease(t, false); s.over == 0 {
			t.Error("without a governor the limit was not crossed: the measure cannot fail")
		}
	})
}

// Ensure that machines that ignore orders, answer never or lie are named, that others give way instead,
// and that the claim is proven all the same.
func TestGovernor_EscalatesPastStuckWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 40)
		cfg, said := s.config(), new(strings.Builder)
		cfg.Log = slog.New(slog.NewTextHandler(said, nil))
		g, stop := s.start(cfg)
		defer func() { // they are named in the log, too
			stop()
			log := said.String()
			if !strings.Contains(log, "level=WARN") || !strings.Contains(log, "worker=a.w01") {
				t.Errorf("the log does not name them:\n%s", said)
			}
		}()
		for i, d := range s.devices { // the worst machines go first
			switch {
			case i%10 == 1:
				d.deaf = true
			case i%20 == 8:
				d.mute = true
			case i%20 == 2:
				d.liar = true
			}
		}
		l := lease("l1", 45_000, time.Now().Add(50*time.Second), time.Minute)
		setCaps(t, g, 1, l)
		s.policy = func(now time.Time) unit.Watts {
			if s.proofs(g); s.proof["l1"].Free && now.After(l.From) && now.Before(l.Until) {
				return l.Watts
			}
			return 0
		}
		s.until("proof", 60*time.Second, func() bool { s.proofs(g); return s.proof["l1"].Free })
		s.run(100 * time.Second)
		s.neverOver()
		stuck := 0
		for _, e := range g.Events(0) {
			if e.Level == governor.Warn && strings.Contains(e.Message, "stuck") {
				stuck++
			}
		}
		if stuck == 0 {
			t.Error("no stuck worker was named")
		}
	})
}

// Ensure that without fresh meters nobody returns.
func TestGovernor_HoldsWhileMeterIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		g, stop := s.start(s.config())
		defer stop()
		l := lease("l1", 20_000, time.Now(), 30*time.Second)
		setCaps(t, g, 1, l)
		s.until("proof", 30*time.Second, func() bool { s.proofs(g); return s.proof["l1"].Free })
		s.mining.change(func() { s.mining.frozen = true })
		s.run(30 * time.Second)
		before := s.writes()
		if n := one(g).Curtailed; n == 0 {
			t.Fatal("somebody returned without a meter")
		}
		s.run(60 * time.Second)
		if n := s.writes(); n != before {
			t.Errorf("%d orders without a meter", n-before)
		}
		if p := s.proof["l1"]; p.Claim == "" {
			t.Error("no proof")
		}
		if st := one(g); st.Fresh || !strings.Contains(st.State, "mining") {
			t.Errorf("state %q", st.State)
		}
		s.mining.change(func() { s.mining.frozen = false })
		s.until("restore", 60*time.Second, func() bool { return one(g).Curtailed == 0 })
		s.neverOver()
	})
}

// Ensure that a new process in the middle of a lease keeps the tenant's power: it takes machines over as
// they are and lets nobody return.
func TestGovernor_RestartsInTheMiddleOfALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 40)
		g, stop := s.start(s.config())
		l := lease("l1", 40_000, time.Now().Add(30*time.Second), 5*time.Minute)
		s.policy = func(now time.Time) unit.Watts {
			if now.After(l.From) && now.Before(l.Until) {
				return l.Watts
			}
			return 0
		}
		setCaps(t, g, 1, l)
		s.run(60 * time.Second)
		stop()
		for _, d := range s.devices {
			s.disconnect(d)
		}
		s.run(90 * time.Second) // longer than the dead man
		s.neverOver()
		writes := s.writes()

		cfg := s.config()
		cfg.Term = 2
		s.proof, s.after = map[string]fleet.Proof{}, 0
		g, stop = s.start(cfg)
		defer stop()
		setCaps(t, g, 1, l)
		for i, d := range s.devices {
			s.connect(d)
			if i%4 == 0 {
				s.run(500 * time.Millisecond)
			}
		}
		s.run(30 * time.Second)
		s.neverOver()
		s.proofs(g)
		if !s.proof["l1"].Free {
			t.Errorf("not proven after the restart: %+v", s.proof["l1"])
		}
		adopted := 0
		for _, d := range s.devices {
			if o := d.orders(); len(o) > 0 && o[len(o)-1].Term == 2 {
				adopted++
			}
		}
		if adopted == 0 || s.writes()-writes > 40 {
			t.Errorf("%d machines taken over with %d orders", adopted, s.writes()-writes)
		}
		s.until("restore", 8*time.Minute, func() bool {
			return one(g).Curtailed == 0 && time.Now().After(l.Until)
		})
		s.run(20 * time.Second)
		s.neverOver()
	})
}

// Ensure that a machine that wakes by itself is told again, and others cover for it meanwhile.
func TestGovernor_TellsWorkerAgainThatWokeByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		g, stop := s.start(s.config())
		defer stop()
		setCaps(t, g, 1, lease("l1", 20_000, time.Now(), time.Hour))
		s.run(20 * time.Second)
		var woken *device
		for _, d := range s.devices {
			if d.says() == d.worker.Sleep {
				woken = d
			}
		}
		woken.wakeUp()
		n := len(woken.orders())
		s.run(15 * time.Second)
		if len(woken.orders()) == n || woken.says() != woken.worker.Sleep {
			t.Errorf("orders %+v, draws %v", woken.orders()[n:], woken.says())
		}
		s.proofs(g)
		if !s.proof["l1"].Free {
			t.Errorf("proof %+v", s.proof["l1"])
		}
	})
}

// Ensure that a reduction is refreshed before its dead man runs out, and holds without us only if a
// tenant is behind it.
func TestGovernor_RefreshesReductionsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		g, stop := s.start(s.config())
		defer stop()
		setCaps(t, g, 1, lease("l1", 20_000, time.Now(), time.Hour))
		s.run(20 * time.Second)
		writes := s.writes()
		for range 20 {
			s.run(10 * time.Second)
			for _, d := range s.devices {
				o := d.orders()
				if len(o) == 0 || o[len(o)-1].Mode == fleet.Free {
					continue
				}
				d.mu.Lock()
				until := d.until
				d.mu.Unlock()
				if last := o[len(o)-1]; !last.FailHold || time.Now().After(until) {
					t.Fatalf("%s: %+v, valid until %v", d.worker.ID, last, until)
				}
			}
		}
		if n := s.writes(); n != writes {
			t.Errorf("%d new orders although nothing changed", n-writes)
		}
		if st := g.Status(); st.Refreshes == 0 {
			t.Error("no refresh counted")
		}
	})
}

// Ensure that Observe and Advise write nothing, and that Advise shows the plan.
func TestGovernor_WritesOnlyWhenArmedToAct(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		s.feeder.Arm = fleet.Observe
		g, stop := s.start(s.config())
		defer stop()
		setCaps(t, g, 1, lease("l1", 20_000, time.Now(), time.Hour))
		s.run(10 * time.Second)
		if err := g.SetArm(t.Context(), "f1", fleet.Advise); err != nil {
			t.Fatal(err)
		}
		s.run(10 * time.Second)
		if n := s.writes(); n > 0 {
			t.Errorf("%d orders", n)
		}
		advised := 0
		for _, w := range one(g).Workers {
			if w.Advised != fleet.Free {
				advised++
			}
		}
		if advised == 0 {
			t.Error("no advice")
		}
		if err := g.SetArm(t.Context(), "f1", fleet.Act); err != nil {
			t.Fatal(err)
		}
		s.until("proof", 20*time.Second, func() bool { s.proofs(g); return s.proof["l1"].Free })
		if err := g.SetArm(t.Context(), "nowhere", fleet.Act); err == nil {
			t.Error("an unknown feeder was armed")
		}
	})
}

// Ensure that an ended lease of a tenant without a meter counts in full until an operator's word.
func TestGovernor_HoldsUnmeteredTenantUntilConfirmedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 20)
		s.unheard = true
		g, stop := s.start(s.config())
		defer stop()
		l := lease("l1", 20_000, time.Now(), 20*time.Second)
		setCaps(t, g, 1, l)
		s.run(15 * time.Second)
		if err := g.ConfirmOff(t.Context(), "l1"); err == nil {
			t.Error("confirmed off before the end")
		}
		s.run(30 * time.Second)
		setCaps(t, g, 2) // the service has forgotten it
		s.run(60 * time.Second)
		if one(g).Curtailed == 0 {
			t.Fatal("mining was restored without the operator's word")
		}
		if err := g.ConfirmOff(t.Context(), "l1"); err != nil {
			t.Fatal(err)
		}
		s.until("restore", time.Minute, func() bool { return one(g).Curtailed == 0 })
		s.proofs(g)
		if !s.proof["l1"].Gone {
			t.Errorf("proof %+v", s.proof["l1"])
		}
	})
}

// Ensure that sessions hear what is expected of them with every order.
func TestGovernor_TellsSessionsWhatToExpect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 10)
		g, stop := s.start(s.config())
		defer stop()
		setCaps(t, g, 1, lease("l1", 10_000, time.Now(), 20*time.Second))
		s.run(15 * time.Second)
		silent := 0
		for _, d := range s.devices {
			if e := s.links[d.worker.ID].Expectation(); e != nil && e.Hashrate == 0 && e.SharesPerMinute > 0 {
				silent++
			}
		}
		if silent == 0 || silent != one(g).Curtailed {
			t.Errorf("%d sessions expect silence, %d workers are curtailed", silent, one(g).Curtailed)
		}
		s.run(60 * time.Second)
		for _, d := range s.devices {
			e := s.links[d.worker.ID].Expectation()
			if e != nil && (e.Hashrate == 0 || e.SharesPerMinute != 0) {
				t.Errorf("%s: after the return its session expects %+v", d.worker.ID, e)
			}
		}
	})
}

// Ensure that sets are checked as a whole, and older revisions ignored.
func TestGovernor_IgnoresOldAndRefusesFaultyCaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 10)
		g, stop := s.start(s.config())
		defer stop()
		l := lease("l1", 10_000, time.Now(), time.Hour)
		setCaps(t, g, 5, l)
		setCaps(t, g, 4)
		if st := g.Status(); st.Revision != 5 {
			t.Errorf("revision %d", st.Revision)
		}
		bad := l
		bad.Claim, bad.Feeder, bad.Watts, bad.Until = "operator/1", "f9", 0, bad.From
		err := g.SetCaps(t.Context(), 6, []fleet.Cap{l, l, bad, {}})
		for _, want := range []string{
			"twice", "f9", "above 0", "end after the start", "begin with operator/", "1 to 200",
		} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v does not say %q", err, want)
			}
		}
		if st := g.Status(); st.Revision != 5 {
			t.Errorf("a faulty set was taken over: revision %d", st.Revision)
		}
	})
}
