// Package stamp tells when bytes came to a socket by the kernel's clock, not by when the program that
// measures had a core to read them: a generator of load on the same cores would else count its own queue
// as the server's.
//
// The kernel stamps a segment when it is handed to the receiver's stack, which on loopback is within the
// sender's system call. Where it does not stamp, the time of the read stands in.
package stamp
