package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// framingRules are section 4.2.
var framingRules = []Rule{
	{
		Number: 20, Mark: Must, Source: "03§3.1-3.2", Check: tour, Frame: frameDecodes,
		Sentence: "sends every message in its layout, little-endian, nothing missing and nothing over",
		Tests:    []string{"stratum/sv2 TestSV2_020_MessagesMatchVectors"},
	},
	{
		Number: 21, Mark: Must, Source: "03§3.2, §3.4.1", Check: tour, Frame: frameIsKnown,
		Sentence: "sends core messages with extension_type 0x0000 or 0x8000",
	},
	{
		Number: 22, Mark: Must, Source: "08", Check: checkEitherChannelBit, Frame: frameChannelBit,
		Sentence: "sets the channel bit exactly on the messages that have it, and takes either",
	},
	{
		Number: 23, Mark: Must, Source: "03§3.2.1",
		Sentence: "(job declaration, template distribution) never sets the channel bit",
		Reason:   "about other protocols than mining",
		Tests:    []string{"stratum/sv2 TestSV2_023_OtherProtocolsHaveNoChannelBit"},
	},
	{
		Number: 24, Mark: Must, Source: "03§3.1",
		Sentence: "(client) looks at bit 0 of a BOOL only",
		Reason:   "no message to a pool has a BOOL",
		Tests:    []string{"stratum/sv2 TestSV2_024_DecodeMasksBool"},
	},
	{
		Number: 25, Mark: Impl, Source: "X2§1.3", Check: checkSurplus,
		Sentence: "ignores bytes after a message that are no TLV, or of nothing negotiated",
	},
	{
		Number: 26, Mark: Must, Source: "03§3.4.3", Check: checkLongTLV,
		Sentence: "refuses a message with a TLV above its extension's maximum",
		Tests:    []string{"stratum TestSV2_026_RefusesAShareWithALongName"},
	},
	{
		Number: 27, Mark: Must, Source: "03§3.4.1", Check: checkUnknownExtension,
		Sentence: "discards a frame of an unknown extension without channel bit and goes on",
	},
	{
		Number: 28, Mark: Must, Source: "03§3.4.1", Check: checkUnknownForChannel,
		Sentence: "(proxy) forwards unknown extensions with channel bit; (pool) bears them",
	},
	{
		Number: 29, Mark: Impl, Source: "03§3.2", Check: checkMalformed,
		Sentence: "ignores an unknown core message, and ends the connection for one cut short",
	},
	{
		Number: 30, Mark: Impl, Source: "03§3.2", Check: checkLengthBound,
		Sentence: "refuses a length no message has by its header, and takes the longest that one has",
		Tests:    []string{"stratum/sv2 TestSV2_030_TakesNoMemoryForFalseCounts"},
	},
	{
		Number: 31, Mark: Must, Source: "03§3.5, 05§5.3.9", Check: tour, Frame: frameCodeIsText,
		Sentence: "sends error and reason codes without control characters",
	},
	{
		Number: 32, Mark: Must, Source: "03§3.5", Check: checkStrangeReason,
		Sentence: "acts by the protocol's state, whatever a reason code says",
	},
	{
		Number: 33, Mark: Should, Source: "03§3.5",
		Sentence: "(documentation) publishes the meaning of its error codes",
		Reason:   "a matter of paper: docs/stratum.md has ours",
		Tests:    []string{"stratum TestSV2_033_PublishesItsCodes"},
	},
	{
		Number: 34, Mark: Impl, Source: "03§3.1", Check: checkOddStrings,
		Sentence: "bears names that are not UTF-8",
	},
}

func frameDecodes(f *Frame) error {
	switch {
	case errors.Is(f.Err, sv2.ErrUnknown):
		return nil // of another rule
	case f.Err != nil:
		return f.Err
	}
	if own := f.Msg.AppendFrame(nil); !bytes.Equal(own[sv2.HeaderSize:], f.Payload) {
		return fmt.Errorf("expected the payload %x, got %x", own[sv2.HeaderSize:], f.Payload)
	}
	return nil
}

func frameIsKnown(f *Frame) error {
	if f.Header.ID() == 0 && errors.Is(f.Err, sv2.ErrUnknown) {
		return fmt.Errorf("expected a message of the core protocol, got type 0x%02x", f.Header.Type)
	}
	if f.Header.ID() != 0 && f.Header.ID() != sv2.ExtNegotiation && !f.Conn.extended.Load() {
		return fmt.Errorf("expected extension_type 0x0000 or 0x8000 as nothing was negotiated, got 0x%04x",
			f.Header.Extension)
	}
	return nil
}

