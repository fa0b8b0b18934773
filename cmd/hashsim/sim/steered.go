package sim

// steeredPart is below which part of its full power a machine was evidently steered: its own noise and
// the last watts of a ramp are less.
const steeredPart = 0.97

// Steered is what happened to the machines of one firmware since the last mark of the truth.
type Steered struct {
	Machines  int `json:"machines"`
	Curtailed int `json:"curtailed"` // that have drawn less than they can
	Back      int `json:"back"`      // ... of which draw it all again
}

// Steered is what happened to the machines by the interface of their firmware, as they truly are: an order
// that was answered and not obeyed does not count.
func (s *Sim) Steered() map[string]Steered {
	s.site.mu.Lock()
	defer s.site.mu.Unlock()
	t := s.site.now()
	s.site.advanceLocked(t)
	all := map[string]Steered{}
	for i := range s.machines {
		d := s.machines[i].power.device
		n := all[d.firmware.API]
		n.Machines++
		if enough := steeredPart * d.full(); d.least < enough {
			n.Curtailed++
			if d.planned(t) >= enough {
				n.Back++
			}
		}
		all[d.firmware.API] = n
	}
	return all
}
