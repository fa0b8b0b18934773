package pool

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// DifficultyConfig says how difficulty follows hashrate. Channels share it: it must not change.
type DifficultyConfig struct {
	SharesPerMinute float64 // wanted from each channel
	// OpeningShares are wanted a minute until a channel's hashrate is known: what it declares is
	// a guess. If they are not above SharesPerMinute, the guess is believed.
	OpeningShares float64
	Floor         Target       // easiest target that is ever given: the server's minimum difficulty
	Ceiling       Target       // hardest target that is ever given; zero: HardestTarget
	Budget        *ShareBudget // of all channels together; nil: there is none
}

// HardestTarget is the ceiling if there is no other: a share is 2^63 hashes, so that
// work fits 64 bits.
var HardestTarget = TargetForHashes(1 << 63)

// DefaultDifficulty is six shares a minute, 150 a minute at first, and never below difficulty 1.
func DefaultDifficulty() DifficultyConfig {
	return DifficultyConfig{SharesPerMinute: 6, OpeningShares: 150, Floor: TargetForHashes(1 << 32)}
}

// validRate reports whether a share rate, a minute, is one that is taken.
func validRate(r float64) bool { return r >= 0.1 && r <= 6000 }

// Validate lists every fault of the configuration.
func (c *DifficultyConfig) Validate() error {
	var faults []error
	if !validRate(c.SharesPerMinute) {
		faults = append(faults, fmt.Errorf("shares per minute %v: 0.1 to 6000 are taken", c.SharesPerMinute))
	}
	if !(c.OpeningShares >= 0 && c.OpeningShares <= 6000) {
		faults = append(faults, fmt.Errorf("opening shares %v: 0 to 6000 are taken", c.OpeningShares))
	}
	if c.Floor == (Target{}) {
		faults = append(faults, errors.New("floor is missing: a target above 0 is accepted"))
	} else if c.ceiling().Cmp(c.Floor) > 0 {
		faults = append(faults, fmt.Errorf(
			"ceiling %v is easier than the floor %v: a harder target is accepted", c.ceiling(), c.Floor))
	}
	return errors.Join(faults...)
}

func (c *DifficultyConfig) ceiling() Target {
	if c.Ceiling == (Target{}) {
		return HardestTarget
	}
	return c.Ceiling
}

// repaired is the configuration with what is wrong replaced by DefaultDifficulty's.
func (c *DifficultyConfig) repaired() *DifficultyConfig {
	if c != nil && c.Validate() == nil {
		return c
	}
	def := DefaultDifficulty()
	if c == nil {
		return &def
	}
	r := *c
	if !validRate(r.SharesPerMinute) {
		r.SharesPerMinute = def.SharesPerMinute
	}
	if !(r.OpeningShares >= 0 && r.OpeningShares <= 6000) {
		r.OpeningShares = 0
	}
	if r.Floor == (Target{}) {
		r.Floor = def.Floor
	}
	r.Ceiling = r.ceiling().Min(r.Floor)
	return &r
}

const (
	maxHashrate = unit.Hashrate(1e24) // above it a declaration is taken for nonsense
	noGuess     = 1e11                // H/s that a device is taken for which declares nothing

	lookEvery    = 900 * time.Millisecond // evidence is weighed no more often,
	lookShares   = 16                     // unless so many shares came since
	settleTime   = 10 * time.Second       // after a commanded change, what comes in is not evidence
	resumeGrace  = 5 * time.Minute        // a resumed machine boots in silence
	expectMargin = 0.05                   // a commanded change below it leaves the target alone

	// A channel that opens, or has changed beyond recognition.
	openingShares  = 50              // are enough to know its hashrate
	openingLeast   = 16              // of them under the target in force
	openingSilence = 3.0             // expected shares without any: the guess is too high
	openingStep    = 32.0            // most that a guess is lowered by at once: too low costs few shares
	openingDoubt   = 4.0             // evidence against a guess
	openingEnds    = 5 * time.Minute // at the latest, if it mines at all

	// A channel whose hashrate is known.
	alarmDown   = 4.2 // sum of a suspicion at 20 shares a minute
	alarmUp     = 7.0
	alarmYoung  = 1.0  // is added until the estimate is well backed
	alarmLeast  = 1.8  // however slow the shares are
	doubt       = 14.0 // shares' worth of trust in the old estimate at a faint alarm
	easeStep    = 4.0  // most that the target eases with hardly any share
	easeMost    = 1024 // most that silence eases in all
	leapUp      = 2.5  // a change by more is looked at like an opening
	leapDown    = 0.5
	driftDoubt  = 9.0              // evidence against the target in force
	deadBand    = 1.25             // a ratio nearer to 1 is not worth a change
	restEvery   = 10 * time.Minute // a target that is bearable is left alone for so long
	restDoubt   = 4.0              // evidence against it then
	bearable    = 1.8              // times the wanted shares that are borne for so long
	trusted     = 30.0             // shares' worth of trust in an order
	trustedEase = 8.0              // the same in what silence made
	powerSlack  = 0.65             // octaves off before another power of two is chosen
)

