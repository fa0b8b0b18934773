package stratum

import (
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv1"
)

// configured answers mining.configure.
func (d *v1) configured(now time.Time) {
	m := sv1.ParseConfigure(d.request.Params)
	if len(m.Agent) > 0 && !d.known {
		d.meetAgent(m.Agent, now)
	}
	if m.Rolling {
		d.mask.Store(v1Mask & m.Mask)
	}
	d.mu.Lock()
	d.pushes = d.pushes || m.Extranonce
	if out := d.outLocked(); out != nil {
		*out = sv1.AppendConfigured(*out, d.request.ID, &m, sv1.Configured{
			Mask: v1Mask & m.Mask, Minimum: m.Difficulty > 0,
		})
	}
	if c := d.channels[d.channelID.Load()]; c != nil && m.Rolling {
		c.pool.SetVersionMask(v1Mask & m.Mask)
	}
	d.mu.Unlock()
	d.want(0, m.Difficulty)
	d.rethink(now)
}

// want notes a difficulty to begin with, and the least that the miner takes; 0 says nothing.
func (d *v1) want(start, least float64) {
	if start > 0 {
		d.wants.start = start
	}
	if least > 0 {
		d.wants.least = least
	}
}

// easiest is the easiest target that the channel may get: what the miner, its firmware and
// the port it came to agree on.
func (d *v1) easiest() pool.Target {
	least := max(d.wants.least, d.agent.MinDifficulty)
	if least == 0 {
		return d.port.easiest(pool.MaxTarget)
	}
	return d.port.easiest(pool.TargetForDifficulty(min(least, pool.MostDifficulty)))
}

// rethink tells an open channel what the miner wants by now.
func (d *v1) rethink(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.channels[d.channelID.Load()]
	if c == nil {
		return
	}
	c.pool.Update(0, d.easiest(), now)
	d.retargetLocked(c, now)
}

func (d *v1) suggestDifficulty(params sv1.Value, now time.Time) {
	difficulty, err := sv1.ParseSuggestDifficulty(params)
	if err != nil {
		d.fail(sv1.CodeOther, err.Error())
		return
	}
	d.suggest(difficulty, now)
}

func (d *v1) suggestTarget(now time.Time) {
	raw, err := sv1.ParseSuggestTarget(d.request.Params)
	if err != nil {
		d.fail(sv1.CodeOther, err.Error())
		return
	}
	t := pool.TargetFromBytes(&raw)
	d.suggest(t.Difficulty(), now)
}

// suggest begins with a difficulty. One that is repeated is a sign of life and no more: some firmware
// sends it every half minute.
func (d *v1) suggest(difficulty float64, now time.Time) {
	if !(difficulty > 0) {
		d.fail(sv1.CodeOther, "a difficulty above 0 is accepted")
		return
	}
	d.answer("true")
	d.wants.start = min(difficulty, pool.MostDifficulty)
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.channels[d.channelID.Load()]; c != nil {
		c.pool.Suggest(d.wants.start, now)
		d.retargetLocked(c, now)
	}
}
