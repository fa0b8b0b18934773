package pool

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/pool/unit"
)

const (
	// VersionMask are the header version bits that a miner may roll (BIP323, sv2-spec 05 §5.3.15).
	VersionMask uint32 = 0x1fffffe0
	// MaxPastJobs is how many jobs before the newest one stay valid on the same tip.
	MaxPastJobs = 50
	// MaxFutureJobs is how many future jobs a channel keeps.
	MaxFutureJobs = 16
	// MaxTimeRoll is how far, in seconds, a share's time may be past its job's smallest time.
	MaxTimeRoll = 7200

	maxDeadJobs  = 256 // ids of a generation that are remembered as stale
	maxSpentJobs = 128 // jobs that are remembered to have lost their duplicate set
)

// Kind tells the two kinds of channels apart.
type Kind uint8

// The kinds (sv2-spec 05 §5.1).
const (
	Standard Kind = iota // header-only: the whole extranonce is fixed
	Extended             // the miner rolls a part of the extranonce
)

// Prefix is what a channel of this kind has fixed of its extranonce, given its unique
// prefix: a standard channel also has the rest, as zeros.
func (k Kind) Prefix(unique [4]byte) []byte {
	if k == Extended {
		return unique[:]
	}
	return append(unique[:], make([]byte, ExtranonceSize-len(unique))...)
}

// String is the kind's name.
func (k Kind) String() string {
	if k == Extended {
		return "extended"
	}
	return "standard"
}

// ChannelConfig is what a channel is opened with.
type ChannelConfig struct {
	ID          uint32
	Kind        Kind
	Worker      WorkerID
	Prefix      []byte        // fixed part of the extranonce: all of it on standard channels; see Kind.Prefix
	RollSize    int           // free part on extended channels; 0: the rest of ExtranonceSize
	Nominal     unit.Hashrate // declared by the device; 0 if it did not
	MaxTarget   Target        // easiest target that the device accepts
	VersionMask uint32        // VersionMask, a part of it, or 0 if the device may not roll
	PowersOfTwo bool          // the device rounds difficulties above 1 to powers of two
	Difficulty  *DifficultyConfig
}

// Channel is one mining session: its jobs, their duplicate sets and its difficulty. It
// is not safe for concurrent use.
//
// The target of a job is fixed when the job becomes active; later changes do not touch it
// (sv2-spec 05 §5.3.21).
type Channel struct {
	cfg  ChannelConfig // immutable
	roll int           // immutable: size of the free part of the extranonce

	tip     Tip
	tipped  bool   // there is a tip
	network Target // of the tip

	prefix *fixed // present fixed part of the extranonce

	active  []*assigned // same tip, oldest first; the last is the newest
	future  []*assigned // oldest first
	aged    []uint32    // ids that died of age on this tip
	dead    []uint32    // ids that died with the last tip
	spent   []uint64    // Job.Seq of jobs that lost their duplicate set, newest last
	retired uint64      // highest Job.Seq that spent has forgotten on this tip

	vardiff Vardiff
	meter   meter

	header   [headerSize]byte // scratch
	coinbase []byte           // scratch
}

// assigned is a job under one id. The lower part is set when it becomes active.
type assigned struct {
	id     uint32
	job    *Job
	root   chainhash.Hash // standard channels
	prefix *fixed         // of the time that it was sent

	target     Target
	work       uint64
	difficulty float64
	minTime    uint32 // announced for the job
	seen       *duplicates
}

// fixed is the fixed part of the extranonce; jobs that were sent under it share it.
type fixed struct{ bytes []byte }

// Assignment is a job as it is announced on a channel.
type Assignment struct {
	JobID   uint32
	Job     *Job
	Future  bool           // it waits for Activate; MinTime is then unknown
	MinTime uint32         // smallest header time, Unix seconds
	Version uint32         // header version before rolling
	Root    chainhash.Hash // merkle root; standard channels only
	Target  Target         // fixed if active, the present one if future
}

