package inventory

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashlease/hashlease/pool"
)

// Worker is what is known here of a worker that may be one of the machines.
type Worker struct {
	ID      pool.WorkerID
	Address string       // of its own interface by the configuration, host or host:port; empty: not named
	Remotes []netip.Addr // where its sessions come from now
}

// Match says which worker a machine is.
type Match struct {
	Machine
	Worker     pool.WorkerID   // empty: none, or not only one
	By         string          // what told it: address, worker name, MAC, serial number, session
	Candidates []pool.WorkerID // who it may be, where that is not clear
	Elsewhere  bool            // it mines at another pool by its own word
}

// maxCandidates bounds who is listed for one machine.
const maxCandidates = 8

// clue is one way to tell a machine: both sides have keys, and equal ones fit.
type clue struct {
	by      string
	machine func(*Machine) []string
	// worker has the lengths of all machines' keys to look for in its name.
	worker func(w *Worker, lengths []int) []string
}

// clues are how a machine is told, strongest first: what the operator wrote, what the machine calls
// itself at the pool, what names people give by convention, and where sessions come from.
var clues = []clue{
	{
		"address", func(m *Machine) []string { return []string{m.Address, host(m.Address)} },
		func(w *Worker, _ []int) []string { return []string{w.Address} },
	},
	{
		"worker name", func(m *Machine) []string { return m.Identity.Workers },
		func(w *Worker, _ []int) []string { return []string{string(w.ID)} },
	},
	{"MAC", func(m *Machine) []string { return long(m.Identity.MAC) }, parts},
	{"serial number", func(m *Machine) []string { return long(m.Identity.Serial) }, parts},
	{
		"address in its name", func(m *Machine) []string { return namesOf(host(m.Address)) },
		func(w *Worker, _ []int) []string {
			_, name, _ := strings.Cut(string(w.ID), ".")
			return []string{name}
		},
	},
	{
		"session", func(m *Machine) []string { return []string{host(m.Address)} },
		func(w *Worker, _ []int) (keys []string) {
			for _, a := range w.Remotes {
				keys = append(keys, a.Unmap().String())
			}
			return keys
		},
	},
}

// host is the host of an address.
func host(address string) string {
	if at, err := netip.ParseAddrPort(address); err == nil {
		return at.Addr().String()
	}
	return address
}

// long is a MAC or serial number without its punctuation, if it is long enough to mean something in a name.
func long(text string) []string {
	if text = plain(text); len(text) < 6 {
		return nil
	}
	return []string{text}
}

// parts are all parts of a worker's name of some lengths, without punctuation.
func parts(w *Worker, lengths []int) (keys []string) {
	name := plain(string(w.ID))
	for _, n := range lengths {
		for i := 0; i+n <= len(name); i++ {
			keys = append(keys, name[i:i+n])
		}
	}
	return keys
}

func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ':' || r == '-' || r == '_' || r == '.' {
			return -1
		}
		return r
	}, strings.ToLower(s))
}

// namesOf are how firmware calls a machine by its address: 10x0x3x7, 10-0-3-7 or 3x7.
func namesOf(host string) []string {
	a, err := netip.ParseAddr(host)
	if err != nil || !a.Is4() {
		return nil
	}
	b := strings.Split(a.String(), ".")
	return []string{strings.Join(b, "x"), strings.Join(b, "-"), b[2] + "x" + b[3]}
}

// MatchAll says of every machine which worker it is. A worker that several machines claim by one clue is
// given to none of them: all are listed for the operator. ours says whether a pool, as host:port, is this
// one.
func MatchAll(machines []Machine, workers []Worker, ours func(pool string) bool) []Match {
	out := make([]Match, len(machines))
	taken := map[pool.WorkerID]bool{}
	for i, m := range machines {
		out[i] = Match{Machine: m, Elsewhere: m.Pool != "" && ours != nil && !ours(m.Pool)}
	}
	for _, c := range clues {
		fits, claims := c.join(out, workers, taken)
		for i := range out {
			switch {
			case len(fits[i]) == 1 && claims[fits[i][0]] == 1:
				out[i].Worker, out[i].By, out[i].Candidates = fits[i][0], c.by, nil
				taken[fits[i][0]] = true
			case len(fits[i]) > 0 && out[i].Candidates == nil:
				out[i].Candidates = fits[i][:min(len(fits[i]), maxCandidates)]
			}
		}
	}
	return out
}

// join finds who fits whom by one clue among those who are not told yet, and how many machines each
// worker fits.
func (c *clue) join(
	out []Match, workers []Worker, taken map[pool.WorkerID]bool,
) (fits [][]pool.WorkerID, claims map[pool.WorkerID]int) {
	machines := map[string][]int{}
	lengths := map[int]bool{}
	for i := range out {
		if out[i].Worker != "" {
			continue
		}
		for _, key := range c.machine(&out[i].Machine) {
			if key != "" && !slices.Contains(machines[key], i) {
				machines[key] = append(machines[key], i)
				lengths[len(key)] = true
			}
		}
	}
	fits, claims = make([][]pool.WorkerID, len(out)), map[pool.WorkerID]int{}
	all := slices.Sorted(maps.Keys(lengths))
	for k := range workers {
		if taken[workers[k].ID] {
			continue
		}
		for _, key := range c.worker(&workers[k], all) {
			for _, i := range machines[key] {
				if !slices.Contains(fits[i], workers[k].ID) {
					fits[i] = append(fits[i], workers[k].ID)
					claims[workers[k].ID]++
				}
			}
		}
	}
	return fits, claims
}

// compareAddress orders machines by address as numbers, unknown ones last, then by key.
func compareAddress(a, b Machine) int {
	x, errX := netip.ParseAddrPort(a.Address)
	y, errY := netip.ParseAddrPort(b.Address)
	switch {
	case errX == nil && errY == nil:
		return cmp.Or(x.Compare(y), cmp.Compare(a.Key, b.Key))
	case errX == nil:
		return -1
	case errY == nil:
		return 1
	}
	return cmp.Compare(a.Key, b.Key)
}
