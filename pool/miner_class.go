package pool

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

const (
	// LeastCoinbase is the smallest bound on a coinbase, in bytes, that a class may have: what the pool and
	// a miner of his own always need.
	LeastCoinbase = 300
	// MostCoinbase is the largest one: a job must fit a V1 line and a V2 frame.
	MostCoinbase = 30_000

	// StrangerClass is of miners whose agent is not known.
	StrangerClass = "antminer"
	// LargeClass is of devices that speak Stratum V2 and are not known: they read frames of 8 kB, which this
	// coinbase and twenty merkle branches fill.
	LargeClass = "respectable"

	maxClassName = 40
	maxAgent     = 200 // bytes of a prefix
)

// MinerClass is what miners of a kind take without breaking, by what their software calls itself.
type MinerClass struct {
	Name          string
	Coinbase      int      // bytes of the whole coinbase at most: coinb1, extranonce and coinb2
	MinDifficulty float64  // no easier work, because the miner leaves for it; 0: the port's
	PowersOfTwo   bool     // difficulties above 1 are rounded to powers of two by the miner
	Agents        []string // what agents start with; letter case is ignored
}

// MinerClasses are the classes that a server knows. One is StrangerClass, one LargeClass.
type MinerClasses []MinerClass

// DefaultMinerClasses are the sizes that DATUM has found in the field, and what tiny miners bear.
func DefaultMinerClasses() MinerClasses {
	return MinerClasses{
		{Name: "nerd", Coinbase: 330, Agents: []string{"nerdminer", "sparkminer"}}, // 512 digits a part
		{
			Name: "small", Coinbase: 500, MinDifficulty: 524_288, PowersOfTwo: true,
			Agents: []string{"nicehash"},
		},
		{Name: StrangerClass, Coinbase: 750},
		{Name: "antminer2", Coinbase: 2250, Agents: []string{"antminer s21/", "bosminer-plus-tuner"}},
		{Name: LargeClass, Coinbase: 6500, Agents: []string{"whatsminer/v1", "bitaxe"}},
		{Name: "yuge", Coinbase: 16_000, Agents: []string{"powerplay-bm/", "xminer-1."}},
	}
}

// Find is the class of the first of these agents that is known, by the longest prefix.
func (m MinerClasses) Find(agents ...string) (MinerClass, bool) {
	for _, agent := range agents {
		agent = strings.TrimSpace(agent)
		best, length := -1, 0
		for i := range m {
			for _, p := range m[i].Agents {
				if n := len(p); n > length && len(agent) >= n && strings.EqualFold(agent[:n], p) {
					best, length = i, n
				}
			}
		}
		if best >= 0 {
			return m[best], true
		}
	}
	return MinerClass{}, false
}

// Named is the class of a name. One that is missing is the smallest there can be.
func (m MinerClasses) Named(name string) MinerClass {
	for i := range m {
		if m[i].Name == name {
			return m[i]
		}
	}
	return MinerClass{Name: name, Coinbase: LeastCoinbase}
}

// Of is the class of an agent as Stratum V1 names it, StrangerClass if it is not known.
func (m MinerClasses) Of(agent string) MinerClass {
	if c, ok := m.Find(agent); ok {
		return c
	}
	return m.Named(StrangerClass)
}

// With are the classes with changes: one of the same name takes its place, and an agent that
// a change names leaves the class that it had.
func (m MinerClasses) With(changes []MinerClass) MinerClasses {
	out := make(MinerClasses, 0, len(m)+len(changes))
	for _, c := range m {
		c.Agents = slices.DeleteFunc(slices.Clone(c.Agents), func(a string) bool {
			return slices.ContainsFunc(changes, func(n MinerClass) bool { return n.has(a) })
		})
		out = append(out, c)
	}
	for _, n := range changes {
		if i := slices.IndexFunc(out, func(c MinerClass) bool { return c.Name == n.Name }); i >= 0 {
			out[i] = n
		} else {
			out = append(out, n)
		}
	}
	return out
}

func (c *MinerClass) has(agent string) bool {
	return slices.ContainsFunc(c.Agents, func(a string) bool { return strings.EqualFold(a, agent) })
}

// Validate lists every fault of the classes.
func (m MinerClasses) Validate() error {
	var faults []error
	seen := map[string]string{}
	for i := range m {
		faults = append(faults, m[i].validate())
		if slices.ContainsFunc(m[:i], func(c MinerClass) bool { return c.Name == m[i].Name }) {
			faults = append(faults, fmt.Errorf("class %q is there twice", m[i].Name))
		}
		for _, a := range m[i].Agents {
			a = strings.ToLower(a)
			if of, twice := seen[a]; twice {
				faults = append(faults, fmt.Errorf("agent %q is in class %q already", a, of))
			}
			seen[a] = m[i].Name
		}
	}
	for _, name := range []string{StrangerClass, LargeClass} {
		if !slices.ContainsFunc(m, func(c MinerClass) bool { return c.Name == name }) {
			faults = append(faults, fmt.Errorf("class %q is missing: unknown miners are of it", name))
		}
	}
	return errors.Join(faults...)
}

func (c *MinerClass) validate() error {
	var faults []error
	if c.Name == "" || len(c.Name) > maxClassName {
		faults = append(faults, fmt.Errorf(
			"class %q: a name of 1 to %d bytes is accepted", c.Name, maxClassName))
	}
	if c.Coinbase < LeastCoinbase || c.Coinbase > MostCoinbase {
		faults = append(faults, fmt.Errorf("class %q: a coinbase of %d bytes: %d to %d are accepted",
			c.Name, c.Coinbase, LeastCoinbase, MostCoinbase))
	}
	if d := c.MinDifficulty; !(d >= 0 && d <= math.MaxInt32+1) {
		faults = append(faults, fmt.Errorf(
			"class %q: minimum difficulty %v: 0 to 2147483648 is accepted", c.Name, d))
	}
	for _, a := range c.Agents {
		if a == "" || len(a) > maxAgent || strings.TrimSpace(a) != a {
			faults = append(faults, fmt.Errorf(
				"class %q: agent %q: 1 to %d bytes without spaces around are accepted", c.Name, a, maxAgent))
		}
	}
	return errors.Join(faults...)
}