// Vardiff chooses a channel's target, for every dialect. It is not safe for concurrent use.
//
// Shares are a Poisson process whose rate is hashrate / work per share. Two sequential tests watch
// for a fall and a rise, and the target changes when one of them is significant for the rate
// of shares, or when the target in force is clearly not the one that the estimate asks for:
// so a steady miner is left alone, while its estimate goes on becoming better.
type Vardiff struct {
	cfg    *DifficultyConfig
	start  time.Time // all times below count from here
	limit  *Target   // easiest target allowed: the floor, or one of its own that the device asks for
	target Target
	work   uint64 // of target

	aimed        float64 // the hashrate that the target is made for
	trail        trail
	looked       time.Duration
	patientUntil time.Duration // no easing before
	last         time.Duration // when the opening began; after it, when the target changed

	rate        float32 // shares a minute that were ordered, or the configured ones
	scale       float32 // of the budget, when the target was made
	claimed     float32 // shares a minute that the budget counts
	anchor      float32 // the last estimate that silence did not make
	nominal     float32 // declared last
	ordered     float32 // commanded last
	orderedRate float32
	turn        uint16 // when in a minute the budget is followed

	orderedOnce bool
	opening     bool // the hashrate is a guess
	claimedOpen bool // the budget counts it as an opening
	known       bool // shares, or an order, have backed the anchor
	silent      bool // silence made the estimate, and no share came since
	paused      bool // silence is ordered
	grid        grid // difficulties that the client can be told
	changed     bool // target was not reported yet
}

// Init begins anew, for a device that declares a hashrate, 0 if it does not, and the
// easiest target it takes. If Powers is set, difficulties above 1 are powers of two: for
// clients that would round others. What is wrong in cfg is replaced by DefaultDifficulty.
func (d *Vardiff) Init(cfg *DifficultyConfig, declared Declared, now time.Time) {
	*d = Vardiff{cfg: cfg.repaired(), start: now, grid: declared.grid(), scale: 1}
	d.rate = float32(d.cfg.SharesPerMinute)
	d.allow(declared.MaxTarget)
	d.nominal = float32(sane(declared.Nominal))
	d.turn = d.cfg.Budget.turn()
	h := float64(sane(declared.Nominal))
	if h == 0 {
		h = noGuess
		if d.cfg.OpeningShares <= d.cfg.SharesPerMinute {
			h = d.easiest()
		}
	}
	d.anchor = float32(h)
	d.trail.reset(0, h, 0)
	d.open(0)
	if !d.opening {
		d.trail.reset(0, h, trustedEase)
	}
	d.claim()
	d.scale = d.cfg.Budget.scale(d.opening)
	d.aim(h)
	d.changed = false // the opening message carries it
}

// allow takes the easiest target that the device accepts. Nearly all accept the floor, which is shared.
func (d *Vardiff) allow(device Target) {
	d.limit = &d.cfg.Floor
	if t := d.grid.above(d.cfg.Floor.Min(device)); t != d.cfg.Floor {
		d.limit = new(t)
	}
}

// Declared is what a device says of itself when its channel opens.
type Declared struct {
	Nominal   unit.Hashrate // 0 if it does not say
	MaxTarget Target        // easiest that it accepts
	Powers    bool          // it rounds difficulties above 1 to powers of two
	Decimal   bool          // it is told difficulties in digits (Stratum V1)
}

func (d Declared) grid() (g grid) {
	if d.Powers {
		g |= powersOfTwo
	}
	if d.Decimal {
		g |= decimals
	}
	return g
}

// sane is a declared hashrate without what cannot be.
func sane(h unit.Hashrate) unit.Hashrate {
	if !(h > 0) {
		return 0
	}
	return min(h, maxHashrate)
}

