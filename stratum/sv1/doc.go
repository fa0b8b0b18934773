// Package sv1 is the Stratum V1 wire: one JSON object a line, parsed and built by hand, because a share
// must cost no allocation. One file per method.
//
// It takes what the firmware in the field sends, which is often not what any document says: parameters
// that are missing, of another type or of another length are read as the pools that these
// machines grew up with read them. What cannot be read is an error that says what is accepted; a line
// never panics and never costs memory in proportion to what it claims.
//
// What a message means, who may send it and what is answered belong to package stratum.
package sv1
