//go:build !race

package stratum

// raced says that the race detector runs.
const raced = false