func frameChannelBit(f *Frame) error {
	if f.Header.ID() != 0 || f.Msg == nil {
		return nil
	}
	if own := sv2.ParseHeader([6]byte(f.Msg.AppendFrame(nil)[:6])); own.Channel() != f.Header.Channel() {
		return fmt.Errorf("expected the channel bit %v, got extension_type 0x%04x",
			own.Channel(), f.Header.Extension)
	}
	return nil
}

func frameCodeIsText(f *Frame) error {
	var code string
	switch m := f.Msg.(type) {
	case sv2.SetupConnectionError:
		code = m.Code
	case sv2.OpenMiningChannelError:
		code = m.Code
	case sv2.UpdateChannelError:
		code = m.Code
	case sv2.SubmitSharesError:
		code = m.Code
	case sv2.SetCustomMiningJobError:
		code = m.Code
	case sv2.CloseChannel:
		code = m.Reason
	}
	for i := range len(code) {
		if code[i] < ' ' || code[i] > '~' {
			return fmt.Errorf("expected printable ASCII, got %q", code)
		}
	}
	return nil
}

// flip changes the channel bit of a frame.
func flip(frame []byte) []byte {
	frame[1] ^= 0x80
	return frame
}

func checkEitherChannelBit(t *T) {
	tour(t)
	c := t.Dial()
	c.SendPlain(flip(t.SetupRequest(0).AppendFrame(nil)))
	c.Next("SetupConnection.Success")
	c.SendPlain(flip(c.StandardRequest().AppendFrame(nil)))
	ch := c.opened(c.requests)
	s := ch.Mine(ch.Work())
	c.SendPlain(flip(s.Message().AppendFrame(nil)))
	if code := ch.Refusal(s.Sequence); code != "" {
		t.Failf("expected a share without channel bit to be accepted, got %q", code)
	}
}

// surplus are bytes that may follow a message: no TLV, a TLV of nobody, a TLV whose length lies.
var surplus = [][]byte{
	{0x00},
	{0xbc, 0x7a, 0x01, 0x02, 0x00, 0xab, 0xcd},
	{0xbc, 0x7a, 0x01, 0xff, 0xff, 0xab},
	{0x02, 0x00, 0x01, 0x21, 0x00, 'x'},
}

// with is a message followed by bytes that its length counts.
func with(m sv2.Message, tail []byte) []byte {
	b := append(m.AppendFrame(nil), tail...)
	h := sv2.ParseHeader([6]byte(b[:6]))
	return frameOf(h.Extension, h.Type, b[6:])
}

func checkSurplus(t *T) {
	for _, tail := range surplus {
		c := t.Dial()
		c.SendPlain(with(t.SetupRequest(0), tail))
		f := c.Next("SetupConnection.Success")
		if _, ok := f.Msg.(sv2.SetupConnectionSuccess); !ok {
			t.Failf("expected SetupConnection.Success with %x after the message, got %v", tail, f)
		}
		c.SendPlain(with(c.ExtendedRequest(), tail))
		ch := c.opened(c.requests)
		s := ch.Mine(ch.Work())
		c.SendPlain(with(s.Message(), tail))
		if code := ch.Refusal(s.Sequence); code != "" {
			t.Failf("expected a share followed by %x to be accepted, got %q", tail, code)
		}
	}
}

func checkLongTLV(t *T) {
	c := t.Setup(0)
	c.negotiate(sv2.ExtWorkerIdentity)
	ch := c.OpenExtended()
	for _, n := range []int{sv2.MaxUserIdentity, sv2.MaxUserIdentity + 1} {
		s := ch.Mine(ch.Work())
		c.SendPlain(sv2.AppendTLV(s.Message().AppendFrame(nil), 0, sv2.TLV{
			Extension: sv2.ExtWorkerIdentity, Field: sv2.FieldUserIdentity,
			Value: bytes.Repeat([]byte("w"), n),
		}))
		switch code := ch.Refusal(s.Sequence); {
		case n <= sv2.MaxUserIdentity && code != "":
			t.Failf("expected a share with a user_identity of %d bytes to be accepted, got %q", n, code)
		case n > sv2.MaxUserIdentity && code == "":
			t.Failf("expected a share with a user_identity of %d bytes to be refused, it was not", n)
		}
	}
}

