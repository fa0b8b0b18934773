// Package simtest runs the real governor under a virtual clock against a simulated fleet: machines of many
// firmwares with their delays and faults, meters, tenants, crashes. It judges the truth of the simulation.
//
// Everything happens by events, in a bubble of testing/synctest, so that a day takes seconds. One seed is one
// story of faults, leases and prices; which of two things comes first that happen at one instant is the
// scheduler's choice. The wires to machines and meters are not part of it: cmd/hashsim has those.
package simtest
