// Package stratumtest is the other side of a Stratum V2 pool: a scripted Client that sends
// exactly what a test tells it to, and a Miner that keeps a channel alive, grinds real
// SHA-256d at a paced rate and obeys the power extension. Many miners share one Grinder,
// so that a whole site of them costs a fraction of a core.
//
// It leaves the physics of machines (watts, ramps, meters) to the caller, who plugs them in
// as a PowerDevice, and never judges whether a pool behaves well: tests do.
package stratumtest
