package pool_test

import (
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool"
)

// site is a small pool whose miners lose their connections and come back under their old prefixes. It
// plays the sessions' part: what they send of each round, and when.
type site struct {
	a        *pool.Assembler
	prefixes *pool.Prefixes
	round    *pool.Round
	renewed  *pool.Round
	height   int32
	fork     uint64
	miners   []*resumed
	lost     [][4]byte // prefixes of connections that ended
	sent     []sentShare
	credited map[chainhash.Hash]bool
}

// resumed is one connection: a channel and the jobs that it was sent.
type resumed struct {
	c      *pool.Channel
	prefix [4]byte
	jobs   map[*pool.Job]uint32 // newest id
	order  []*pool.Job
	lastID uint32
}

// sentShare is a share that was submitted once, and the job that it was for.
type sentShare struct {
	job *pool.Job
	s   pool.Share
}

// follow is what Server.dispatch and the sessions do with a new round.
func (x *site) follow(t *rapid.T, r *pool.Round) {
	x.round = r
	if x.renewed == nil || !r.Shares(x.renewed) {
		x.renewed = r
		x.prefixes.Renew()
	}
	for _, m := range x.miners {
		m.mine(t, x)
	}
}

func (m *resumed) future(j *pool.Job) {
	m.lastID++
	m.jobs[j], m.order = m.lastID, append(m.order, j)
	m.c.AssignFuture(j, m.lastID)
}

func (m *resumed) assign(j *pool.Job) {
	m.lastID++
	m.jobs[j], m.order = m.lastID, append(m.order, j)
	m.c.Assign(j, m.lastID, start)
}

// mine brings a channel to the round. A job that no share can count for goes out all the same: the
// channel alone has to keep the books.
func (m *resumed) mine(t *rapid.T, x *site) {
	if tip, ok := m.c.Tip(); !ok || tip != x.round.Tip {
		if id, ok := m.jobs[x.round.First]; !ok || !m.c.Waits(id) {
			m.future(x.round.First)
		}
		if err := m.c.Activate(m.jobs[x.round.First], &x.round.Tip, start); err != nil {
			t.Fatal(err)
		}
	}
	if j := x.round.Full; j != nil {
		if _, ok := m.jobs[j]; !ok {
			m.assign(j)
		}
	}
	if _, ok := m.jobs[x.round.Next]; !ok {
		m.future(x.round.Next)
	}
	if m.c.Spent(x.round.Best()) {
		m.assign(x.a.Fresh(x.round.Best()))
	}
}

// connect is a new connection, with its old prefix if it gets it.
func (x *site) connect(t *rapid.T) {
	cfg := easy(pool.Extended)
	cfg.Difficulty = &pool.DifficultyConfig{SharesPerMinute: 6, Floor: pool.MaxTarget}
	var prefix [4]byte
	if claim := rapid.Bool().Draw(t, "claim"); claim && len(x.lost) > 0 {
		prefix = rapid.SampledFrom(x.lost).Draw(t, "prefix")
		used, ok := x.prefixes.Claim(prefix)
		if !ok {
			return // somebody else has it by now
		}
		if used {
			cfg.After = x.a.Newest()
		}
	} else {
		prefix, _ = x.prefixes.Take()
	}
	cfg.Prefix = prefix[:]
	m := &resumed{c: pool.NewChannel(cfg, start), prefix: prefix, jobs: map[*pool.Job]uint32{}}
	for _, o := range x.miners {
		if o.prefix == prefix {
			t.Fatalf("two live channels have prefix %x", prefix)
		}
	}
	x.miners = append(x.miners, m)
	if x.round != nil {
		m.mine(t, x)
	}
}

// submit sends a share and fails if the same header was credited before, to whomever.
func (x *site) submit(t *rapid.T, m *resumed, j *pool.Job, s pool.Share) {
	s.JobID = m.jobs[j]
	v := m.c.Submit(s, start)
	if v.Reject == pool.RejectTime || v.Reject == pool.RejectLowDifficulty {
		t.Fatalf("a share is refused for %v", v.Reject)
	}
	if v.Reject != pool.RejectNone {
		return
	}
	if x.credited[v.Hash] {
		t.Fatalf("prefix %x: the share of job %d counts twice", m.prefix, j.Seq)
	}
	x.credited[v.Hash] = true
	x.sent = append(x.sent, sentShare{j, s})
}

