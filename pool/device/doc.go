// Package device speaks to what stands at a site: feeder meters, price feeds, vendors' machines and
// switched sockets, one file per outside interface. Each driver is a fleet.Meter, or a fleet.Actuator and a
// fleet.Probe; it bounds what it reads, and says in its errors what it expected.
//
// Deciding what readings mean and when to act belongs to pool/governor. Emulators of the same
// interfaces, with their faults, are in pool/device/devicetest.
package device