// NewChannel returns a channel without a tip or jobs. What is wrong in cfg.Difficulty is replaced
// by DefaultDifficulty, lest a fault opens the gate to free credit.
func NewChannel(cfg ChannelConfig, now time.Time) *Channel {
	c := &Channel{cfg: cfg, meter: meter{start: now}}
	c.prefix, c.cfg.Prefix = &fixed{slices.Clone(cfg.Prefix)}, nil
	if cfg.Kind == Extended {
		c.roll = cfg.RollSize
		if c.roll == 0 {
			c.roll = max(0, ExtranonceSize-len(cfg.Prefix))
		}
	}
	c.vardiff.Init(cfg.Difficulty, Declared{
		Nominal: cfg.Nominal, MaxTarget: cfg.MaxTarget, Powers: cfg.PowersOfTwo,
	}, now)
	return c
}

// ID is the channel's id on its connection.
func (c *Channel) ID() uint32 { return c.cfg.ID }

// Kind is the channel's kind.
func (c *Channel) Kind() Kind { return c.cfg.Kind }

// Worker is who is credited.
func (c *Channel) Worker() WorkerID { return c.cfg.Worker }

// Prefix is the fixed part of the extranonce. It must not be changed.
func (c *Channel) Prefix() []byte { return c.prefix.bytes }

// SetPrefix changes the fixed part of the extranonce for the jobs that come after it (sv2-spec 05
// §5.3.10). Those that were sent keep theirs. The length must stay: false says that it does not,
// and nothing has changed.
func (c *Channel) SetPrefix(prefix []byte) bool {
	if len(prefix) != len(c.prefix.bytes) {
		return false
	}
	c.prefix = &fixed{slices.Clone(prefix)}
	return true
}

// OldPrefix reports whether a job lives that was sent before the last SetPrefix.
func (c *Channel) OldPrefix() bool {
	old := func(a *assigned) bool { return a.prefix != c.prefix }
	return slices.ContainsFunc(c.active, old) || slices.ContainsFunc(c.future, old)
}

// RollSize is the size of the free part of the extranonce: 0 on standard channels.
func (c *Channel) RollSize() int { return c.roll }

// Target is the target that new jobs get.
func (c *Channel) Target() Target { return c.vardiff.target }

// Tip is the tip of the last Activate, if there was one.
func (c *Channel) Tip() (Tip, bool) { return c.tip, c.tipped }

// Assign gives a job to the channel under an id that is not in use. It is active at once if it
// fits on the channel's tip, and a future job otherwise.
func (c *Channel) Assign(j *Job, id uint32, now time.Time) Assignment {
	if !c.tipped || !j.fitsOn(c.tip) {
		return c.AssignFuture(j, id)
	}
	a := c.prepare(j, id)
	c.begin(a, now)
	return Assignment{
		JobID: id, Job: j, MinTime: a.minTime, Version: j.Version, Root: a.root, Target: a.target,
	}
}

// AssignFuture gives a job to the channel as a future one even if it fits on the channel's tip. It is
// for a job that Activate names next: one that fits on any block of its height does not tell a
// new tip of the same height from the old one.
func (c *Channel) AssignFuture(j *Job, id uint32) Assignment {
	a := c.prepare(j, id)
	c.future = append(c.future, a)
	if len(c.future) > MaxFutureJobs {
		c.age(c.future[0])
		c.future = slices.Delete(c.future, 0, 1)
	}
	return Assignment{
		JobID: id, Job: j, Future: true, Version: j.Version, Root: a.root, Target: c.vardiff.target,
	}
}

// prepare is a job under an id. Roots are computed now, so that there is nothing to hash at the tip.
func (c *Channel) prepare(j *Job, id uint32) *assigned {
	a := &assigned{id: id, job: j, prefix: c.prefix}
	if c.cfg.Kind == Standard {
		c.coinbase = j.AppendCoinbase(c.coinbase[:0], c.prefix.bytes, nil)
		a.root = foldPath(doubleHash(c.coinbase), j.Path)
	}
	return a
}

