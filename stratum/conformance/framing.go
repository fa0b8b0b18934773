package conformance

import (
	"fmt"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// framingRules are section 4.2.
var framingRules = []Rule{
	{
		Number: 22, Mark: Must, Source: "08",
		Sentence: "sets the channel bit exactly on the messages that have it",
		Check:    tour,
		Frame: func(f *Frame) error {
			if f.Header.ID() != 0 || f.Msg == nil {
				return nil
			}
			own := sv2.ParseHeader([6]byte(f.Msg.AppendFrame(nil)[:6]))
			if own.Channel() != f.Header.Channel() {
				return fmt.Errorf("expected the channel bit %v, got extension_type 0x%04x",
					own.Channel(), f.Header.Extension)
			}
			return nil
		},
	},
	{
		Number: 27, Mark: Must, Source: "03§3.4.1",
		Sentence: "discards a frame of an unknown extension without channel bit and goes on",
		Check: func(t *T) {
			c := t.Setup(0)
			for _, typ := range []uint8{0x00, 0x10, 0xff} {
				c.SendPlain(frameOf(0x7abc, typ, []byte("of no known extension")))
			}
			c.Fence()
			c.Silent("frames of an unknown extension")
		},
	},
}