// open makes the hashrate a guess that is looked at closely.
func (d *Vardiff) open(now time.Duration) {
	if d.opening = d.cfg.OpeningShares > float64(d.rate); d.opening {
		d.last = now
	}
}

// wanted is the rate of shares, a minute, that the target aims at.
func (d *Vardiff) wanted() float64 { return d.wish() * float64(d.scale) }

// wish is the same without regard to other channels.
func (d *Vardiff) wish() float64 {
	if d.opening {
		return d.cfg.OpeningShares
	}
	return float64(d.rate)
}

// claim tells the budget what the channel may use now. Who is silent uses nothing.
func (d *Vardiff) claim() {
	wish := float32(d.wish())
	if d.paused || d.silent {
		wish = 0
	}
	d.cfg.Budget.move(d.claimedOpen, -d.claimed)
	d.cfg.Budget.move(d.opening, wish)
	d.claimed, d.claimedOpen = wish, d.opening
}

// Close gives back what the channel has of the budget. It may be called again.
func (d *Vardiff) Close() {
	d.cfg.Budget.move(d.claimedOpen, -d.claimed)
	d.claimed = 0
}

// easiest is the hashrate at which the easiest target gives the wanted shares.
func (d *Vardiff) easiest() float64 { return float64(d.limit.Work()) * d.wanted() / 60 }

// aim makes the target for a hashrate, under the budget of this moment.
func (d *Vardiff) aim(h float64) {
	d.claim()
	d.scale = d.cfg.Budget.scale(d.opening)
	d.aimed = h
	d.trail.held, d.trail.heldExposure = 0, 0
	t := d.cfg.ceiling()
	switch hashes := h * 60 / d.wanted(); {
	case hashes <= float64(d.limit.Work()):
		t = *d.limit
	case hashes < 0x1p63:
		t = d.fit(hashes)
	}
	if t = d.bounded(t); t == d.target {
		return
	}
	d.target, d.work, d.changed = t, t.Work(), true
	if !d.opening {
		d.last = d.trail.at
	}
}

// bounded is a target within ceiling and limit. The limit counts more: it may be the device's.
func (d *Vardiff) bounded(t Target) Target {
	if c := d.cfg.ceiling(); t.Cmp(c) < 0 {
		t = d.grid.below(c)
	}
	if t.Cmp(*d.limit) >= 0 {
		t = d.grid.above(*d.limit)
	}
	return t
}

// fit is the target of so many hashes a share, as the client can be told it. One power of two is kept
// until another fits clearly better.
func (d *Vardiff) fit(hashes float64) Target {
	if d.grid&powersOfTwo != 0 && hashes > 0x1p32 && d.work > 0 &&
		math.Abs(math.Log2(hashes/float64(d.work))) < powerSlack {
		return d.target
	}
	return d.grid.near(hashes)
}

// Suggest takes a difficulty that the device would like to begin with. It counts while nothing better is
// known of the channel: shares say more, and an order too. The target stays within the bounds.
func (d *Vardiff) Suggest(difficulty float64, at time.Time) {
	if !(difficulty > 0) || d.known || d.orderedOnce {
		return
	}
	h := float64(sane(unit.Hashrate(difficulty * 0x1p32 * d.wanted() / 60)))
	now := d.since(at)
	if d.opening {
		d.last = now
	}
	d.anchor, d.silent = float32(h), false
	d.trail.reset(now, h, 0)
	d.aim(h)
}

// Target is the target for new jobs, Work that of a share at it.
func (d *Vardiff) Target() Target { return d.target }

// Work is the number of hashes that a share at the target takes.
func (d *Vardiff) Work() uint64 { return d.work }

// since is a time as it is kept.
func (d *Vardiff) since(now time.Time) time.Duration { return now.Sub(d.start) }

// Mine notes that the newest job has shares of the given work.
func (d *Vardiff) Mine(work uint64, now time.Time) { d.trail.mine(float64(work), d.since(now)) }

// Count notes an accepted share.
func (d *Vardiff) Count(work uint64, now time.Time) { d.trail.count(float64(work), d.since(now)) }

// Retarget looks at the evidence and returns the target for new jobs and whether it has changed
// since it was last reported here. It is to be called after shares, and at least once a
// second whether they come or not.
func (d *Vardiff) Retarget(at time.Time) (Target, bool) {
	now := d.since(at)
	if now-d.looked >= lookEvery || d.trail.fresh >= lookShares {
		d.trail.advance(now)
		d.look(now)
		d.looked = now
	}
	changed := d.changed
	d.changed = false
	return d.target, changed
}

