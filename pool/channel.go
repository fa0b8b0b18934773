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
	keepJobs     = 8   // jobs whose memory stays with the channel over a tip
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
	Prefix      []byte        // fixed part of the extranonce, up to 32 bytes; see Kind.Prefix
	RollSize    int           // free part on extended channels, up to 255; 0: the rest of ExtranonceSize
	Nominal     unit.Hashrate // declared by the device; 0 if it did not
	MaxTarget   Target        // easiest target that the device accepts
	VersionMask uint32        // VersionMask, a part of it, or 0 if the device may not roll
	PowersOfTwo bool          // the device rounds difficulties above 1 to powers of two
	Eases       bool          // an easier target counts for jobs it has too (Stratum V1)
	Decimal     bool          // the device is told difficulties in digits (Stratum V1)
	Difficulty  *DifficultyConfig
	// After is the number of the newest job (Assembler.Newest) if the prefix was another channel's a
	// moment ago: on the channel's first tip only later jobs count, because shares of the
	// others may have counted for that channel, whose duplicate sets are gone.
	After uint64
}

// Channel is one mining session: its jobs, their duplicate sets and its difficulty. It
// is not safe for concurrent use.
//
// The target of a job is fixed when the job becomes active; later changes do not touch it
// (sv2-spec 05 §5.3.21).
type Channel struct {
	// immutable
	id     uint32
	kind   Kind
	roll   uint8 // size of the free part of the extranonce
	worker WorkerID

	mask   uint32     // version bits that may be rolled
	eases  bool       // an easier target counts for the jobs that are there, too
	prefix prefix     // of new jobs
	buried uint16     // how many of stale died with the last tip; the others died of age on this one
	wished float32    // difficulty that the device suggested
	tip    *Tip       // nil before the first; many channels share it
	active []assigned // same tip, oldest first; the last is the newest
	future []assigned // oldest first
	stale  []uint32   // ids of dead jobs

	vardiff Vardiff
	history *history // nil before the first share that counts, unless the prefix has one
}

// assigned is a job under one id. There are dozens for each channel, so that it is small: what is the
// same for all is the channel's, and what only a share needs is made with the first.
type assigned struct {
	id     uint32
	job    *Job
	former *terms  // nil: those that new jobs have. Of a future job only the prefix counts
	seen   *record // nil before the first share
}

// terms are what a job's shares are judged by.
type terms struct {
	prefix prefix
	target Target
	work   uint64 // of target
}

// maxPrefix is the longest prefix that the wire carries: B0_32.
const maxPrefix = 32

// prefix is the fixed part of an extranonce.
type prefix struct {
	array [maxPrefix]byte
	size  uint8
}

func newPrefix(b []byte) (p prefix) {
	p.size = uint8(copy(p.array[:], b))
	return p
}

func (p *prefix) bytes() []byte { return p.array[:p.size] }

// history is what shares have left in a channel beyond the jobs that live.
type history struct {
	meter   meter
	spent   []uint64 // Job.Seq of jobs that lost their duplicate set, newest last
	retired uint64   // highest Job.Seq that spent has forgotten, or never knew, on this tip
}

// Assignment is a job as it is announced on a channel.
type Assignment struct {
	JobID   uint32
	Job     *Job
	Future  bool   // it waits for Activate; MinTime is then unknown
	MinTime uint32 // smallest header time, Unix seconds
	Version uint32 // header version before rolling
	Target  Target // fixed if active, the present one if future
	prefix  prefix
}

// Root is the merkle root, if the channel is a standard one. It is not kept: most channels of a group are
// told the job as an extended one and never need it before a share comes.
func (a Assignment) Root() chainhash.Hash { return a.Job.Root(a.prefix.bytes(), nil) }

