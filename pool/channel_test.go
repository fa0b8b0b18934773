package pool_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool"
)

// Ensure that neither accepted nor refused shares allocate, on both kinds of channel.
func TestChannel_SubmitDoesNotAllocate(t *testing.T) {
	if raced {
		t.Skip("allocations cannot be counted under the race detector")
	}
	for _, kind := range []pool.Kind{pool.Standard, pool.Extended} {
		cfg := easy(kind)
		cfg.Difficulty.Floor = pool.MaxTarget
		r := advance(t, newAssembler(t), nil, newTemplate(t, 840000, 100))
		c := open(t, cfg, r)
		s := share(c, r.Full, 2, 0)
		c.Submit(s, start) // the first one makes the table and the scratch space
		for range 1000 {
			s.Nonce++
			c.Submit(s, start)
		}
		now, rejects := start, map[pool.Reject]int{}
		short := make([]byte, 7)
		run := func(change func(pool.Share) pool.Share) float64 {
			return testing.AllocsPerRun(500, func() {
				s.Nonce++
				now = now.Add(time.Second)
				rejects[c.Submit(change(s), now).Reject]++
			})
		}
		for want, change := range map[pool.Reject]func(pool.Share) pool.Share{
			pool.RejectNone:           func(s pool.Share) pool.Share { return s },
			pool.RejectDuplicate:      func(s pool.Share) pool.Share { s.Nonce = 0; return s },
			pool.RejectUnknownJob:     func(s pool.Share) pool.Share { s.JobID = 99; return s },
			pool.RejectTime:           func(s pool.Share) pool.Share { s.Time = 0; return s },
			pool.RejectVersionBits:    func(s pool.Share) pool.Share { s.Version ^= 1; return s },
			pool.RejectExtranonceSize: func(s pool.Share) pool.Share { s.Extranonce = short; return s },
		} {
			before := rejects[want]
			if n := run(change); n != 0 {
				t.Errorf("%v channel: %v allocates %v times", kind, want, n)
			}
			if rejects[want]-before < 500 {
				t.Errorf("%v channel: the run meant for %v gives %v", kind, want, rejects)
			}
		}
		n := testing.AllocsPerRun(100, func() {
			now = now.Add(time.Second)
			c.Retarget(now)
			c.Measured(now)
		})
		if n != 0 {
			t.Errorf("%v channel: Retarget and Measured allocate %v times", kind, n)
		}
	}
}

// Ensure that low-difficulty shares do not allocate either.
func TestChannel_RejectDoesNotAllocate(t *testing.T) {
	if raced {
		t.Skip("allocations cannot be counted under the race detector")
	}
	cfg := easy(pool.Extended)
	cfg.Difficulty.Floor = pool.TargetForHashes(1e15)
	r := advance(t, newAssembler(t), nil, newTemplate(t, 840000, 100))
	c := open(t, cfg, r)
	s := share(c, r.Full, 2, 0)
	n := testing.AllocsPerRun(500, func() {
		s.Nonce++
		if v := c.Submit(s, start); v.Reject != pool.RejectLowDifficulty {
			t.Fatal(v.Reject)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Ensure that the target never passes what the device or the server allows, whatever is declared,
// commanded or mined, and that a job's work is that of its target.
func TestChannel_TargetStaysInBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		target := rapid.Custom(func(t *rapid.T) pool.Target {
			var b [32]byte
			copy(b[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "bytes"))
			for i := range rapid.IntRange(0, 32).Draw(t, "zeros") {
				b[31-i] = 0
			}
			return pool.TargetFromBytes(&b)
		})
		rate := rapid.Custom(func(t *rapid.T) pool.ChannelConfig {
			return pool.ChannelConfig{Nominal: unitHashrate(rapid.Float64().Draw(t, "h"))}
		})
		cfg := easy(pool.Standard)
		cfg.Nominal = rate.Draw(t, "nominal").Nominal
		cfg.MaxTarget = target.Draw(t, "max")
		some := func(x pool.Target) bool { return x != pool.Target{} }
		cfg.Difficulty.Floor = target.Filter(some).Draw(t, "floor")
		cfg.Difficulty.SharesPerMinute = rapid.Float64().Draw(t, "spm")
		now, limit := start, cfg.MaxTarget
		c := pool.NewChannel(cfg, now)
		check := func(*rapid.T) {
			if c.Target().Cmp(limit) > 0 || c.Target().Cmp(cfg.Difficulty.Floor) > 0 {
				t.Fatalf("target %v above %v or floor %v", c.Target(), limit, cfg.Difficulty.Floor)
			}
		}
		check(t)
		t.Repeat(map[string]func(*rapid.T){
			"update": func(t *rapid.T) {
				limit = target.Draw(t, "max")
				c.Update(rate.Draw(t, "nominal").Nominal, limit, now)
			},
			"expect": func(t *rapid.T) {
				c.Expect(rate.Draw(t, "h").Nominal, rapid.Float64().Draw(t, "spm"), now)
			},
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.Int64Range(-1e9, 1e13).Draw(t, "ns")))
				if got, _ := c.Retarget(now); got != c.Target() {
					t.Fatalf("Retarget says %v, Target %v", got, c.Target())
				}
			},
			"": check,
		})
	})
}