// Ensure that no share counts twice however often its miner reconnects and claims the prefix that it, or
// somebody else, had before: every hash that was ever credited is new, whatever is sent again.
func TestPrefixes_ResumedChannelsCreditNothingTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, err := pool.NewAssembler(pool.CoinbaseConfig{Script: p2wpkh}, 7)
		if err != nil {
			t.Fatal(err)
		}
		x := &site{a: a, prefixes: pool.NewPrefixes(3), height: 100, credited: map[chainhash.Hash]bool{}}
		template := func(partial bool) {
			r, err := a.Advance(x.round, &pool.Template{
				Tip: pool.Tip{
					Height: x.height, Prev: hashOf(uint64(x.height)<<8 | x.fork),
					Bits: hardBits, MinTime: 1.8e9,
				},
				Value: 5, Partial: partial, Next: pool.NextBlock{Value: 5},
			})
			if err != nil {
				t.Fatal(err)
			}
			x.follow(t, r)
		}
		template(false)
		t.Repeat(map[string]func(*rapid.T){
			"connect": x.connect,
			"lose": func(t *rapid.T) {
				if len(x.miners) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(x.miners)-1).Draw(t, "miner")
				x.prefixes.Release(x.miners[i].prefix)
				x.lost = append(x.lost, x.miners[i].prefix)
				x.miners = append(x.miners[:i], x.miners[i+1:]...)
			},
			"share": func(t *rapid.T) {
				if len(x.miners) == 0 {
					t.Skip()
				}
				m := rapid.SampledFrom(x.miners).Draw(t, "miner")
				for _, j := range m.order {
					s := share(m.c, j, 0, rapid.Uint32Range(0, 3).Draw(t, "nonce"))
					x.submit(t, m, j, s)
				}
			},
			"node": func(t *rapid.T) { // mostly a template: what miners do must fit between two tips
				switch rapid.IntRange(0, 9).Draw(t, "what") {
				case 0:
					x.height++
					template(rapid.Bool().Draw(t, "partial"))
				case 1:
					x.height -= rapid.Int32Range(0, 1).Draw(t, "depth")
					x.fork = rapid.Uint64Range(0, 2).Draw(t, "fork")
					template(false)
				default:
					template(false)
				}
			},
			"": func(t *rapid.T) { // everything is sent again by everybody
				for _, s := range x.sent {
					for _, m := range x.miners {
						x.submit(t, m, s.job, s.s)
					}
				}
			},
		})
	})
}

// Ensure that a miner whose connection was lost can mine on under its prefix at once, with a fresh job, and
// under the shared ones from the next tip on.
func TestPrefixes_ResumedChannelMinesAFreshJobAtOnce(t *testing.T) {
	a := newAssembler(t)
	r := advance(t, a, nil, newTemplate(t, 100, 2))
	p := pool.NewPrefixes(1)
	prefix, _ := p.Take()
	cfg := easy(pool.Extended)
	cfg.Prefix = prefix[:]
	first := open(t, cfg, r)
	old, _ := mine(t, first, share(first, r.Full, 2, 0), accepted)
	p.Release(prefix)
	used, ok := p.Claim(prefix)
	if !used || !ok {
		t.Fatalf("the prefix is claimed: %v, used: %v", ok, used)
	}
	if _, again := p.Claim(prefix); again {
		t.Error("a prefix in use is claimed again")
	}
	cfg.After = a.Newest()
	second := open(t, cfg, r)
	if v := second.Submit(old, start); v.Reject != pool.RejectStale || !v.JobFull {
		t.Errorf("the old share gets %+v", v)
	}
	if !second.Spent(r.First) || !second.Spent(r.Full) {
		t.Error("the old jobs count for the new channel")
	}
	fresh := a.Fresh(r.Full)
	if second.Spent(fresh) {
		t.Error("a fresh job does not count")
	}
	second.Assign(fresh, 9, start)
	mine(t, second, share(second, fresh, 9, 0), accepted)

	next := advance(t, a, r, newTemplate(t, 101, 0))
	second.AssignFuture(next.First, 10)
	if err := second.Activate(10, &next.Tip, start); err != nil {
		t.Fatal(err)
	}
	if second.Spent(next.First) {
		t.Error("the job of the next tip does not count")
	}
	mine(t, second, share(second, next.First, 10, 0), accepted)
}

// Ensure that a claim is answered by where the prefix is: another server's, in use, released lately, or free
// as after a restart, and that a claimed one comes back only when its own jobs are gone.
func TestPrefixes_ClaimSaysWhetherJobsMayLive(t *testing.T) {
	p := pool.NewPrefixes(1)
	p.StartAt(5)
	free := [4]byte{1, 0, 0, 9}
	if used, ok := p.Claim(free); used || !ok {
		t.Errorf("a free one: used %v, %v", used, ok)
	}
	if _, ok := p.Claim([4]byte{2, 0, 0, 9}); ok {
		t.Error("another server's prefix was claimed")
	}
	for range 3 { // it stays in the newest generation
		p.Renew()
		p.Release(free)
		if used, ok := p.Claim(free); !used || !ok {
			t.Errorf("one released lately: used %v, %v", used, ok)
		}
	}
	p.Renew()
	p.Renew()
	if _, ok := p.Claim(free); ok || p.Live() != 1 {
		t.Errorf("a prefix in use was claimed; %d live", p.Live())
	}
	p.Release(free)
	p.Renew()
	if used, ok := p.Claim(free); !used || !ok {
		t.Errorf("one released before the last tip: used %v, %v", used, ok)
	}
	p.Release(free)
	p.Renew()
	p.Renew()
	if used, ok := p.Claim(free); used || !ok {
		t.Errorf("one whose jobs are gone: used %v, %v", used, ok)
	}
	if x, _ := p.Take(); x == [4]byte{1, 0, 0, 0} {
		t.Error("two epochs count from the same place")
	}
}
