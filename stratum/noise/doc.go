// Package noise secures a Stratum V2 connection: the Noise NX handshake with
// certificates of an authority, and frames sealed with ChaCha20-Poly1305
// (sv2-spec 04-Protocol-Security.md).
//
// The protocol is Noise_NX_Secp256k1+EllSwift_ChaChaPoly_SHA256. The initiator
// (a miner) sends an ephemeral key, 64 bytes. The responder (the pool) answers
// with 234 bytes: its ephemeral key, its static key and a certificate in which
// an authority vouches for the static key for a while. Only the responder is
// authenticated. A miner knows the authority by its PublicKey, a short text
// that stands in the pool's URL; the server keeps the Authority's secret, makes an
// Identity from it now and then, and uses that Identity for every connection.
//
// Deadlines, limits on the number of handshakes, and the rotation of an
// Identity before its certificate ends are left to the caller, and so is the
// meaning of a frame: to this package it is a 6-byte header, whose last three
// bytes are the length of what follows.
package noise
