package service

import "errors"

// Errors of a call. A refusal by the book itself is a *lease.Refusal.
var (
	// ErrRecovering says that the service is still folding its journal.
	ErrRecovering = errors.New("the lease service is starting: try again shortly")
	// ErrReadOnly says that the journal failed: nothing was done, or at least nothing is known to be.
	ErrReadOnly = errors.New("the journal cannot be written now: try again with the same request id")
	// ErrClock says that the clock jumped and slots cannot be booked until it is trusted again.
	ErrClock = errors.New("the server's clock is not trusted now: try again later")
	// ErrClosed says that the service has been shut down.
	ErrClosed = errors.New("the lease service has been shut down")
)

// Errors of watching.
var (
	// ErrCompacted says that changes after the asked revision are no longer held: watch from 0 again.
	ErrCompacted = errors.New("changes after that revision are no longer held: watch from revision 0 again")
	// ErrFuture says that the asked revision has not happened.
	ErrFuture = errors.New("that revision has not happened yet")
	// ErrWatchers says that too many watches are open.
	ErrWatchers = errors.New("too many watches are open: close some first")
)