// Ensure that a device which declares nothing, or nonsense, gets no free credit (SV2-064).
func TestChannel_GivesNoFreeCredit(t *testing.T) {
	for _, nominal := range []float64{0, -1, nan(), inf(), -inf()} {
		cfg := easy(pool.Standard)
		def := pool.DefaultDifficulty()
		cfg.Nominal, cfg.Difficulty = unitHashrate(nominal), &def
		if got := pool.NewChannel(cfg, start).Target().Work(); got < 1<<32 {
			t.Errorf("nominal %v: %d hashes a share", nominal, got)
		}
		cfg.Difficulty = &pool.DifficultyConfig{} // not even a broken configuration opens the gate
		if got := pool.NewChannel(cfg, start).Target().Work(); got < 1<<32 {
			t.Errorf("nominal %v without configuration: %d hashes a share", nominal, got)
		}
	}
}

// Ensure that an accepted share is worth the work of the target that its job was announced with.
func TestChannel_CreditsTheWorkOfTheJobsTarget(t *testing.T) {
	r := advance(t, newAssembler(t), nil, newTemplate(t, 100, 3))
	cfg := easy(pool.Standard)
	cfg.Nominal = 100
	c := open(t, cfg, r)
	a := c.Assign(r.Full, 3, start)
	c.Expect(1e9, 0, start)
	if c.Target() == a.Target {
		t.Fatal("the target does not follow the order")
	}
	_, v := mine(t, c, share(c, r.Full, 3, 0), accepted)
	if v.Work != a.Target.Work() || v.Difficulty != a.Target.Difficulty() {
		t.Errorf("work %d, difficulty %g; want those of %v", v.Work, v.Difficulty, a.Target)
	}
}

// Ensure that a job announced later starts at the node's time of its template, but that a share
// may still have any time that consensus allows.
func TestChannel_TimesFollowTheJob(t *testing.T) {
	a := newAssembler(t)
	tmpl := newTemplate(t, 100, 1)
	r := advance(t, a, nil, tmpl)
	cfg := easy(pool.Standard)
	cfg.Difficulty.Floor = pool.MaxTarget
	c := open(t, cfg, r)
	later := *tmpl
	later.Time += 9000
	j := advance(t, a, r, &later).Full
	got := c.Assign(j, 3, start)
	if got.MinTime != later.Time {
		t.Errorf("announced from %d, want %d", got.MinTime, later.Time)
	}
	for offset, want := range map[int64]pool.Reject{
		-9001: pool.RejectTime, -9000: pool.RejectNone, 0: pool.RejectNone,
		7200: pool.RejectNone, 7201: pool.RejectTime,
	} {
		s := share(c, j, 3, 0)
		s.Time = uint32(int64(later.Time) + offset)
		if v := c.Submit(s, start); v.Reject != want {
			t.Errorf("time %+d: %v, want %v", offset, v.Reject, want)
		}
	}
}

