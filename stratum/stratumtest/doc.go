// Package stratumtest is the other side of a pool: a scripted Client that sends exactly what a test tells
// it to, and a Miner that keeps a channel alive, grinds real SHA-256d at a paced rate and obeys the power
// extension. V1Client and V1Miner are the same for Stratum V1, with the ways of each firmware
// (V1Profile). Many miners share one Grinder, so that a whole site of them costs a fraction of a core.
//
// It leaves the physics of machines (watts, ramps, meters) to the caller, who plugs them in as a
// PowerDevice. Whether a pool behaves well is for tests to judge; a V1Miner only says what its firmware
// would not have taken.
package stratumtest
