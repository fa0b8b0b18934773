//go:build race

package pool_test

// raced says that the race detector runs: it makes sync.Pool forget at random what was lent, so
// allocations cannot be counted.
const raced = true
