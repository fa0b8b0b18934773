package fleet

import (
	"fmt"

	"github.com/hashlease/hashlease/pool/unit"
)

// BranchID names a branch: 1 to 40 of a-z 0-9 - _, unique over all sites, and no feeder's.
type BranchID string

// BranchKind is where a branch stands between the grid and the machines.
type BranchKind uint8

// PDU feeds machines of one feeder, Transformer feeds feeders, Import is all that a site takes.
const (
	PDU BranchKind = iota
	Transformer
	Import
)

// String is the kind as configuration spells it.
func (k BranchKind) String() string { return spell(branchKinds[:], uint8(k)) }

// MarshalText is String.
func (k BranchKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads "pdu", "transformer" or "import".
func (k *BranchKind) UnmarshalText(b []byte) error {
	n, ok := unspell(branchKinds[:], string(b))
	if !ok {
		return fmt.Errorf("kind of branch %q: pdu, transformer or import is accepted", b)
	}
	*k = BranchKind(n)
	return nil
}

var branchKinds = [...]string{"pdu", "transformer", "import"}

// Branch is a part of a site with a limit of its own besides its feeders: a PDU below one of them, a
// transformer above some of them, or the whole import. Branches and feeders form a tree; what is
// below a branch stays under its limit together.
type Branch struct {
	ID       BranchID
	Parent   BranchID // what it hangs on: of a PDU another PDU, of a transformer another one or the import
	Kind     BranchKind
	Limit    unit.Watts // never passed by our act
	Reserve  unit.Watts // kept free below the limit for what we do not command
	Base     unit.Watts // declared base load besides that of the feeders below
	Overload Overload   // declared allowance; with Reserve it covers the largest control domain below
}

// BranchState is one branch as it is known now.
type BranchState struct {
	Branch  *Branch
	Site    SiteID
	Base    unit.Watts // all base load below, metered or declared, the feeders' included
	Ceiling unit.Watts // bounds all that the branch takes, from outside and without a reserve; 0: none
	Margin  unit.Watts // kept below the bound
	Excess  unit.Watts // mining below it beyond what the workers' states add up to
}

// Bound is what mining below the branch may draw while claimed watts are claimed there.
func (b *BranchState) Bound(claimed unit.Watts) unit.Watts {
	most := b.Branch.Limit - b.Branch.Reserve
	if b.Ceiling > 0 {
		most = min(most, b.Ceiling)
	}
	return most - b.Base - claimed
}

// BranchPlan is what a plan comes to below a branch. The figures are those of FeederPlan.
type BranchPlan struct {
	Branch  BranchID
	Claimed unit.Watts // on the feeders below
	Bound   unit.Watts
	Full    unit.Watts
	Present unit.Watts
	Planned unit.Watts
	Short   unit.Watts
}

// Above lists what a feeder hangs on, nearest first. A site's import is above all of its
// feeders, whether they say so or not.
func (s *Site) Above(f *Feeder) []*Branch { return s.path(f.Branch, true) }

// Below lists the PDUs between a feeder and one of its workers, nearest to the worker first.
func (s *Site) Below(w *Worker) []*Branch { return s.path(w.Branch, false) }

// path climbs from a branch. It ends where a parent is missing or met again.
func (s *Site) path(id BranchID, upToImport bool) []*Branch {
	var up []*Branch
	for id != "" && len(up) <= len(s.Branches) {
		b := s.branch(id)
		if b == nil {
			break
		}
		up = append(up, b)
		id = b.Parent
	}
	if !upToImport || len(up) > 0 && up[len(up)-1].Kind == Import {
		return up
	}
	if top := s.imported(); top != nil {
		up = append(up, top)
	}
	return up
}

func (s *Site) branch(id BranchID) *Branch {
	for i := range s.Branches {
		if s.Branches[i].ID == id {
			return &s.Branches[i]
		}
	}
	return nil
}

// imported is the site's import, nil if none is declared.
func (s *Site) imported() *Branch {
	for i := range s.Branches {
		if s.Branches[i].Kind == Import {
			return &s.Branches[i]
		}
	}
	return nil
}
