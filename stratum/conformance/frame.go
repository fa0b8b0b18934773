package conformance

import (
	"fmt"
	"time"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// Frame is one message of the pool.
type Frame struct {
	Header  sv2.Header
	Payload []byte
	Msg     sv2.Message // nil if it is of no known type or could not be decoded
	Err     error       // why it could not
	Conn    *Conn
	Index   int // place on its connection, from 0
	At      time.Time

	faults map[int]error // by the number of the rule that it breaks
}

func newFrame(c *Conn, raw [6]byte, payload []byte, index int) *Frame {
	f := &Frame{Header: sv2.ParseHeader(raw), Payload: payload, Conn: c, Index: index, At: time.Now()}
	f.Msg, f.Err = sv2.Decode(f.Header, payload)
	return f
}

// String names the message and, if it was understood, its fields.
func (f *Frame) String() string {
	name := sv2.Name(f.Header.Extension, f.Header.Type)
	if name == "" {
		return fmt.Sprintf("extension 0x%04x type 0x%02x, %d bytes", f.Header.Extension, f.Header.Type,
			f.Header.Length)
	}
	switch m := f.Msg.(type) {
	case nil:
		return fmt.Sprintf("%s (%v)", name, f.Err)
	case sv2.SetupConnectionError:
		return fmt.Sprintf("%s flags 0x%x %q", name, m.Flags, m.Code)
	case sv2.OpenMiningChannelError:
		return fmt.Sprintf("%s request %d %q", name, m.RequestID, m.Code)
	case sv2.UpdateChannelError:
		return fmt.Sprintf("%s channel %d %q", name, m.ChannelID, m.Code)
	case sv2.SubmitSharesError:
		return fmt.Sprintf("%s channel %d sequence %d %q", name, m.ChannelID, m.Sequence, m.Code)
	case sv2.CloseChannel:
		return fmt.Sprintf("%s channel %d %q", name, m.ChannelID, m.Reason)
	}
	return name
}

// nameOf is the specification's name of a message type.
func nameOf(m sv2.Message) string {
	h := sv2.ParseHeader([6]byte(m.AppendFrame(nil)[:6]))
	return sv2.Name(h.Extension, h.Type)
}