// NewChannel returns a channel without a tip or jobs. What is wrong in cfg.Difficulty is replaced
// by DefaultDifficulty, lest a fault opens the gate to free credit.
func NewChannel(cfg ChannelConfig, now time.Time) *Channel {
	c := &Channel{
		id: cfg.ID, kind: cfg.Kind, mask: cfg.VersionMask, worker: cfg.Worker, prefix: newPrefix(cfg.Prefix),
		eases: cfg.Eases,
	}
	if cfg.After != 0 {
		c.remember().retired = cfg.After
	}
	if cfg.Kind == Extended {
		c.roll = uint8(cfg.RollSize)
		if c.roll == 0 {
			c.roll = uint8(max(0, ExtranonceSize-len(cfg.Prefix)))
		}
	}
	c.vardiff.Init(cfg.Difficulty, Declared{
		Nominal: cfg.Nominal, MaxTarget: cfg.MaxTarget, Powers: cfg.PowersOfTwo, Decimal: cfg.Decimal,
	}, now)
	return c
}

// ID is the channel's id on its connection.
func (c *Channel) ID() uint32 { return c.id }

// Kind is the channel's kind.
func (c *Channel) Kind() Kind { return c.kind }

// Worker is who is credited.
func (c *Channel) Worker() WorkerID { return c.worker }

// Opened is when the channel was made.
func (c *Channel) Opened() time.Time { return c.vardiff.start }

// Age is how long ago that was: a moment in eight bytes, for those who keep many.
func (c *Channel) Age(now time.Time) time.Duration { return c.vardiff.since(now) }

// Prefix is the fixed part of the extranonce. It must not be changed.
func (c *Channel) Prefix() []byte { return c.prefix.bytes() }

// SetVersionMask says anew which bits of the version the miner may roll, in all of its jobs.
func (c *Channel) SetVersionMask(mask uint32) { c.mask = mask }

// SetPrefix changes the fixed part of the extranonce for the jobs that come after it (sv2-spec 05
// §5.3.10). Those that were sent keep theirs. The length must stay: false says that it does not,
// and nothing has changed.
func (c *Channel) SetPrefix(unique []byte) bool {
	if len(unique) != int(c.prefix.size) {
		return false
	}
	before := c.terms()
	c.prefix = newPrefix(unique)
	c.keep(before)
	return true
}

// OldPrefix reports whether a job lives that was sent before the last SetPrefix.
func (c *Channel) OldPrefix() bool {
	old := func(a assigned) bool { return a.former != nil && a.former.prefix != c.prefix }
	return slices.ContainsFunc(c.active, old) || slices.ContainsFunc(c.future, old)
}

// RollSize is the size of the free part of the extranonce: 0 on standard channels.
func (c *Channel) RollSize() int { return int(c.roll) }

// Target is the target that new jobs get.
func (c *Channel) Target() Target { return c.vardiff.target }

// Tip is the tip of the last Activate, if there was one.
func (c *Channel) Tip() (Tip, bool) {
	if c.tip == nil {
		return Tip{}, false
	}
	return *c.tip, true
}

// Assign gives a job to the channel under an id that is not in use. It is active at once if it
// fits on the channel's tip, and a future job otherwise.
func (c *Channel) Assign(j *Job, id uint32, now time.Time) Assignment {
	if c.tip == nil || !j.fitsOn(*c.tip) {
		return c.AssignFuture(j, id)
	}
	c.begin(assigned{id: id, job: j}, now)
	return Assignment{
		JobID: id, Job: j, MinTime: c.minTime(j), Version: j.Version, Target: c.vardiff.target,
		prefix: c.prefix,
	}
}

// AssignFuture gives a job to the channel as a future one even if it fits on the channel's tip. It is
// for a job that Activate names next: one that fits on any block of its height does not tell a
// new tip of the same height from the old one.
func (c *Channel) AssignFuture(j *Job, id uint32) Assignment {
	c.future = append(c.future, assigned{id: id, job: j})
	if len(c.future) > MaxFutureJobs {
		c.age(&c.future[0])
		c.future = slices.Delete(c.future, 0, 1)
	}
	return Assignment{
		JobID: id, Job: j, Future: true, Version: j.Version, Target: c.vardiff.target, prefix: c.prefix,
	}
}

// Waits reports whether a future job has the id.
func (c *Channel) Waits(id uint32) bool {
	return slices.ContainsFunc(c.future, func(a assigned) bool { return a.id == id })
}

