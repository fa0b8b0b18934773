package ledger

import "errors"

// Errors of opening.
var (
	// ErrRecord says that a stored record cannot be read: it is damaged or of a newer program.
	ErrRecord = errors.New("unreadable ledger record")
	// ErrMismatch says that the two journals of Shares do not belong together.
	ErrMismatch = errors.New("shares journal does not match the book")
)

// Errors of use. Nothing was written.
var (
	// ErrInvalid says that an argument is outside what is accepted.
	ErrInvalid = errors.New("invalid ledger input")
	// ErrTooManyWorkers says that a credit would pass Config.MaxWorkers.
	ErrTooManyWorkers = errors.New("too many workers")
	// ErrConflict says that an entry's ID is taken by an entry with other content.
	ErrConflict = errors.New("entry exists with other content")
	// ErrOverflow says that a balance would leave the range of Msat.
	ErrOverflow = errors.New("balance out of range")
	// ErrUnknownBlock says that an outcome names a block that was never found.
	ErrUnknownBlock = errors.New("unknown block")
)
