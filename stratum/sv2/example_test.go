package sv2_test

import (
	"errors"
	"fmt"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// A pool reads a share and refuses it.
func Example() {
	frame := sv2.SubmitSharesStandard{ChannelID: 2, Sequence: 10, JobID: 6}.AppendFrame(nil)

	h := sv2.ParseHeader([sv2.HeaderSize]byte(frame))
	if longest, known := sv2.MaxLength(h.Extension, h.Type); !known || int(h.Length) > longest {
		fmt.Println("not read at all")
		return
	}
	m, err := sv2.Decode(h, frame[sv2.HeaderSize:])
	if err != nil {
		fmt.Println(err)
		return
	}
	if share, ok := m.(sv2.SubmitSharesStandard); ok {
		answer := sv2.SubmitSharesError{ChannelID: share.ChannelID, Sequence: share.Sequence}
		answer.Code = "stale-share"
		fmt.Printf("%x\n", answer.AppendFrame(nil))
	}
	// Output: 00801d140000020000000a0000000b7374616c652d7368617265
}

// Errors name the message and the field.
func ExampleDecode() {
	_, err := sv2.Decode(sv2.Header{Type: sv2.TypeSetExtranoncePrefix}, []byte{4, 0, 0, 0, 33})
	fmt.Println(err)
	_, err = sv2.Decode(sv2.Header{Type: 0x7f}, nil)
	fmt.Println(errors.Is(err, sv2.ErrUnknown))
	// Output:
	// decoding SetExtranoncePrefix: extranonce_prefix: longer than its type allows
	// true
}