// Activate makes a future job the only valid one, on a new tip, which must not be changed any more. All
// others die. If it fails, nothing has changed.
func (c *Channel) Activate(id uint32, tip *Tip, now time.Time) error {
	i := slices.IndexFunc(c.future, func(a assigned) bool { return a.id == id })
	if i < 0 {
		return fmt.Errorf("activating job %d on channel %d: %w", id, c.id, ErrNotFuture)
	}
	a := c.future[i]
	if !a.job.fitsOn(*tip) {
		return fmt.Errorf("activating job %d on channel %d: %w", id, c.id, ErrOtherTip)
	}
	c.future = slices.Delete(c.future, i, i+1)
	c.bury()
	if h := c.history; h != nil && c.tip != nil && tip.Prev != c.tip.Prev {
		h.retired = 0 // old shares cannot hash alike on another block
	}
	c.tip = tip
	c.begin(a, now)
	return nil
}

// bury lets every job die and remembers their ids as stale, those of older generations no more.
func (c *Channel) bury() {
	c.stale = slices.Delete(c.stale, 0, int(c.buried))
	for i := range c.future {
		c.stale = append(c.stale, c.future[i].id)
	}
	for i := range c.active {
		c.stale = append(c.stale, c.active[i].id)
		c.spend(&c.active[i])
	}
	if n := len(c.stale) - maxDeadJobs; n > 0 {
		c.stale = slices.Delete(c.stale, 0, n)
	}
	c.buried = uint16(len(c.stale))
	if cap(c.active) > keepJobs {
		c.active = nil // a long time without a block
	}
	clear(c.active)
	clear(c.future)
	c.active, c.future = c.active[:0], c.future[:0]
}

// begin makes a job active and fixes its target.
func (c *Channel) begin(a assigned, now time.Time) {
	switch {
	case a.former == nil:
	case a.former.prefix == c.prefix:
		a.former = nil
	default:
		t := c.terms()
		t.prefix = a.former.prefix
		a.former = &t
	}
	a.seen = c.seenOn(a.job)
	c.vardiff.Mine(c.vardiff.work, now)
	if len(c.active) > MaxPastJobs {
		old := c.active[0]
		c.active = slices.Delete(c.active, 0, 1)
		c.age(&old)
		if old.job != a.job && c.newest(old.job) == nil {
			c.spend(&old)
		}
	}
	c.active = append(c.active, a)
}

// minTime is the smallest time that is announced with an active job.
func (c *Channel) minTime(j *Job) uint32 { return max(c.tip.MinTime, j.Time) }

// terms are those that new jobs get.
func (c *Channel) terms() terms {
	return terms{prefix: c.prefix, target: c.vardiff.target, work: c.vardiff.work}
}

// termsOf are those of an active job.
func (c *Channel) termsOf(a *assigned) terms {
	if a.former != nil {
		return *a.former
	}
	return c.terms()
}

// keep leaves the jobs that were sent under the terms before a change what they had.
func (c *Channel) keep(before terms) {
	if before == c.terms() {
		return
	}
	if c.eases && before.prefix == c.prefix && c.vardiff.target.Cmp(before.target) > 0 {
		c.ease()
		return
	}
	former := new(before)
	for i := range c.active {
		if c.active[i].former == nil {
			c.active[i].former = former
		}
	}
	if before.prefix == c.prefix {
		return
	}
	for i := range c.active {
		if seen := c.active[i].seen; seen != nil {
			seen.root = chainhash.Hash{}
		}
	}
	for i := range c.future {
		if c.future[i].former == nil {
			c.future[i].former = former
		}
	}
}

// ease lets a target that has become easier count for jobs that were sent before. Some devices apply a
// target at once and some with the next job: which one does is not known, so that of both works
// the smaller is credited.
func (c *Channel) ease() {
	for i := range c.active {
		a := &c.active[i]
		if a.former != nil && a.former.prefix == c.prefix && a.former.target.Cmp(c.vardiff.target) < 0 {
			a.former = nil
		}
	}
}

// newest is the newest active id of a job, nil if it has none.
func (c *Channel) newest(j *Job) *assigned {
	for i := range slices.Backward(c.active) {
		if c.active[i].job == j {
			return &c.active[i]
		}
	}
	return nil
}

