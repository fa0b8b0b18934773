package stratum

import "github.com/hashlease/hashlease/pool"

// meetAgent notes what the miner says of its software, and what miners of its kind bear.
func (d *v1) meetAgent(text []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	agent := printable(string(text[:min(len(text), deviceText)]))
	d.device = &Device{Vendor: "", Firmware: agent, Address: d.device.Address}
	d.agent, d.known = d.srv.cfg.Classes.Find(agent)
	if !d.known {
		d.agent = d.srv.cfg.Classes.Named(pool.StrangerClass)
	}
	d.coinbase = d.agent.Coinbase
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
