package governor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashlease/hashlease/pool/fleet"
)

// What an operator's wish may be refused for, by kind: errors.Is tells.
var (
	ErrUnknown = errors.New("no such site or feeder")
	ErrState   = errors.New("the present state forbids it")
	ErrShort   = errors.New("nothing can give way")
	ErrBound   = errors.New("a limit that is not accepted")
	ErrEarly   = errors.New("too early to order anything")
)

// refusal is an error for people that is of a kind.
type refusal struct {
	kind error
	text string
}

func (r *refusal) Error() string { return r.text }

func (r *refusal) Unwrap() error { return r.kind }

func refuse(kind error, format string, args ...any) error {
	return &refusal{kind, fmt.Sprintf(format, args...)}
}

// noSite refuses a site that is not there, with those that are.
func (g *Governor) noSite(id fleet.SiteID) error {
	var known []string
	for _, st := range g.sites {
		known = append(known, string(st.ID))
	}
	return refuse(ErrUnknown, "there is no site %q: %s", id, oneOf(known))
}

// noFeeder refuses a feeder that is not there, with those that are.
func (g *Governor) noFeeder(id fleet.FeederID) error {
	var known []string
	for _, f := range g.feeders {
		known = append(known, string(f.Site)+"/"+string(f.ID))
	}
	return refuse(ErrUnknown, "there is no feeder %q: %s", id, oneOf(known))
}

// oneOf says what is accepted, as far as people read.
func oneOf(names []string) string {
	const most = 8
	switch n := len(names); {
	case n == 0:
		return "the configuration has none"
	case n > most:
		return fmt.Sprintf("one of %s and %d more is accepted", strings.Join(names[:most], ", "), n-most)
	case n == 1:
		return names[0] + " is accepted"
	}
	return "one of " + strings.Join(names, ", ") + " is accepted"
}
