//go:build !linux

package stratum

import "time"

// limitUnconfirmed is for kernels that know how.
func limitUnconfirmed(int, time.Duration) {}
