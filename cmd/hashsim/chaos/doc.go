// Package chaos lets peers of many kinds misbehave at a pool while honest miners mine there, and measures
// what the honest ones notice of it: against a control in which the same number of peers is idle.
//
// The pool is a process of its own, the server of package load unless another one is named. All of it is
// on loopback. What a pool should do about each kind is not judged here; that no honest miner loses its
// connection or an acknowledgement is.
package chaos
