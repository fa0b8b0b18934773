// Package lease keeps the book of power slots: what each feeder can deliver, what is booked
// on it, and where each lease is in its life. It admits exactly (a breakpoint
// tree per feeder), refuses with reasons, and turns commands into events by a table of states.
//
// Everything here is pure. Book.Step decides and applies, Book.Apply replays, and both take
// the time as an argument, so that a fold of the journal equals the live book.
//
// It leaves clocks, durability, caps and proofs in flight to lease/service, the wire and keys to
// lease/leaserpc, and the power itself to pool/governor.
package lease
