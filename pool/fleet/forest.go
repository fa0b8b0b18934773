package fleet

import (
	"slices"
	"time"

	"github.com/hashlease/hashlease/pool/unit"
)

// forest is the snapshot's feeders and branches as trees: nodes[:feeders] are its feeders,
// the rest its branches. A feeder with nothing above and no PDU below is a tree of one node.
type forest struct {
	nodes   []node
	feeders int
	order   []int32 // workers of the snapshot, grouped by the node that they hang on
	leaf    []int32 // of each worker: its node, -1 if its feeder is not there
	caps    map[FeederID][]Cap
	byID    map[FeederID]int32
	branch  map[BranchID]int32
	imports map[SiteID]int32
}

// node is one feeder or branch.
type node struct {
	feeder   *FeederState // nil: a branch
	parent   int32        // -1: the top of a tree
	kid, sib int32        // first below, next below the same; -1: none
	own      int32        // how many workers hang directly on it, then where they end in order
	caps     []Cap

	claimed, bound unit.Watts
	margin, keep   int64
	excess         unit.Watts

	level    relaxed // what gives way here
	short    bool
	fixed    bool  // it binds by itself, and more than what is above it
	segs     int32 // segments of those that hang directly on it
	segsEnd  int32
	from, to int32 // its classes
	mine     int32 // ... of which those that hang directly on it begin here
	full     unit.Watts
	present  standing // of its classes
	wanted   standing
	need     int64
	most     int64 // of a feeder: that may be freed while its least heat is kept
	freed    int64
	slope    float64 // of the last step taken here; 0: nobody gives way for it
	price    float64 // of a watt, all that is above included
}

// plant makes the trees of a snapshot.
func (f *forest) plant(s *Snapshot, caps []Cap, now time.Time) {
	f.clear(s)
	for _, c := range caps {
		f.caps[c.Feeder] = append(f.caps[c.Feeder], c)
	}
	for i := range s.Feeders {
		fs := &s.Feeders[i]
		n := node{feeder: fs, parent: -1, kid: -1, sib: -1, caps: f.caps[fs.Feeder.ID], excess: fs.Excess}
		n.margin, n.keep = int64(fs.Margin), int64(fs.Keep)
		n.claimed = fs.Claimed(n.caps, now)
		n.bound = fs.Bound(n.claimed)
		f.byID[fs.Feeder.ID] = int32(i)
		f.nodes = append(f.nodes, n)
	}
	for i := range s.Branches {
		b := &s.Branches[i]
		f.branch[b.Branch.ID] = int32(len(f.nodes))
		if b.Branch.Kind == Import {
			f.imports[b.Site] = int32(len(f.nodes))
		}
		f.nodes = append(f.nodes, node{
			parent: -1, kid: -1, sib: -1, margin: int64(b.Margin), excess: b.Excess,
		})
	}
	f.settle(s)
	f.hang(s)
	for i := len(f.nodes) - 1; i >= 0; i-- { // kids in the order of the snapshot
		if up := f.nodes[i].parent; up >= 0 {
			f.nodes[i].sib = f.nodes[up].kid
			f.nodes[up].kid = int32(i)
		}
	}
	for i := range s.Branches {
		b, n := &s.Branches[i], &f.nodes[f.feeders+i]
		n.claimed, n.keep = f.below(int32(f.feeders + i))
		n.bound = b.Bound(n.claimed)
	}
}

func (f *forest) clear(s *Snapshot) {
	if f.caps == nil {
		f.caps = make(map[FeederID][]Cap, len(s.Feeders))
		f.byID = make(map[FeederID]int32, len(s.Feeders))
		f.branch, f.imports = map[BranchID]int32{}, map[SiteID]int32{}
	}
	for id, cs := range f.caps {
		f.caps[id] = cs[:0]
	}
	clear(f.byID)
	clear(f.branch)
	clear(f.imports)
	f.nodes, f.feeders = f.nodes[:0], len(s.Feeders)
}