// look acts on the evidence if it is significant.
func (d *Vardiff) look(now time.Duration) {
	t := &d.trail
	came := t.fresh > 0
	if d.paused || now < d.patientUntil && t.held+t.fresh == 0 {
		d.wait(now)
		return
	}
	h := t.estimate()
	if d.opening || h <= 0 {
		h = d.aimed
	}
	t.weigh(h)
	if came && d.silent {
		d.silent = false
		if d.opening {
			d.last = now // what it is looked at for begins now
		}
		d.claim()
	}
	switch {
	case d.opening:
		d.probe(now)
	case d.alarmed(now):
	case d.drifted(now):
		d.aim(t.estimate())
	case d.rationed(now):
		d.aim(t.estimate())
	}
}

// wait passes over the silence of a machine that is off or boots: it is no evidence.
func (d *Vardiff) wait(now time.Duration) {
	t := &d.trail
	t.held += t.fresh
	t.fresh, t.freshExposure = 0, 0
	if d.paused && t.held >= lookShares { // it mines after all
		d.paused = false
		t.reset(now, d.aimed, trustedEase)
		d.claim()
	}
}

// probe looks for the hashrate of a channel that opened. Guesses are cheap here: one that is far too
// low costs some dozen shares at once, one that is far too high a second or two.
func (d *Vardiff) probe(now time.Duration) {
	t := &d.trail
	n, mean := t.against(d.aimed)
	patient := now < d.patientUntil
	switch {
	case n == 0 && mean >= openingSilence && !patient:
		d.quieten(openingStep, now)
	case n >= openingLeast && n > 2*mean:
		h := d.aimed * n / mean
		t.reset(t.at, h, 0) // the connection may have carried no more: only what comes now counts
		d.settle(h)
	case n >= openingLeast && t.shares >= openingShares, n >= 8 && now-d.last > openingEnds:
		d.opening = false
		d.settle(t.estimate())
	case n > 0 && n < mean/1.5 && evidence(n, mean) >= openingDoubt && !patient:
		d.settle(max(t.estimate(), d.aimed/openingStep))
	}
}

// settle aims at an estimate that shares have made.
func (d *Vardiff) settle(h float64) {
	d.anchor, d.known = float32(h), true
	d.silent = false
	d.trail.down, d.trail.up = suspicion{}, suspicion{}
	d.aim(h)
}

// threshold is a test's bound for the channel's rate of shares. False alarms come at a rate of shares
// times e^-bound, so the bound that makes them equally rare in time grows with the rate's logarithm.
func (d *Vardiff) threshold(at20 float64) float64 {
	b := at20 + math.Log(d.wanted()/20)
	if d.trail.shares < 2*openingShares {
		b += alarmYoung
	}
	return max(b, alarmLeast)
}

// alarmed acts on a fall or a rise, and reports whether there was one.
func (d *Vardiff) alarmed(now time.Duration) bool {
	t := &d.trail
	if float64(t.up.sum) >= d.threshold(alarmUp) {
		d.follow(t.up, now)
		return true
	}
	if float64(t.down.sum) < d.threshold(alarmDown) {
		return false
	}
	if now < d.patientUntil {
		t.down = suspicion{} // it may still boot
		return false
	}
	if t.down.shares == 0 {
		d.quieten(easeStep, now)
	} else {
		d.follow(t.down, now)
	}
	return true
}

// follow goes as far towards what the shares since the change say as the evidence is strong: when
// it is just significant, one alarm in a few is false, and half the way is right in either case.
func (d *Vardiff) follow(s suspicion, now time.Duration) {
	n, mean := float64(s.shares), float64(s.mean)
	h := d.trail.estimate()
	strength := max(1, evidence(n, mean)/alarmDown)
	trust := doubt / math.Pow(strength, 4)
	ratio := max((n+trust)/(mean+trust), 1/easeStep)
	d.trail.reset(d.trail.at, h*ratio, n+trust)
	if ratio > leapUp || ratio < leapDown {
		d.trail.reset(d.trail.at, h*ratio, n)
		d.open(now)
	}
	if h *= ratio; !d.opening && h > d.aimed/deadBand && h < d.aimed*bearable {
		return // the target in force is right for that, too
	}
	d.settle(h)
}

