// Package sv2 is the Stratum V2 wire format: the frame header, every message of
// the common, mining, job declaration and template distribution protocols,
// extension negotiation (0x0001), the worker identity TLV (0x0002), and the
// power extension of hashlease (docs/power-extension.md). It follows
// sv2-spec at 0f38d51 with the clarifications agreed since.
//
// Each message is a struct X with a function
//
//	DecodeX(p []byte) (X, rest []byte, err error)
//
// and a method AppendFrame(dst []byte) []byte that appends header and payload with the
// right channel bit. What DecodeX leaves in rest are TLVs. Decode does the same for any
// header.
//
// Byte fields, and rest, alias the payload: they are good until its memory is
// used again. Texts are strings, copied, and may hold any bytes: the protocol
// does not promise UTF-8. Lengths and counts are checked against what is there before
// memory is taken for them. When decoding fails, the fields in front of the one that the
// error names are set and the others are zero.
//
// Encoders trust their caller: a text is cut at 255 bytes, and a byte field or list that
// does not fit its length prefix is a broken invariant of ours, and panics. Nothing that a
// peer sends can lead there, since what decodes fits.
//
// Encryption, sessions and what messages mean are left to others; only syntax is checked here.
package sv2
