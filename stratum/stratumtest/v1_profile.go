package stratumtest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// V1Profile is how one firmware speaks Stratum V1, as data: what it says, in which order, and what it
// cannot take. A pool that goes beyond what it takes is a fault of the pool (V1Miner reports it).
type V1Profile struct {
	Name   string // as transcripts and simulated sites know it
	Vendor string // of the machine
	Source string // where the facts come from
	Agent  string // first parameter of mining.subscribe; empty: it sends no parameters

	Opening []V1Step // in the order in which they are sent
	Waits   bool     // each step waits for the answer to the one before
	IDs     V1IDs

	Mask    uint32 // version bits asked for in mining.configure
	MinBits string // version-rolling.min-bit-count as JSON; empty: it is not sent
	Unasked uint32 // version bits rolled without any mining.configure
	Params  int    // of mining.submit: 5, or 6 with version bits
	Bare    bool   // numbers of mining.submit come without leading zeros

	Suggest float64       // difficulty suggested; 0: none
	Repeat  time.Duration // the suggestion is sent again this often; 0: once

	Resumes    bool          // gives its last session id when it comes back
	Reconnects bool          // follows client.reconnect, to the same host only
	Silence    time.Duration // gives a connection up after nothing has come; 0: never

	Line       int  // longest line that it reads, bytes; 0: its buffer grows
	Remembers  int  // newest job ids: one that comes again is ignored; 0: it keeps none
	JobID      int  // longest job id
	Coinbase   int  // largest coinbase, bytes
	Extranonce int  // largest extranonce2, bytes
	Username   int  // longest name, bytes; what is longer is cut
	Whole      bool // a difficulty of 1 or more must be an integer, written as one
	Early      bool // ends the connection if set_version_mask comes before mining.authorize is answered
}

// V1Step is a message of the opening.
type V1Step uint8

// The steps.
const (
	V1Configure V1Step = iota
	V1Subscribe
	V1Authorize
	V1Suggest
	V1ExtranonceSubscribe
)

// String is the method.
func (s V1Step) String() string {
	return [...]string{
		"mining.configure", "mining.subscribe", "mining.authorize", "mining.suggest_difficulty",
		"mining.extranonce.subscribe",
	}[s]
}

// V1IDs is what a firmware numbers its requests with.
type V1IDs uint8

// V1Counting counts, V1Text counts in strings, V1Fixed has one id for each method: 4 for every share, so that
// several with the same id are on their way.
const (
	V1Counting V1IDs = iota
	V1Text
	V1Fixed
)

// V1ProfileNamed finds a profile.
func V1ProfileNamed(name string) (V1Profile, error) {
	names := make([]string, 0, len(v1Profiles))
	for _, p := range v1Profiles {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return V1Profile{}, fmt.Errorf("firmware profile %q: one of %s is accepted",
		name, strings.Join(names, ", "))
}

// V1Profiles are all profiles, as copies.
func V1Profiles() []V1Profile {
	all := slices.Clone(v1Profiles[:])
	for i := range all {
		all[i].Opening = slices.Clone(all[i].Opening)
	}
	return all
}
