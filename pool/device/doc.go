// Package device speaks to what stands at a site: feeder meters and price feeds now, vendors' machines
// as they come, one file per outside interface. Each driver is a fleet.Meter or a
// fleet.Actuator, bounds what it reads, and says in its errors what it expected.
//
// Deciding what readings mean and when to act belongs to pool/governor. Emulators of the same
// interfaces, with their faults, are in pool/device/devicetest.
package device
