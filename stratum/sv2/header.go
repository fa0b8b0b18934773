package sv2

import "encoding/binary"

const (
	// HeaderSize is the size of a frame's header.
	HeaderSize = 6
	// ChannelBit in Header.Extension says that the payload starts with a channel id. The
	// specification calls it the least significant bit and bit 15; it is 0x8000.
	ChannelBit = 0x8000
	// MaxPayload is the longest payload that a header can announce.
	MaxPayload = 1<<24 - 1
)

// Header is the head of a frame, little-endian:
//
//	0  extension_type  2  bit 15 is the channel bit
//	2  msg_type        1
//	3  msg_length      3  of the payload, before encryption
type Header struct {
	Extension uint16 // with the channel bit
	Type      uint8
	Length    uint32
}

// ParseHeader reads a header. Every six bytes are one.
func ParseHeader(b [HeaderSize]byte) Header {
	return Header{
		Extension: binary.LittleEndian.Uint16(b[:]),
		Type:      b[2],
		Length:    uint32(b[3]) | uint32(b[4])<<8 | uint32(b[5])<<16,
	}
}

// Append appends the header's bytes to dst. A length above MaxPayload loses its top byte.
func (h Header) Append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, h.Extension)
	return append(dst, h.Type, byte(h.Length), byte(h.Length>>8), byte(h.Length>>16))
}

// ID is the extension without the channel bit; 0 is the core protocol.
func (h Header) ID() uint16 { return h.Extension &^ ChannelBit }

// Channel reports whether the channel bit is set. Decoding does not depend on it for known
// messages, because the bits of some changed in 2026.
func (h Header) Channel() bool { return h.Extension&ChannelBit != 0 }
