// Package nodetest emulates a bitcoin node, with its faults, for tests and benchmarks. What it says is what
// package node reads; checking blocks in earnest is left to real nodes.
package nodetest
