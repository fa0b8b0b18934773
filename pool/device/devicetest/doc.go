// Package devicetest emulates what stands at a site, with its faults, for tests and simulations.
// It holds the far side of every interface that package device speaks and nothing of ours.
package devicetest