// settle finds the node of every worker, and through them the feeders that PDUs hang on. Most hang where
// they hung in the plan before.
func (f *forest) settle(s *Snapshot) {
	before := len(f.leaf)
	f.leaf = slices.Grow(f.leaf[:0], len(s.Workers))[:len(s.Workers)]
	for i := range s.Workers {
		w := s.Workers[i].Worker
		on := int32(-1)
		if i < before && f.hangsOn(s, w, f.leaf[i]) {
			on = f.leaf[i]
		} else if at, ok := f.byID[w.Feeder]; ok {
			if on = at; w.Branch != "" {
				on = f.climb(s, w.Branch, at)
			}
		}
		if f.leaf[i] = on; on >= 0 {
			f.nodes[on].own++
		}
	}
	f.group()
}

// hangsOn says whether a worker hangs on a node, as far as that can be told at once.
func (f *forest) hangsOn(s *Snapshot, w *Worker, on int32) bool {
	switch {
	case on < 0 || int(on) >= len(f.nodes):
		return false
	case int(on) < f.feeders:
		return w.Branch == "" && s.Feeders[on].Feeder.ID == w.Feeder
	}
	n := &f.nodes[on]
	if n.parent < 0 || s.Branches[int(on)-f.feeders].Branch.ID != w.Branch {
		return false
	}
	return int(n.parent) >= f.feeders || s.Feeders[n.parent].Feeder.ID == w.Feeder
}

// climb is the node of a PDU, and notes that the topmost one above it hangs on the feeder. What is
// not a PDU is passed over.
func (f *forest) climb(s *Snapshot, id BranchID, feeder int32) int32 {
	pdu := func(id BranchID) int32 {
		n, ok := f.branch[id]
		if !ok || s.Branches[int(n)-f.feeders].Branch.Kind != PDU {
			return -1
		}
		return n
	}
	leaf := pdu(id)
	if leaf < 0 {
		return feeder
	}
	at := leaf
	for range s.Branches {
		if f.nodes[at].parent >= 0 {
			break // found before
		}
		up := pdu(s.Branches[int(at)-f.feeders].Branch.Parent)
		if up < 0 || up == leaf {
			f.nodes[at].parent = feeder
			break
		}
		f.nodes[at].parent = up
		at = up
	}
	return leaf
}

// group lists the workers by node, in the order of the snapshot.
func (f *forest) group() {
	sum := int32(0)
	for i := range f.nodes {
		n := &f.nodes[i]
		sum, n.own = sum+n.own, sum
	}
	if cap(f.order) < len(f.leaf) {
		f.order = make([]int32, len(f.leaf))
	}
	f.order = f.order[:sum]
	for i, on := range f.leaf {
		if on >= 0 {
			f.order[f.nodes[on].own] = int32(i)
			f.nodes[on].own++
		}
	}
}

// workers are those that hang directly on a node.
func (f *forest) workers(n int32) []int32 {
	from := int32(0)
	if n > 0 {
		from = f.nodes[n-1].own
	}
	return f.order[from:f.nodes[n].own]
}

// hang ties feeders and transformers to what they name, or to their site's import.
func (f *forest) hang(s *Snapshot) {
	tie := func(n int32, id BranchID, site SiteID) {
		up, ok := f.branch[id]
		if !ok || s.Branches[int(up)-f.feeders].Branch.Kind == PDU {
			up, ok = f.imports[site]
		}
		if ok && up != n {
			f.nodes[n].parent = up
		}
	}
	for i := range s.Feeders {
		tie(int32(i), s.Feeders[i].Feeder.Branch, s.Feeders[i].Feeder.Site)
	}
	for i := range s.Branches {
		if b := &s.Branches[i]; b.Branch.Kind == Transformer {
			tie(int32(f.feeders+i), b.Branch.Parent, b.Site)
		}
	}
}

// below adds up what is claimed on the feeders below a branch, and what is kept for them.
func (f *forest) below(n int32) (claimed unit.Watts, keep int64) {
	if f.nodes[n].feeder != nil {
		return f.nodes[n].claimed, f.nodes[n].keep
	}
	for k := f.nodes[n].kid; k >= 0; k = f.nodes[k].sib {
		c, more := f.below(k)
		claimed += c
		keep += more
	}
	return claimed, keep
}
