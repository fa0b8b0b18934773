package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashlease/hashlease/pool"
)

// Phase is how a node is doing.
type Phase uint8

// Phases of a node.
const (
	Connecting   Phase = iota // not asked yet
	Ready                     // gives templates
	Away                      // cannot be reached, or answers too late
	Denied                    // user or password is wrong
	Starting                  // its RPC answers but it is not up yet
	Syncing                   // downloads blocks
	NoPeers                   // has nobody to send a block to
	WrongNetwork              // on another network than configured
	Broken                    // its answers are not acceptable
	Behind                    // does not know a block that it should
	Stopped                   // Run has ended
)

var phaseNames = [...]string{
	"connecting", "ready", "away", "access denied", "starting", "syncing", "no peers",
	"wrong network", "broken", "behind", "stopped",
}

// String names the phase for people.
func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return fmt.Sprintf("phase %d", uint8(p))
}

// State is how a node is doing and why.
type State struct {
	Phase  Phase
	Detail string // for people; empty when there is nothing to add
}

// String is the state for people: "ready", or for example "away: connection refused".
func (s State) String() string {
	if s.Detail == "" {
		return s.Phase.String()
	}
	return s.Phase.String() + ": " + s.Detail
}

// notReady is the error that stands for a state in which a node gives no template.
type notReady struct {
	name  string
	state State
	cause error
}

func (e *notReady) Error() string { return "node " + e.name + ": " + e.state.String() }

func (e *notReady) Unwrap() []error {
	if e.cause == nil {
		return []error{pool.ErrNodeNotReady}
	}
	return []error{pool.ErrNodeNotReady, e.cause}
}

// asNotReady says what a failure means for the node called name.
func asNotReady(name string, err error) *notReady {
	if known, ok := errors.AsType[*notReady](err); ok {
		return known
	}
	return &notReady{name, State{phaseOf(err), err.Error()}, err}
}

func phaseOf(err error) Phase {
	switch {
	case errors.Is(err, errDenied):
		return Denied
	case errors.Is(err, errBroken):
		return Broken
	case errors.Is(err, errBehind):
		return Behind
	case errors.Is(err, context.Canceled):
		return Stopped
	}
	switch codeOf(err) {
	case 0:
		return Away
	case codeNoPeers:
		return NoPeers
	case codeDownloading:
		return Syncing
	case codeStarting:
		return Starting
	}
	return Broken
}