// spend notes that the duplicate set of a job is gone. One that was empty is no loss.
func (c *Channel) spend(a *assigned) {
	if a.seen == nil || a.seen.n == 0 && !a.seen.closed {
		return
	}
	h := c.remember()
	if slices.Contains(h.spent, a.job.Seq) {
		return
	}
	if len(h.spent) >= maxSpentJobs {
		h.retired = max(h.retired, h.spent[0])
		h.spent = slices.Delete(h.spent, 0, 1)
	}
	h.spent = append(h.spent, a.job.Seq)
}

// remember is the history, which begins now if there is none.
func (c *Channel) remember() *history {
	if c.history == nil {
		c.history = &history{}
	}
	return c.history
}

// age notes that an id died while its tip lives on.
func (c *Channel) age(a *assigned) {
	if buried := int(c.buried); len(c.stale)-buried >= maxDeadJobs {
		c.stale = slices.Delete(c.stale, buried, buried+1)
	}
	c.stale = append(c.stale, a.id)
}

// seenOn is the record of a job: shared by all its ids, nil while it would be empty. A job that
// may have had one which was dropped gets a closed one, lest old shares count again: of age,
// or because the tip comes back after a block that was refused.
func (c *Channel) seenOn(j *Job) *record {
	if a := c.newest(j); a != nil {
		if a.seen == nil {
			a.seen = new(record)
		}
		return a.seen
	}
	if c.Spent(j) {
		return &record{closed: true}
	}
	return nil
}

// Spent reports whether shares of the job can no longer count for the channel on its tip, although the
// job may be valid: a fresh one has to be sent instead (Assembler.Fresh). An active job is not asked for.
func (c *Channel) Spent(j *Job) bool {
	h := c.history
	return h != nil && (j.Seq <= h.retired && h.retired != 0 || slices.Contains(h.spent, j.Seq))
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
		c.vardiff.Count(v.Work, now)
		c.remember().meter.add(v.Work, c.vardiff.since(now))
	}
	v.JobFull = a.seen.nearlyFull() && a == &c.active[len(c.active)-1]
	return v
}

// find is the active job of an id, or why there is none.
func (c *Channel) find(id uint32) (*assigned, Reject) {
	for i := range slices.Backward(c.active) {
		if c.active[i].id == id {
			return &c.active[i], RejectNone
		}
	}
	if slices.Contains(c.stale, id) {
		return nil, RejectStale
	}
	return nil, RejectUnknownJob
}

// check judges what needs no hashing. Times down to the tip's smallest are taken even if the
// job was announced with a later one: consensus asks no more (SV2-152).
func (c *Channel) check(a *assigned, s *Share) Reject {
	if len(s.Extranonce) != int(c.roll) {
		return RejectExtranonceSize
	}
	latest := uint32(min(uint64(c.minTime(a.job))+MaxTimeRoll, math.MaxUint32))
	if s.Time < c.tip.MinTime || s.Time > latest {
		return RejectTime
	}
	c.complete(s, a.job.Version)
	switch changed := s.Version ^ a.job.Version; {
	case changed == 0:
		return RejectNone
	case c.mask == 0:
		return RejectVersionRolling
	case changed&^c.mask != 0:
		return RejectVersionBits
	}
	return RejectNone
}

// complete makes the version of a share a whole one. Firmware that sends all of it where the bits are
// asked for is understood, because bits outside the mask are the job's or wrong.
func (c *Channel) complete(s *Share, job uint32) {
	switch fixed := job &^ c.mask; {
	case s.Rolling == RolledNone:
		s.Version = job
	case s.Rolling == RolledBits && s.Version&^c.mask == 0:
		s.Version |= fixed
	}
	s.Rolling = RolledWhole
}

