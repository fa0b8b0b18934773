package sv2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// ExtWorkerIdentity is extension 0x0002: each SubmitSharesExtended of a proxy names its worker.
const ExtWorkerIdentity = 0x0002

const (
	// FieldUserIdentity is the one field of ExtWorkerIdentity.
	FieldUserIdentity = 0x01
	// MaxUserIdentity is the longest name it can carry.
	MaxUserIdentity = 32

	tlvHeader = 5
)

// ErrTLV means that the bytes after a message are not a TLV. Such bytes are ignored, not punished.
var ErrTLV = errors.New("not a TLV")

// TLV is a field that an extension appends to a message of another (03 §3.4.3):
//
//	0  extension_type  2
//	2  field_type      1
//	3  length          2
//	5  value           length
//
// The general rule makes the numbers little-endian, and so are ours. The specification's
// example of this very structure is big-endian, so that order is understood too.
type TLV struct {
	Extension uint16
	Field     uint8
	Value     []byte // aliases the payload
}

// AppendTLV appends t to the one frame in dst[start:], and corrects the frame's length. The
// frame keeps its own extension.
func AppendTLV(dst []byte, start int, t TLV) []byte {
	mustFit("TLV", len(t.Value), 1<<16-1)
	dst = binary.LittleEndian.AppendUint16(dst, t.Extension)
	dst = append(dst, t.Field)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(t.Value)))
	dst = append(dst, t.Value...)
	setLength(dst[start:])
	return dst
}

// NextTLV takes the first TLV off p. It is read as big-endian only if that makes its
// extension one of the negotiated ones and little-endian does not.
func NextTLV(p []byte, negotiated ...uint16) (t TLV, rest []byte, err error) {
	if len(p) < tlvHeader {
		return TLV{}, nil, fmt.Errorf("%w: %d bytes where its header has %d", ErrTLV, len(p), tlvHeader)
	}
	t.Extension, t.Field = binary.LittleEndian.Uint16(p), p[2]
	n := int(binary.LittleEndian.Uint16(p[3:]))
	swapped := binary.BigEndian.Uint16(p)
	if !slices.Contains(negotiated, t.Extension) && slices.Contains(negotiated, swapped) {
		t.Extension = swapped
		n = int(binary.BigEndian.Uint16(p[3:]))
	}
	if rest = p[tlvHeader:]; n > len(rest) {
		return TLV{}, nil, fmt.Errorf("%w: a value of %d bytes where %d are left", ErrTLV, n, len(rest))
	}
	t.Value = rest[:n:n]
	return t, rest[n:], nil
}

// UserIdentity looks for the worker's name among the TLVs that follow a SubmitSharesExtended,
// once ExtWorkerIdentity was negotiated. The name is nil if there is none, and an error if it is
// too long, in which case the share must be refused. Anything malformed reads as absent.
func UserIdentity(rest []byte) (name []byte, err error) {
	for len(rest) > 0 {
		var t TLV
		if t, rest, err = NextTLV(rest, ExtWorkerIdentity); err != nil {
			return nil, nil //nolint:nilerr // bytes that are no TLV are ignored
		}
		if t.Extension != ExtWorkerIdentity || t.Field != FieldUserIdentity {
			continue
		}
		if len(t.Value) > MaxUserIdentity {
			return nil, fmt.Errorf("decoding user_identity: %d bytes: %w", len(t.Value), ErrTooLong)
		}
		return t.Value, nil
	}
	return nil, nil
}
