// Package pool is the mining core: templates become jobs, jobs are assigned to
// channels, shares are judged, difficulty follows hashrate. Everything here is pure: it
// takes the time as an argument, starts no goroutine and does no I/O, so that every
// behaviour can be replayed by a transcript.
//
// It leaves the wire to package stratum, nodes to pool/node, money to pool/ledger and power to
// pool/fleet.
package pool
