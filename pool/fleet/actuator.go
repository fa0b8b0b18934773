package fleet

import "context"

// Actuator sets one worker's power. Set may be repeated with the same command: it is idempotent.
type Actuator interface {
	Capability() Capability
	Set(ctx context.Context, s Setpoint) (Ack, error)
}

// Meter reads one metered branch. An error that is ErrReversed tells people what to do about the meter.
type Meter interface {
	Read(ctx context.Context) (Reading, error)
}