// Activate makes a future job the only valid one, on a new tip. All others die.
// If it fails, nothing has changed.
func (c *Channel) Activate(id uint32, tip Tip, now time.Time) error {
	i := slices.IndexFunc(c.future, func(a *assigned) bool { return a.id == id })
	if i < 0 {
		return fmt.Errorf("activating job %d on channel %d: %w", id, c.cfg.ID, ErrNotFuture)
	}
	a := c.future[i]
	if !a.job.fitsOn(tip) {
		return fmt.Errorf("activating job %d on channel %d: %w", id, c.cfg.ID, ErrOtherTip)
	}
	c.future = slices.Delete(c.future, i, i+1)
	c.bury()
	if tip.Prev != c.tip.Prev {
		c.retired = 0 // old shares cannot hash alike on another block
	}
	c.tip, c.tipped, c.network = tip, true, tip.Target()
	c.begin(a, now)
	return nil
}

// bury lets every job die and remembers their ids as stale, those of older generations no more.
func (c *Channel) bury() {
	dead := c.aged
	for _, a := range c.future {
		dead = append(dead, a.id)
	}
	for _, a := range c.active {
		dead = append(dead, a.id)
		c.spend(a.job)
	}
	c.dead = dead[max(0, len(dead)-maxDeadJobs):]
	c.aged = nil
	clear(c.active)
	clear(c.future)
	c.active, c.future = c.active[:0], c.future[:0]
}

// begin makes a job active and fixes its target.
func (c *Channel) begin(a *assigned, now time.Time) {
	a.target, a.work, a.difficulty = c.vardiff.target, c.vardiff.work, c.vardiff.target.Difficulty()
	a.minTime = max(c.tip.MinTime, a.job.Time)
	a.seen = c.seenOn(a.job)
	c.active = append(c.active, a)
	c.vardiff.Mine(a.work, now)
	if len(c.active) <= MaxPastJobs+1 {
		return
	}
	old := c.active[0]
	c.active = slices.Delete(c.active, 0, 1)
	c.age(old)
	if !slices.ContainsFunc(c.active, func(a *assigned) bool { return a.job == old.job }) {
		c.spend(old.job)
	}
}

// spend notes that the duplicate set of a job is gone.
func (c *Channel) spend(j *Job) {
	if slices.Contains(c.spent, j.Seq) {
		return
	}
	if len(c.spent) >= maxSpentJobs {
		c.retired = max(c.retired, c.spent[0])
		c.spent = slices.Delete(c.spent, 0, 1)
	}
	c.spent = append(c.spent, j.Seq)
}

// age notes that an id died while its tip lives on.
func (c *Channel) age(a *assigned) {
	if len(c.aged) >= maxDeadJobs {
		c.aged = slices.Delete(c.aged, 0, 1)
	}
	c.aged = append(c.aged, a.id)
}

// seenOn is the duplicate set of a job: shared by all its ids. A job that may have had one which
// was dropped gets a closed one, lest old shares count again: of age, or because the tip
// comes back after a block that was refused.
func (c *Channel) seenOn(j *Job) *duplicates {
	for _, a := range c.active {
		if a.job == j {
			return a.seen
		}
	}
	forgotten := j.Seq <= c.retired && c.retired != 0
	return &duplicates{closed: forgotten || slices.Contains(c.spent, j.Seq)}
}

// Submit judges a share. It allocates nothing unless a block is found, but for the amortised
// growth of the duplicate set.
func (c *Channel) Submit(s Share, now time.Time) Verdict {
	a, reject := c.find(s.JobID)
	if reject == RejectNone {
		reject = c.check(a, &s)
	}
	if reject != RejectNone {
		return Verdict{Reject: reject}
	}
	v := c.judge(a, &s)
	if v.Reject == RejectNone {
		c.vardiff.Count(a.work, now)
		c.meter.add(a.work, now)
	}
	v.JobFull = a.seen.nearlyFull() && a == c.active[len(c.active)-1]
	return v
}

