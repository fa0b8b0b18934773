//go:build !race

package pool_test

// raced says that the race detector runs.
const raced = false