// judge hashes the share. Whether it is a block does not depend on whether it is credited: network
// target and job target are independent (SV2-161).
func (c *Channel) judge(a *assigned, s *Share) Verdict {
	if a.seen == nil {
		a.seen = new(record)
	}
	t := c.termsOf(a)
	var header [headerSize]byte
	c.fill(&header, a, &t.prefix, s)
	hash := doubleHash(header[:])
	raw := (*[32]byte)(&hash)
	v := Verdict{Hash: hash}
	if a.seen.has(raw) {
		v.Reject = RejectDuplicate
		return v
	}
	network := c.tip.Target()
	block := network.Meets(raw) && a.seen.roomForBlock()
	switch {
	case !a.seen.room():
		v.Reject = RejectStale
	case !t.target.Meets(raw):
		v.Reject = RejectLowDifficulty
	default:
		v.Work, v.Difficulty = t.work, t.target.Difficulty()
	}
	if block || v.Reject == RejectNone {
		a.seen.add(raw)
	}
	if block {
		v.Block = a.job.block(&header, t.prefix.bytes(), s.Extranonce)
		v.Block.Worker = c.worker
	}
	return v
}

// fill makes the header of a share.
func (c *Channel) fill(h *[headerSize]byte, a *assigned, fixed *prefix, s *Share) {
	binary.LittleEndian.PutUint32(h[0:], s.Version)
	copy(h[4:36], c.tip.Prev[:])
	if c.kind == Standard {
		root := c.root(a, fixed)
		copy(h[36:68], root[:])
	} else {
		root := a.job.Root(fixed.bytes(), s.Extranonce)
		copy(h[36:68], root[:])
	}
	binary.LittleEndian.PutUint32(h[68:], s.Time)
	binary.LittleEndian.PutUint32(h[72:], c.tip.Bits)
	binary.LittleEndian.PutUint32(h[76:], s.Nonce)
}

// root is the merkle root of a job on a standard channel. It is computed for the job's first share and
// kept, unless the share is of a prefix from before.
func (c *Channel) root(a *assigned, fixed *prefix) chainhash.Hash {
	if *fixed != c.prefix {
		return a.job.Root(fixed.bytes(), nil)
	}
	if a.seen.root == (chainhash.Hash{}) {
		a.seen.root = a.job.Root(fixed.bytes(), nil)
	}
	return a.seen.root
}

// Retarget looks at the evidence and returns the target for new jobs and whether it has
// changed since it was last reported here.
func (c *Channel) Retarget(now time.Time) (Target, bool) {
	before := c.terms()
	target, changed := c.vardiff.Retarget(now)
	c.keep(before)
	return target, changed
}

// Expect feeds a commanded change of hashrate forward: the target follows at once and past evidence is
// dropped. A hashrate of 0 says that silence is ordered. A share rate of 0 means the configured one.
func (c *Channel) Expect(h unit.Hashrate, sharesPerMinute float64, now time.Time) {
	before := c.terms()
	c.vardiff.Expect(h, sharesPerMinute, now)
	c.keep(before)
}

// Suggest takes a difficulty that the device would like to have (Stratum V1, mining.suggest_difficulty). It
// counts while nothing better is known of the channel. The same one again is no news: some miners
// repeat it to keep the connection alive.
func (c *Channel) Suggest(difficulty float64, now time.Time) {
	if float32(difficulty) == c.wished {
		return
	}
	before := c.terms()
	c.wished = float32(difficulty)
	c.vardiff.Suggest(difficulty, now)
	c.keep(before)
}

// RoundToPowers says that the device rounds difficulties above 1 to powers of two, which was not known when
// the channel opened. It counts from the next Update on.
func (c *Channel) RoundToPowers() { c.vardiff.RoundToPowers() }

// Update takes what the device declares anew (UpdateChannel, sv2-spec 05 §5.3.7).
func (c *Channel) Update(nominal unit.Hashrate, maxTarget Target, now time.Time) {
	before := c.terms()
	c.vardiff.Update(nominal, maxTarget, now)
	c.keep(before)
}

// Close gives back what the channel has of the share budget. It may be called again.
func (c *Channel) Close() { c.vardiff.Close() }

// Measured is the hashrate that the credited work of the last minutes implies.
func (c *Channel) Measured(now time.Time) unit.Hashrate {
	if c.history == nil {
		return 0
	}
	return c.history.meter.rate(c.vardiff.since(now))
}
