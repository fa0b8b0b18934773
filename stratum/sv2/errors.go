package sv2

import "errors"

// Errors of decoding. They come wrapped with the names of the message and the field.
var (
	// ErrTruncated means that the payload ends before the field does.
	ErrTruncated = errors.New("payload ends within the field")
	// ErrTooLong means that a length is above what the field's type allows.
	ErrTooLong = errors.New("longer than its type allows")
	// ErrOption means that the count of an optional field is neither 0 nor 1.
	ErrOption = errors.New("count of an optional field is neither 0 nor 1")
	// ErrFloat means a hashrate that is negative (minus zero too), infinite or not a number.
	ErrFloat = errors.New("not a finite number of 0 or more")
	// ErrUnknown means that no message has this extension and type.
	ErrUnknown = errors.New("unknown message")
)
