package pool

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// maxMoney is the most that a coinbase can claim, in satoshi: all there will ever be.
const maxMoney = 21e6 * 1e8

// Assembler makes jobs of templates. It is safe for concurrent use.
type Assembler struct {
	cfg   CoinbaseConfig // immutable
	epoch uint16         // immutable
	seq   atomic.Uint64  // number of the newest job

	outputs atomic.Pointer[[]Output] // owed besides; nil if there are none

	mu      sync.Mutex
	classes map[classKey]*class // guarded by mu
}

// NewAssembler returns an assembler. The epoch must differ from that of every other process of
// this pool that may have mined on the same tip, so that search spaces stay apart.
func NewAssembler(cfg CoinbaseConfig, epoch uint16) (*Assembler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Assembler{cfg: cfg, epoch: epoch, classes: map[classKey]*class{}}, nil
}

// Advance is the round after prev, given a new template. It changes nothing but
// the job counter; prev is nil at the start. A partial template for the tip that is
// already being mined tells nothing new: prev is returned.
func (a *Assembler) Advance(prev *Round, t *Template) (*Round, error) {
	if err := t.validate(); err != nil {
		return nil, fmt.Errorf("using template: %w", err)
	}
	r := &Round{Seq: 1, Tip: t.Tip}
	if prev != nil {
		r.Seq = prev.Seq + 1
	}
	switch {
	case prev != nil && prev.Tip.same(t.Tip):
		if t.Partial {
			return prev, nil
		}
		r.Tip, r.First = prev.Tip, prev.First // the window of header times must not move either
	case prev != nil && prev.Next.height() == t.Height && prev.Next.Template.Value == t.subsidy():
		r.First = prev.Next
	default:
		r.First = a.job(t.empty())
	}
	if !t.Partial {
		r.Full = a.job(t)
	}
	next := t.next()
	if prev != nil && prev.Next.height() == next.Height &&
		prev.Next.Version == next.Version && prev.Next.Template.Value == next.Value {
		r.Next = prev.Next
	} else {
		r.Next = a.job(next)
	}
	return r, nil
}

// Newest is the number of the newest job: all that are made from now on have higher ones.
func (a *Assembler) Newest() uint64 { return a.seq.Load() }

// Epoch is the number of the process, as NewAssembler was told.
func (a *Assembler) Epoch() uint16 { return a.epoch }

// Fresh is the same job with a new salt: a new search space and an empty duplicate set.
// The job must come from an Assembler with the same configuration.
func (a *Assembler) Fresh(j *Job) *Job {
	f := *j
	f.Seq = a.seq.Add(1)
	f.Prefix = coinbasePrefix(a.cfg.Tag, f.Height, a.epoch, f.Seq)
	return &f
}

func (a *Assembler) job(t *Template) *Job {
	return a.Fresh(&Job{
		Height:   t.Height,
		Version:  t.Version,
		Prev:     t.Prev,
		Bits:     t.Bits,
		Time:     t.Time,
		Suffix:   a.suffix(t, Payout{}, 0),
		Path:     merklePath(t.Txs),
		Template: t,
	})
}

// height is 0 for no job.
func (j *Job) height() int32 {
	if j == nil {
		return 0
	}
	return j.Height
}

// same reports whether both stand for the same block to be mined. The smallest time is
// left out: it follows from the rest, and two ways to compute it need not agree. The bits
// are not: test networks ease them while a block is overdue.
func (t Tip) same(o Tip) bool {
	return t.Height == o.Height && t.Prev == o.Prev && t.Bits == o.Bits
}

// subsidy is what a coinbase may claim in a block without transactions.
func (t *Template) subsidy() int64 { return t.Value - t.Fees() }

// empty is the same template without transactions.
func (t *Template) empty() *Template {
	return &Template{
		Tip: t.Tip, Version: t.Version, Time: t.Time, Value: t.subsidy(), Partial: true, Next: t.Next,
	}
}

// next is the template without transactions for the block after this one, as far as known.
func (t *Template) next() *Template {
	n := &Template{
		Tip: Tip{Height: t.Height + 1}, Version: t.Next.Version, Value: t.Next.Value, Partial: true,
	}
	if n.Version == 0 {
		n.Version = t.Version
	}
	return n
}

// validate lists what makes the template useless.
func (t *Template) validate() error {
	var faults []error
	if t.Height < 1 || t.Height == 1<<31-1 {
		faults = append(faults, fmt.Errorf("height %d: 1 to 2147483646 is accepted", t.Height))
	}
	if t.Target() == (Target{}) {
		faults = append(faults, fmt.Errorf("bits %08x: a positive compact target is accepted", t.Bits))
	}
	if t.Prev == (chainhash.Hash{}) {
		faults = append(faults, errors.New("previous block is missing"))
	}
	amount := func(name string, v int64) {
		if v < 0 || v > maxMoney {
			err := fmt.Errorf("%s %d: 0 to %d satoshi is accepted", name, v, int64(maxMoney))
			faults = append(faults, err)
		}
	}
	amount("value", t.Value)
	amount("value of the next block", t.Next.Value)
	amount("value without fees", t.subsidy())
	if t.Partial && len(t.Txs) != 0 {
		faults = append(faults, fmt.Errorf("partial template has %d transactions: 0 is accepted", len(t.Txs)))
	}
	return errors.Join(faults...)
}
