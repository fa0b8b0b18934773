package sv1

import "errors"

// Errors of a line; each is wrapped with what was wrong.
var (
	// ErrSyntax says that a line is no JSON object, or nests deeper than MaxDepth.
	ErrSyntax = errors.New("line is not a JSON object")
	// ErrLength says that a line is longer than its reader takes.
	ErrLength = errors.New("line is too long")
	// ErrID says that a request's id is neither a number, a string nor null, or longer than MaxID.
	ErrID = errors.New("id is not a number, a string or null")
	// ErrMethod says that a line has neither a method nor a result.
	ErrMethod = errors.New("request has no method")
	// ErrParams says that the parameters of a request cannot be read.
	ErrParams = errors.New("parameters cannot be read")
)

// Numbers of error replies that pools have in common; those of shares are pool.Reject's.
const (
	CodeOther         = 20
	CodeUnauthorized  = 24
	CodeNotSubscribed = 25
)
