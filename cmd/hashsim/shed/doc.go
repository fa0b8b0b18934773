// Package shed measures how fast and how exactly a server frees power: a real hashlease process, real
// sockets, simulated machines that obey the in-band power extension, meters over HTTP. It judges the
// physics of the simulation, not what the server says of it.
//
// The machines are cmd/hashsim/sim's; what is measured is the server's.
package shed
