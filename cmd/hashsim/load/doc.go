// Package load measures a pool under load, over real TCP and Noise on this machine: what a share costs,
// how long acknowledgements, refusals and new tips take, what a connection weighs, and what a storm of
// reconnects does to those who are connected.
//
// The pool is a process of its own (Target), so that its CPU time and memory are its own too: a real
// stratum.Server over real journals on disk, with accounting and vardiff on. Only its node is synthetic,
// because on a test network every share would be a block. The process that measures (Run) starts it,
// asks it for tips over its standard input, and reads /proc for what it costs.
//
// Shares are not ground: the server's floor is so low that every hash is a share. It hashes and judges
// each all the same, and one share in fifty is bad on purpose and must be refused for the right reason.
//
// Judging, jobs and sessions belong to the rooms under test; goals to docs/performance.md.
package load