func checkUnknownExtension(t *T) {
	c := t.Setup(0)
	for _, typ := range []uint8{0x00, 0x10, 0xff} {
		c.SendPlain(frameOf(0x7abc, typ, []byte("of no known extension")))
	}
	c.Fence()
	c.Silent("frames of an unknown extension")
}

func checkUnknownForChannel(t *T) {
	c := t.Setup(0)
	ch := c.OpenStandard()
	ch.Work()
	payload := append([]byte{byte(ch.ID), byte(ch.ID >> 8), byte(ch.ID >> 16), byte(ch.ID >> 24)}, "more"...)
	for _, typ := range []uint8{0x00, 0x18, 0xff} { // 0x18 would close the channel, were it a core message
		c.SendPlain(frameOf(0x7abc|sv2.ChannelBit, typ, payload))
	}
	c.Fence()
	ch.Mine(ch.Work()).Accepted("a share after frames of an unknown extension")
}

func checkMalformed(t *T) {
	c := t.Setup(0)
	for _, typ := range []uint8{0x0f, 0x1e, 0x7f, 0xff} {
		c.SendPlain(frameOf(0, typ, []byte{1, 2, 3}))
		c.SendPlain(frameOf(sv2.ChannelBit, typ, []byte{1, 2, 3, 4, 5}))
	}
	c.Fence()
	c.Silent("unknown core messages")
	whole := c.StandardRequest().AppendFrame(nil)
	share := sv2.SubmitSharesStandard{ChannelID: 1}.AppendFrame(nil)
	for _, frame := range [][]byte{whole[:len(whole)-1], whole[:8], share[:len(share)-1]} {
		h := sv2.ParseHeader([6]byte(frame[:6]))
		c := t.Setup(0)
		c.SendPlain(frameOf(h.Extension, h.Type, frame[6:]))
		c.Ended(fmt.Sprintf("%s cut to %d bytes", sv2.Name(h.Extension, h.Type), len(frame)-6))
	}
}

func checkLengthBound(t *T) {
	long := t.SetupRequest(0)
	text := strings.Repeat("x", 255)
	long.Vendor, long.HardwareVersion, long.Firmware, long.DeviceID = text, text, text, text
	c := t.Dial()
	c.Send(long)
	c.Next("SetupConnection.Success for a SetupConnection with fields of 255 bytes")
	for _, typ := range []uint8{
		sv2.TypeSubmitSharesStandard, sv2.TypeOpenStandardMiningChannel, sv2.TypeUpdateChannel,
		sv2.TypeCloseChannel,
	} {
		for _, length := range []int{1 << 16, sv2.MaxPayload} {
			c := t.Setup(0)
			sealed := c.Seal(frameOf(sv2.ChannelBit, typ, make([]byte, length)))
			c.SendSealed(sealed[:22]) // the header alone
			c.Ended(fmt.Sprintf("a header that announces %d bytes of %s", length, sv2.Name(0, typ)))
		}
	}
}

func checkStrangeReason(t *T) {
	c := t.Setup(0)
	for _, reason := range []string{"", "no-such-reason", strings.Repeat("\x01", 255)} {
		ch := c.OpenStandard()
		s := ch.Mine(ch.Work())
		c.Send(sv2.CloseChannel{ChannelID: ch.ID, Reason: reason})
		s.Refused(fmt.Sprintf("a share on a channel closed because of %q", reason))
	}
}

func checkOddStrings(t *T) {
	odd := "\xff\xfe\x00\x80\n" + strings.Repeat("\xc3", 100)
	c := t.Dial()
	m := t.SetupRequest(0)
	m.Vendor, m.HardwareVersion, m.Firmware, m.DeviceID = odd, odd, odd, odd
	c.Send(m)
	c.Next("SetupConnection.Success for names that are not UTF-8")
	open := c.StandardRequest()
	open.UserIdentity = odd
	c.Send(open)
	c.AwaitFrame("an answer to a user_identity that is not UTF-8", t.Patience(), func(f *Frame) bool {
		switch f.Msg.(type) {
		case sv2.OpenMiningChannelError, sv2.OpenStandardMiningChannelSuccess:
			return true
		}
		return false
	})
	c.OpenStandard()
}
