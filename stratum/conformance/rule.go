package conformance

import (
	"fmt"
	"slices"
)

// Mark says how binding a rule is: by the specification's own word, or by ours where it is silent.
type Mark string

// The marks.
const (
	Must   Mark = "MUST"
	Should Mark = "SHOULD"
	May    Mark = "MAY"
	Impl   Mark = "IMPL" // the specification is silent: what deployed peers need
)

// Rule is one sentence that can be tested. It has a Check or a Frame if a pool can be asked from outside;
// Tests if tests of our own code show it; or a Reason why neither.
type Rule struct {
	Number   int
	Mark     Mark
	Sentence string // what holds, in the present tense, to be read after the number
	Source   string // section of the specification, as in 03§3.6.1

	// Check asks the pool. It ends early by T.Failf or T.NA.
	Check func(t *T)
	// Frame looks at every frame that the pool sends in the whole run, whichever rule made it send it.
	Frame func(f *Frame) error
	// Tests are tests of ours that carry the number: "directory TestSV2_002_Name".
	Tests []string
	// Reason says why there is no Check, in a few words.
	Reason string

	Needs []string // verbs of the control protocol, all of them
	Waits string   // the pool's timeout that Check sits out, as the control protocol names it
	Alone bool     // Check changes the pool for everybody: nothing else runs meanwhile
}

// ID is the number as people write it: SV2-045.
func (r *Rule) ID() string { return fmt.Sprintf("SV2-%03d", r.Number) }

// observable reports whether a pool can be asked.
func (r *Rule) observable() bool { return r.Check != nil || r.Frame != nil }

// Sections are the rules by section of the checklist, in order. The slices are not to be changed.
func Sections() []Section {
	return []Section{
		{"Transport and Noise", transportRules},
		{"Framing and decoding", framingRules},
		{"Connection setup", setupRules},
		{"Opening channels", openingRules},
		{"Groups, close, update", groupRules},
		{"Jobs", jobRules},
		{"Difficulty", difficultyRules},
		{"Shares", shareRules},
		{"Extensions", extensionRules},
		{"Reconnect", reconnectRules},
	}
}

// Section is a part of the checklist.
type Section struct {
	Title string
	Rules []Rule
}

// Rules is all of them, by number.
func Rules() []*Rule {
	var all []*Rule
	for _, s := range Sections() {
		for i := range s.Rules {
			all = append(all, &s.Rules[i])
		}
	}
	slices.SortStableFunc(all, func(a, b *Rule) int { return a.Number - b.Number })
	return all
}
