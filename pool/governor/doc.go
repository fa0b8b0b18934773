// Package governor keeps every feeder within its limit: it plans who gives way, orders it,
// reads the meters, verifies at the meter what was freed, and escalates when it was too little.
// It serves lease/service as its Curtailer and the operator with curtailments and figures.
//
// It is level-triggered: each tick compares what should be with what is and orders the difference, so
// that a restart, a lost message or a device with its own mind needs no case of its own.
// It orders nothing before it has been told for the first time what tenants hold.
//
// Choosing workers belongs to fleet.Plan, which is pure. Why watts are claimed, and by
// whom, belongs to package lease; the wires to devices and meters to package stratum and pool/device.
package governor
