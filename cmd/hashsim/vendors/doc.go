// Package vendors serves one emulated machine of every interface that devicetest knows, each on a loopback
// address of its own, for programs that were not written with ours: miner-management libraries, scripts, or
// the server's own scan.
package vendors
