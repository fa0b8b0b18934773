package fleet

import "errors"

// ErrReversed is what a Meter's Read wraps when the meter shows power that flows the wrong way: it was read
// well, and measures the right thing with the wrong sign.
var ErrReversed = errors.New("the meter is reversed")
