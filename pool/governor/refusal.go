package governor

import (
	"errors"
	"fmt"
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
