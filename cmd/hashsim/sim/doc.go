// Package sim is a simulated mining site: feeders with base load, ASICs that take real time to
// shed and return power, tenants that draw what they leased, meters that show it over HTTP
// and an integrated truth that no meter noise can hide. The ASICs are real on the
// wire: they speak Stratum V2 over Noise, or Stratum V1, and grind real SHA-256d, at a declared scale.
//
// It leaves mining clients to package stratumtest, and every decision about power to the server.
package sim
