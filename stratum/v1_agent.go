package stratum

import (
	"bytes"
	"time"

	"github.com/hashlease/hashlease/pool"
	"github.com/hashlease/hashlease/stratum/sv1"
)

// versionID is the id of client.get_version. It is not 0, because cgminer does not answer that, and far from
// what miners count up to, because some look for answers by their id alone.
const versionID = 2_000_000_000

// askVersion asks a miner that has not named its software what that is, once, and when it mines: some
// firmware takes nothing but answers before. It may answer or not.
func (d *v1) askVersion() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.device.Firmware != "" {
		return
	}
	if out := d.outLocked(); out != nil {
		*out = sv1.AppendGetVersion(*out, versionID)
		d.asking = true
	}
}

// told takes what the miner answers to a question of ours: the only one is for its software. All else is
// nobody's, an answer to a ping that was never sent too.
func (d *v1) told(now time.Time) {
	id, ok := d.request.ID.Number()
	if !ok || id != versionID || !d.asking {
		return
	}
	d.asking = false
	if d.device.Firmware == "" && d.request.Result.IsString() {
		d.meetAgent(d.request.Result.Text(), now)
	}
}

// meetAgent notes what the miner says of its software, and what miners of its kind bear. A channel that is
// open learns it too.
func (d *v1) meetAgent(text []byte, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	text = bytes.TrimSpace(text)
	agent := printable(string(text[:min(len(text), deviceText)]))
	d.device = &Device{Vendor: "", Firmware: agent, Address: d.device.Address}
	d.agent, d.known = d.srv.cfg.Classes.Find(agent)
	if !d.known {
		d.agent = d.srv.cfg.Classes.Named(pool.StrangerClass)
	}
	d.coinbase = d.agent.Coinbase
	if c := d.channels[d.channelID.Load()]; c != nil {
		d.adoptLocked(c, now)
	}
}

// adoptLocked gives an open channel what miners of its kind bear: first a job whose coinbase they take,
// because a new target brings a fresh one made of the group's. What the miner works on stays good.
func (d *v1) adoptLocked(c *channel, now time.Time) {
	if round := d.srv.rooms.Feed.Current(); round != nil {
		d.followLocked(c.group, round, now)
	}
	if d.agent.PowersOfTwo {
		c.pool.RoundToPowers()
	}
	c.pool.Update(0, d.easiest(), now)
	d.retargetLocked(c, now)
}

// coinbaseOf is the largest coinbase that a device of Stratum V2 bears. Behind a translator are miners of
// Stratum V1 that nobody knows.
func (s *Server) coinbaseOf(d *Device) int {
	classes := s.cfg.Classes
	if d.roundsToPowers() {
		return classes.Named(pool.StrangerClass).Coinbase
	}
	if c, ok := classes.Find(d.Hardware, d.Vendor+" "+d.Hardware, d.Vendor); ok {
		return c.Coinbase
	}
	return classes.Named(pool.LargeClass).Coinbase
}
