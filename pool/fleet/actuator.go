package fleet

import "context"

// Actuator sets one worker's power. Set may be repeated with the same command: it is idempotent.
type Actuator interface {
	Capability() Capability
	Set(ctx context.Context, s Setpoint) (Ack, error)
}

// Meter reads one metered branch.
type Meter interface {
	Read(ctx context.Context) (Reading, error)
}