// quieten makes the target easier because of silence, and looks more closely. Once shares have backed an
// estimate, silence moves it by no more than easeMost in all: the miner that comes back is then met
// by a target that it can meet and that is not nothing (SV2-137). A guess goes down to the floor.
func (d *Vardiff) quieten(step float64, now time.Duration) {
	h := d.aimed / step
	if d.known {
		h = max(h, float64(d.anchor)/easeMost)
	}
	eases := d.target != *d.limit && h < d.aimed
	if eases && !d.opening {
		d.open(now)
	}
	if !eases {
		h = d.aimed
	}
	weight := trustedEase
	if d.opening {
		weight = 0
	}
	d.trail.reset(d.trail.at, h, weight)
	if eases {
		d.silent = true
		d.aim(h)
	}
}

// drifted reports whether the target in force is clearly not the one that the estimate asks for.
func (d *Vardiff) drifted(now time.Duration) bool {
	t := &d.trail
	ratio := t.estimate() / d.aimed
	if t.shares < openingShares || ratio < 1 && now < d.patientUntil {
		return false
	}
	against := evidence(t.against(d.aimed))
	if now-d.last < restEvery {
		return (ratio > bearable || ratio < 1/deadBand) && against >= driftDoubt
	}
	return (ratio > deadBand || ratio < 1/deadBand) && against >= restDoubt
}

// rationed reports whether it is the channel's turn to follow the budget. Turns are spread over a minute,
// so that no number of openings makes every channel change at once.
func (d *Vardiff) rationed(now time.Duration) bool {
	turn := time.Duration(d.turn) * time.Minute / (1 << 16)
	if (now-turn)/time.Minute == (d.looked-turn)/time.Minute {
		return false
	}
	r := d.cfg.Budget.scale(false) / d.scale
	return r < 1/budgetBand || r > budgetBand
}

// Expect feeds a commanded change of hashrate forward: the target follows at once and past evidence is
// dropped. A hashrate of 0 says that silence is ordered. A share rate of 0 means the configured one.
func (d *Vardiff) Expect(expected unit.Hashrate, sharesPerMinute float64, at time.Time) {
	h := float64(sane(expected))
	now := d.since(at)
	if d.orderedOnce && float32(h) == d.ordered && float32(sharesPerMinute) == d.orderedRate {
		return // a repeated order is no news
	}
	resumed := h > d.aimed*(1+expectMargin) || d.paused
	d.orderedOnce, d.ordered, d.orderedRate = true, float32(h), float32(sharesPerMinute)
	rate := float32(d.cfg.SharesPerMinute)
	if validRate(sharesPerMinute) {
		rate = float32(sharesPerMinute)
	}
	d.paused, d.silent, d.patientUntil = h == 0, false, 0
	if d.paused {
		d.trail.reset(now, d.aimed, trusted)
		d.claim()
		return
	}
	if resumed {
		d.patientUntil = now + resumeGrace
	}
	d.opening = false
	d.trail.reset(now+settleTime, h, trusted)
	if rate != d.rate || math.Abs(h-d.aimed) > expectMargin*d.aimed || d.claimedOpen {
		d.rate = rate
		d.settle(h)
	}
	d.claim()
}

// RoundToPowers says that the client rounds difficulties above 1 to powers of two, which was not known when
// the channel opened. It counts from the next Update or change on.
func (d *Vardiff) RoundToPowers() { d.grid |= powersOfTwo }

// Update takes what the device declares anew.
func (d *Vardiff) Update(nominal unit.Hashrate, maxTarget Target, at time.Time) {
	d.allow(maxTarget)
	old, now := float64(d.nominal), d.since(at)
	declared := float64(sane(nominal))
	d.nominal = float32(declared)
	h := d.aimed
	switch {
	case float64(d.nominal) == old:
	case declared == 0:
		d.paused = true // the device says that it stops
		d.trail.reset(now, h, trustedEase)
	default:
		d.paused = false
		h = declared
		if old > 0 && !d.silent {
			h = d.aimed * declared / old // keep what was learnt of this device
		}
		h = min(h, float64(maxHashrate))
		d.silent = false
		d.anchor = float32(h)
		weight := trustedEase
		if d.opening {
			weight = 0
		}
		d.trail.reset(now, h, weight)
	}
	d.aim(h)
}
