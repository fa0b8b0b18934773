package governor

import "time"

// Step is one look at everything, for benchmarks.
func Step(g *Governor, now time.Time) { g.step(now) }