// Ensure that a window of header times that ends past the last time there is does not wrap around.
func TestChannel_TimeWindowDoesNotWrap(t *testing.T) {
	tmpl := newTemplate(t, 100, 0)
	tmpl.MinTime, tmpl.Time = 1<<32-10, 0
	cfg := easy(pool.Standard)
	cfg.Difficulty.Floor = pool.MaxTarget
	r := advance(t, newAssembler(t), nil, tmpl)
	c := open(t, cfg, r)
	s := share(c, r.First, 1, 0)
	s.Time = 1<<32 - 1
	if v := c.Submit(s, start); v.Reject != pool.RejectNone {
		t.Errorf("got %v", v.Reject)
	}
	s.Time = 5
	if v := c.Submit(s, start); v.Reject != pool.RejectTime {
		t.Errorf("got %v", v.Reject)
	}
}

// Ensure that the measured hashrate is the credited work over the window.
func TestChannel_MeasuresHashrate(t *testing.T) {
	r := advance(t, newAssembler(t), nil, newTemplate(t, 100, 0))
	cfg := easy(pool.Standard)
	c := open(t, cfg, r)
	now, s := start, share(c, r.First, 1, 0)
	work := uint64(0)
	for i := range 600 {
		now = now.Add(time.Second)
		for range 2 {
			for {
				s.Nonce++
				if v := c.Submit(s, now); v.Reject == pool.RejectNone {
					work = v.Work
					break
				}
			}
		}
		if i < 9 {
			continue
		}
		if h := float64(c.Measured(now)); h < 1.85*float64(work) || h > 2.15*float64(work) {
			t.Fatalf("after %d s: %v, want about %d", i+1, h, 2*work)
		}
	}
	if h := c.Measured(now.Add(time.Hour)); h != 0 {
		t.Errorf("an hour later: %v", h)
	}
}

// Ensure that the channel tells what it was opened with.
func TestChannel_TellsItsIdentity(t *testing.T) {
	for kind, size := range map[pool.Kind]int{pool.Standard: 0, pool.Extended: 16} {
		c := pool.NewChannel(easy(kind), start)
		if _, tipped := c.Tip(); tipped || c.ID() != 1 || c.Kind() != kind || c.Worker() != "alice.rig1" ||
			c.RollSize() != size || len(c.Prefix())+size != pool.ExtranonceSize {
			t.Errorf("%v channel: %+v", kind, c)
		}
	}
}

// A channel is given jobs and judges shares.
func ExampleChannel() {
	script := append([]byte{0, 20}, make([]byte, 20)...)
	a, err := pool.NewAssembler(pool.CoinbaseConfig{Script: script, Tag: "/example/"}, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	round, err := a.Advance(nil, &pool.Template{
		Tip:     pool.Tip{Height: 100, Prev: hashOf(99), Bits: 0x207fffff},
		Version: 0x20000000,
		Value:   50_0000_0000,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Unix(1_800_000_000, 0)
	c := pool.NewChannel(pool.ChannelConfig{
		Prefix: pool.Standard.Prefix([4]byte{1}), MaxTarget: pool.MaxTarget,
		Difficulty: &pool.DifficultyConfig{SharesPerMinute: 6, Floor: pool.TargetForHashes(4)},
	}, now)
	job := c.Assign(round.First, 1, now)
	fmt.Println("future:", job.Future)
	if err := c.Activate(1, &round.Tip, now); err != nil {
		fmt.Println(err)
		return
	}
	for nonce := range uint32(100) {
		v := c.Submit(pool.Share{JobID: 1, Nonce: nonce, Version: job.Version}, now)
		if v.Reject == pool.RejectNone {
			fmt.Println(v.Reject, "work", v.Work, "block", v.Block != nil)
			break
		}
	}
	// Output:
	// future: true
	// accepted work 5 block true
}
