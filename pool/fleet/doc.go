// Package fleet describes power: sites, feeders, workers with their curves, what may be
// ordered of them, and the planner that chooses who gives way. It is pure, except that a
// Registry and its Links are shared between goroutines and so are atomic.
//
// Acting on a plan and reading meters belongs to pool/governor, talking to devices to
// pool/device and package stratum, and what the watts are for to package lease.
package fleet
