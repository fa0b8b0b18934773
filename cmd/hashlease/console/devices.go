package console

import "github.com/hashlease/hashlease/pool/governor"

// devicesView counts a feeder's machines that are asked on interfaces of their own.
type devicesView struct {
	Own       int `json:"own"`
	Silent    int `json:"silent"`    // did not answer the last time, or never did
	Elsewhere int `json:"elsewhere"` // have no session here
	Escaped   int `json:"escaped"`   // have lost it, and hash at another pool
	Strays    int `json:"strays"`    // do other than ordered, by their own word
	Backups   int `json:"backups"`   // have backup pools
	ByHand    int `json:"by_hand"`   // are held down by an operator, by whatever interface
}

func devicesOf(f *governor.FeederStatus) devicesView {
	var v devicesView
	add := func(n *int, is bool) {
		if is {
			*n++
		}
	}
	for i := range f.Workers {
		w := &f.Workers[i]
		add(&v.ByHand, w.Ceiling != nil)
		if w.Seen == nil {
			continue
		}
		v.Own++
		add(&v.Silent, w.Seen.Failures > 0 || w.Seen.At.IsZero())
		add(&v.Elsewhere, w.Elsewhere)
		add(&v.Escaped, w.Escaped)
		add(&v.Strays, w.Stray != governor.NoStray)
		add(&v.Backups, len(w.Seen.Backups) > 0)
	}
	return v
}