// find is the active job of an id, or why there is none.
func (c *Channel) find(id uint32) (*assigned, Reject) {
	for _, a := range slices.Backward(c.active) {
		if a.id == id {
			return a, RejectNone
		}
	}
	if slices.Contains(c.aged, id) || slices.Contains(c.dead, id) {
		return nil, RejectStale
	}
	return nil, RejectUnknownJob
}

// check judges what needs no hashing. Times down to the tip's smallest are taken even if the
// job was announced with a later one: consensus asks no more (SV2-152).
func (c *Channel) check(a *assigned, s *Share) Reject {
	if len(s.Extranonce) != c.roll {
		return RejectExtranonceSize
	}
	latest := uint32(min(uint64(a.minTime)+MaxTimeRoll, math.MaxUint32))
	if s.Time < c.tip.MinTime || s.Time > latest {
		return RejectTime
	}
	switch changed := s.Version ^ a.job.Version; {
	case changed == 0:
		return RejectNone
	case c.cfg.VersionMask == 0:
		return RejectVersionRolling
	case changed&^c.cfg.VersionMask != 0:
		return RejectVersionBits
	}
	return RejectNone
}

// judge hashes the share. Whether it is a block does not depend on whether it is credited: network
// target and job target are independent (SV2-161).
func (c *Channel) judge(a *assigned, s *Share) Verdict {
	hash := c.hash(a, s)
	raw := (*[32]byte)(&hash)
	v := Verdict{Hash: hash}
	if a.seen.has(raw) {
		v.Reject = RejectDuplicate
		return v
	}
	block := c.network.Meets(raw) && a.seen.roomForBlock()
	switch {
	case !a.seen.room():
		v.Reject = RejectStale
	case !a.target.Meets(raw):
		v.Reject = RejectLowDifficulty
	default:
		v.Work, v.Difficulty = a.work, a.difficulty
	}
	if block || v.Reject == RejectNone {
		a.seen.add(raw)
	}
	if block {
		v.Block = a.job.block(&c.header, a.prefix.bytes, s.Extranonce)
		v.Block.Worker = c.cfg.Worker
	}
	return v
}

// hash fills the header and hashes it.
func (c *Channel) hash(a *assigned, s *Share) chainhash.Hash {
	h := &c.header
	binary.LittleEndian.PutUint32(h[0:], s.Version)
	copy(h[4:36], c.tip.Prev[:])
	if c.cfg.Kind == Standard {
		copy(h[36:68], a.root[:])
	} else {
		c.coinbase = a.job.AppendCoinbase(c.coinbase[:0], a.prefix.bytes, s.Extranonce)
		root := foldPath(doubleHash(c.coinbase), a.job.Path)
		copy(h[36:68], root[:])
	}
	binary.LittleEndian.PutUint32(h[68:], s.Time)
	binary.LittleEndian.PutUint32(h[72:], c.tip.Bits)
	binary.LittleEndian.PutUint32(h[76:], s.Nonce)
	return doubleHash(h[:])
}

// Retarget looks at the evidence and returns the target for new jobs and whether it has
// changed since it was last reported here.
func (c *Channel) Retarget(now time.Time) (Target, bool) { return c.vardiff.Retarget(now) }

// Expect feeds a commanded change of hashrate forward: the target follows at once and past evidence is
// dropped. A hashrate of 0 says that silence is ordered. A share rate of 0 means the configured one.
func (c *Channel) Expect(h unit.Hashrate, sharesPerMinute float64, now time.Time) {
	c.vardiff.Expect(h, sharesPerMinute, now)
}

// Update takes what the device declares anew (UpdateChannel, sv2-spec 05 §5.3.7).
func (c *Channel) Update(nominal unit.Hashrate, maxTarget Target, now time.Time) {
	c.vardiff.Update(nominal, maxTarget, now)
}

// Close gives back what the channel has of the share budget. It may be called again.
func (c *Channel) Close() { c.vardiff.Close() }

// Measured is the hashrate that the credited work of the last minutes implies.
func (c *Channel) Measured(now time.Time) unit.Hashrate { return c.meter.rate(now) }
