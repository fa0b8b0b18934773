// Package testpool is our real Stratum V2 server on loopback with rooms in memory and a control (see
// package conformance): it makes up blocks and templates, forgets credits and keeps found blocks in a
// list. Its work is so easy that a share costs a few hashes and a block some ten thousand.
package testpool
