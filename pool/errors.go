package pool

import "errors"

// Errors of Channel.Activate: the session named a job that SetNewPrevHash must not name.
var (
	// ErrNotFuture says that the id is not that of a future job of the channel.
	ErrNotFuture = errors.New("not a future job of this channel")
	// ErrOtherTip says that the job was made for another block than the tip asks for.
	ErrOtherTip = errors.New("made for another tip")
)
