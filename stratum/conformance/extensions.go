package conformance

import (
	"slices"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// extensionRules are section 4.12.
var extensionRules = []Rule{
	{
		Number: 230, Mark: Must, Source: "03§3.4.2", Check: checkNegotiates,
		Sentence: "answers RequestExtensions if it has any extension",
	},
	{
		Number: 231, Mark: Must, Source: "X1§4.2", Check: checkNegotiationFirst,
		Sentence: "(client) asks for extensions first and waits; (pool) answers before what comes after, " +
			"and grants nothing once a channel is open",
		Tests: []string{
			"stratum/stratumtest TestSV2_231_NegotiatesBeforeItOpens",
			"stratum TestSV2_231_RefusesALateRequest",
		},
	},
	{
		Number: 232, Mark: Must, Source: "X1§4.1", Check: checkIntersection,
		Sentence: "grants what was asked for and it supports, and answers Error if that is nothing",
		Tests: []string{
			"stratum TestSV2_232_GrantsTheIntersection", "stratum TestSV2_232_RefusesWhenNothingIsServed",
		},
	},
	{
		Number: 233, Mark: Must, Source: "X1§4.6", Check: checkRequired,
		Sentence: "lists what it requires in an Error, bears a retry, and else ends the connection",
		Tests: []string{
			"stratum TestSV2_233_ListsWhatIsRequired", "stratum TestSV2_233_DisconnectsWithoutWhatIsRequired",
		},
	},
	{
		Number: 234, Mark: Must, Source: "X1§2", Check: checkRequestEchoed,
		Sentence: "echoes the request_id of RequestExtensions",
	},
	{
		Number: 235, Mark: Impl, Source: "X1§4", Check: checkAskedTwice,
		Sentence: "grants each extension once, refuses a second request, ignores what was not granted",
		Tests: []string{
			"stratum TestSV2_235_RefusesASecondRequest", "stratum TestSV2_235_IgnoresTrafficBeforeSuccess",
		},
	},
	{
		Number: 236, Mark: Must, Source: "X1§4.3",
		Sentence: "(client) goes on without extensions if the server does not know them",
		Reason:   "a duty of clients",
		Tests:    []string{"stratum/stratumtest TestSV2_236_MinesWithoutTheExtension"},
	},
	{
		Number: 237, Mark: Must, Source: "X1§1.1", Check: tour, Frame: frameIsKnown,
		Sentence: "uses nothing of an extension that was not negotiated",
	},
	{
		Number: 238, Mark: Must, Source: "03§3.4.3", Check: checkTLVOrder,
		Sentence: "finds its TLVs among others, in any order",
	},
	{
		Number: 239, Mark: Must, Source: "03§3.4.1", Check: checkTLVFrame,
		Sentence: "takes a core message with TLVs under the core's extension_type",
		Tests:    []string{"stratum/sv2 TestSV2_239_AppendTLVKeepsTheExtension"},
	},
	{
		Number: 240, Mark: Must, Source: "03§3.6.4",
		Sentence: "(proxy, client) resets a channel's extensions with ChannelEndpointChanged",
		Reason:   "only a proxy moves channels",
		Tests:    []string{"stratum/stratumtest TestSV2_240_SaysHelloAgainToANewEndpoint"},
	},
	{
		Number: 241, Mark: Impl, Source: "X1§4.2", Check: checkNegotiationTooEarly,
		Sentence: "ends a connection that asks for extensions before its setup",
		Tests:    []string{"stratum TestSV2_241_EndsANegotiationBeforeTheSetup"},
	},
}

// stranger is an extension that nobody has: from the end of the range for experiments.
const stranger = 0x7ffe

// known are extensions to look for.
var known = []uint16{sv2.ExtWorkerIdentity, sv2.ExtPower}

// ask sends RequestExtensions and is its answer. A pool without extensions does not apply.
func (c *Conn) ask(ids ...uint16) (granted []uint16, refused *sv2.RequestExtensionsError) {
	c.extended.Store(true) // what comes from here on may be of an extension
	id := uint16(0x4a00 + c.nextRequest())
	c.Send(sv2.RequestExtensions{RequestID: id, Requested: ids})
	c.Fence()
	var answers int
	for _, m := range Taken[sv2.RequestExtensionsSuccess](c) {
		answers++
		granted = append([]uint16{}, m.Supported...)
		c.sameRequest(id, m.RequestID)
	}
	for _, m := range Taken[sv2.RequestExtensionsError](c) {
		answers++
		refused = &m
		c.sameRequest(id, m.RequestID)
	}
	switch answers {
	case 0:
		c.t.NA("the pool does not answer RequestExtensions: it has no extensions")
	case 1:
	default:
		c.t.Failf("expected one answer to RequestExtensions, got %d", answers)
	}
	return granted, refused
}

func (c *Conn) sameRequest(want, got uint16) {
	if want != got {
		c.t.Failf("expected the answer to echo request_id 0x%04x, got 0x%04x", want, got)
	}
}

// negotiate asks for one extension; without it the rule does not apply.
func (c *Conn) negotiate(id uint16) {
	if granted, _ := c.ask(id); !slices.Contains(granted, id) {
		c.t.NA("the pool does not support extension 0x%04x", id)
	}
}

// supported is one extension that the pool grants; without any the rule does not apply.
func (t *T) supported() uint16 {
	for _, id := range known {
		if granted, _ := t.Setup(0).ask(id); slices.Contains(granted, id) {
			return id
		}
	}
	t.NA("the pool supports no extension that is known here")
	return 0
}

func checkNegotiates(t *T) { t.Setup(0).ask(known...) }

func checkNegotiationFirst(t *T) {
	t.Setup(0).ask(stranger)
	c := t.Setup(0)
	c.extended.Store(true)
	c.Send(sv2.RequestExtensions{RequestID: 9, Requested: known}, c.StandardRequest())
	f := c.Next("an answer to RequestExtensions")
	switch f.Msg.(type) {
	case sv2.RequestExtensionsSuccess, sv2.RequestExtensionsError:
	default:
		t.Failf("expected the answer to RequestExtensions before any other, got %v", f)
	}
	checkNegotiationLate(t)
}

// checkNegotiationLate asks after a channel was opened. An Error, silence and the end are in order.
func checkNegotiationLate(t *T) {
	c := t.Setup(0)
	c.OpenStandard()
	c.extended.Store(true)
	c.Send(sv2.RequestExtensions{RequestID: 10, Requested: known})
	if c.fence(t.Patience()) != nil {
		return // the end, without a grant
	}
	for _, m := range Taken[sv2.RequestExtensionsSuccess](c) {
		t.Failf("expected no RequestExtensions.Success after a channel was opened, got %x", m.Supported)
	}
}

func checkIntersection(t *T) {
	granted, refused := t.Setup(0).ask(stranger)
	if refused == nil {
		t.Failf("expected RequestExtensions.Error for an unknown extension, got Success with %x", granted)
	}
	if !slices.Equal(refused.Unsupported, []uint16{stranger}) {
		t.Failf("expected RequestExtensions.Error to list 0x%04x as unsupported, got %x",
			stranger, refused.Unsupported)
	}
	if _, refused := t.Setup(0).ask(); refused == nil {
		t.Failf("expected RequestExtensions.Error for an empty request, got Success")
	}
	id := t.supported()
	granted, refused = t.Setup(0).ask(stranger, id, stranger-1)
	if refused != nil || !slices.Equal(granted, []uint16{id}) {
		t.Failf("expected RequestExtensions.Success with 0x%04x alone, got Success %x, Error %+v",
			id, granted, refused)
	}
}

func checkRequired(t *T) {
	c := t.Setup(0)
	_, refused := c.ask(stranger)
	if refused == nil || len(refused.Required) == 0 {
		t.NA("the pool requires no extension")
	}
	if granted, _ := c.ask(refused.Required...); len(granted) < len(refused.Required) {
		t.Failf("expected a retry with the required extensions %x to be granted, got %x",
			refused.Required, granted)
	}
	other := t.Setup(0)
	other.ask(stranger)
	other.EndedWithin("RequestExtensions without what is required", 3*t.Patience())
}

// checkRequestEchoed: ask looks at every answer.
func checkRequestEchoed(t *T) {
	t.Setup(0).ask(stranger)
	t.Setup(0).ask(known...)
}

func checkAskedTwice(t *T) {
	id := t.supported()
	early := t.Setup(0)
	for _, extension := range known {
		early.SendPlain(frameOf(extension, 0xb0, []byte("before it was granted")))
		early.SendPlain(frameOf(extension|sv2.ChannelBit, 0xb0, []byte("before it was granted")))
	}
	early.Fence()
	early.Silent("frames of an extension that was not negotiated")

	c := t.Setup(0)
	granted, _ := c.ask(id, id, stranger, id)
	if !slices.Equal(granted, []uint16{id}) {
		t.Failf("expected RequestExtensions.Success with 0x%04x once, got %x", id, granted)
	}
	c.Send(sv2.RequestExtensions{RequestID: 77, Requested: []uint16{id}})
	if c.fence(t.Patience()) != nil {
		return // ended: refused as well
	}
	if len(Taken[sv2.RequestExtensionsSuccess](c)) > 0 {
		t.Failf("expected a second RequestExtensions to be refused, got Success")
	}
}

// named is a share of a new extended channel on a connection that negotiated worker names.
func named(t *T) (*Conn, *Channel, *Share, sv2.TLV) {
	c := t.Setup(0)
	c.negotiate(sv2.ExtWorkerIdentity)
	ch := c.OpenExtended()
	s := ch.Mine(ch.Work())
	return c, ch, s, sv2.TLV{
		Extension: sv2.ExtWorkerIdentity, Field: sv2.FieldUserIdentity, Value: []byte("rig"),
	}
}

func checkTLVOrder(t *T) {
	c, ch, s, name := named(t)
	other := sv2.TLV{Extension: 0x7abc, Field: 9, Value: []byte("of nobody")}
	long := name
	long.Value = []byte("a name of more than thirty-two bytes")
	for _, order := range [][]sv2.TLV{{name, other}, {other, name}, {other, name, other}} {
		frame := s.Message().AppendFrame(nil)
		for _, tlv := range order {
			frame = sv2.AppendTLV(frame, 0, tlv)
		}
		c.SendPlain(frame)
		if code := ch.Refusal(s.Sequence); code != "" {
			t.Failf("expected a share with its TLVs in any order to be accepted, got %q", code)
		}
		s = ch.Mine(ch.Work())
	}
	frame := sv2.AppendTLV(sv2.AppendTLV(s.Message().AppendFrame(nil), 0, other), 0, long)
	c.SendPlain(frame)
	if ch.Refusal(s.Sequence) == "" {
		t.Failf("expected a user_identity of %d bytes behind another TLV to be found and refused",
			len(long.Value))
	}
}

func checkTLVFrame(t *T) {
	c, ch, s, name := named(t)
	frame := sv2.AppendTLV(s.Message().AppendFrame(nil), 0, name)
	if h := sv2.ParseHeader([6]byte(frame[:6])); h.ID() != 0 {
		t.Failf("expected our own frame to keep extension 0, it has 0x%04x", h.Extension)
	}
	c.SendPlain(frame)
	if code := ch.Refusal(s.Sequence); code != "" {
		t.Failf("expected a share with a TLV to be accepted, got %q", code)
	}
}

func checkNegotiationTooEarly(t *T) {
	c := t.Dial()
	c.Send(sv2.RequestExtensions{RequestID: 1, Requested: known})
	c.Ended("RequestExtensions before SetupConnection")
	c.Silent("RequestExtensions before SetupConnection")
}
