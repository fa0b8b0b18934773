package conformance

import (
	"bytes"
	"errors"
	"io"
	"net"
	"time"

	"github.com/hashlease/hashlease/stratum/noise"
	"github.com/hashlease/hashlease/stratum/sv2"
)

// transportRules are section 4.1.
var transportRules = []Rule{
	{
		Number: 1, Mark: Must, Source: "04§4.5", Check: checkActSizes,
		Sentence: "reads exactly 64 bytes, replies exactly 234, and takes encrypted frames from there on",
	},
	{
		Number: 2, Mark: Must, Source: "04§4.5.1.1", Check: checkHandshake,
		Sentence: "mixes the empty payload of act 1 into the transcript",
		Tests:    []string{"stratum/noise TestSV2_002_HandshakeMatchesTranscript"},
	},
	{
		Number: 3, Mark: Must, Source: "04§4.4.2", Check: checkHandshake,
		Sentence: "computes both ECDHs over the initiator's encoding, then the responder's",
		Tests:    []string{"stratum/noise TestSV2_003_ECDHMatchesVectors"},
	},
	{
		Number: 4, Mark: Must, Source: "04§4.5.3", Check: checkSignature,
		Sentence: "has a certificate signed over version, times and x-only static key by the authority",
		Tests:    []string{"stratum/noise TestSV2_004_CertificateRefusesOtherVersionAndKey"},
	},
	{
		Number: 5, Mark: Must, Source: "04§4.5, §4.5.3",
		Sentence: "(client) aborts if a part of the handshake does not decrypt or a certificate is not valid",
		Reason:   "a duty of clients",
		Tests: []string{
			"stratum/noise TestSV2_005_ConnectRefusesEveryBitFlipOfAct2",
			"stratum/noise TestSV2_005_ConnectChecksCertificate",
		},
	},
	{
		Number: 6, Mark: Must, Source: "04§4.5.2", Check: checkSignature,
		Sentence: "has a certificate of version 0",
	},
	{
		Number: 7, Mark: Impl, Source: "04§4.5.2", Check: checkValidity,
		Sentence: "has a certificate valid since 10 minutes and for some time yet, also while it rotates",
	},
	{
		Number: 8, Mark: Must, Source: "04§4.5.2", Check: checkNonces,
		Sentence: "has a key and a nonce counter from 0 for each direction",
	},
	{
		Number: 9, Mark: Must, Source: "04§4.6", Check: checkSeparateSeals,
		Sentence: "opens header and payload as messages of their own, with empty associated data",
		Tests:    []string{"stratum/noise TestSV2_009_ConnMatchesTranscript"},
	},
	{
		Number: 10, Mark: Must, Source: "04§4.6",
		Sentence: "seals payloads of 65,519, 65,520 and 131,039 bytes into 65,535, 65,552 and 131,087",
		Reason:   "no message that a pool must take is so long",
		Tests:    []string{"stratum/noise TestSV2_010_SealedSizes"},
	},
	{
		Number: 11, Mark: Must, Source: "04§4.6", Check: checkEmptyPayload,
		Sentence: "takes a frame without payload as 22 bytes",
		Tests:    []string{"stratum/noise TestSV2_010_SealedSizes"},
	},
	{
		Number: 12, Mark: Must, Source: "04§4.5-4.6", Check: checkBrokenSeals,
		Sentence: "ends the session without a word if a seal is broken",
	},
	{
		Number: 13, Mark: Must, Source: "04", Check: checkCleartext,
		Sentence: "does not speak cleartext",
	},
	{
		Number: 14, Mark: Impl, Source: "04§4.5", Check: checkHandshakeDeadline, Waits: WaitHandshake,
		Sentence: "ends a handshake that does not get on, and meanwhile shakes hands with others",
	},
	{
		Number: 15, Mark: Impl, Source: "-", Check: checkV1,
		Sentence: "tells Stratum V1 from act 1 by more than the first byte, and does not shake hands with it",
	},
	{
		Number: 16, Mark: Must, Source: "04§4.7",
		Sentence: "(text) reads its authority key back, and refuses a wrong checksum, prefix or length",
		Reason:   "about a text, not a connection",
		Tests:    []string{"stratum/noise TestSV2_016_PublicKeyMatchesVectors"},
	},
	{
		Number: 17, Mark: Must, Source: "03§3", Check: checkStream,
		Sentence: "takes frames from an ordered stream, however it is cut into segments",
	},
}

// cutAct1 cuts act 1 into a byte, most of it, and a byte.
func cutAct1(b []byte) [][]byte {
	if len(b) != noise.Act1Size {
		return [][]byte{b}
	}
	return [][]byte{b[:1], b[1 : len(b)-1], b[len(b)-1:]}
}

func checkActSizes(t *T) {
	raw := &tap{Conn: t.DialTCP(), pieces: cutAct1}
	raw.pause = func(piece int) {
		if piece == 2 {
			t.silent(raw.Conn, "63 bytes of act 1")
		}
	}
	c := t.handshake(raw)
	if raw.read != noise.Act2Size {
		t.Failf("expected act 2 of %d bytes, got %d", noise.Act2Size, raw.read)
	}
	t.silent(raw.Conn, "act 2")
	go c.read() // ends with the connection
	c.Send(t.SetupRequest(0))
	c.Next("SetupConnection.Success")
}

// checkHandshake: a transcript that differs in one byte gives other keys, and nothing can be read.
func checkHandshake(t *T) { t.Setup(0) }

// checkSignature is for rules that a verified certificate shows.
func checkSignature(t *T) {
	if t.run.pool.Authority == nil {
		t.NA("the authority key was not given")
	}
	t.Dial()
}

func checkValidity(t *T) {
	if t.run.pool.Authority == nil {
		t.NA("the authority key was not given")
	}
	const skew = 10 * time.Second // that package noise allows
	at := func(offset time.Duration, pause func()) {
		raw := &tap{Conn: t.DialTCP(), pieces: cutAct1, pause: func(int) { pause() }}
		_ = raw.SetDeadline(time.Now().Add(t.Patience()))
		_, err := noise.Connect(raw, t.run.pool.Authority, time.Now().Add(offset))
		if err != nil {
			t.Failf("expected a handshake that is good for a clock off by %v, got %v", offset, err)
		}
	}
	at(-10*time.Minute-skew, func() {})
	at(time.Minute+skew, func() {})
	if t.Control().Has(VerbRotate) {
		at(0, func() { t.Control().Do(t, VerbRotate, nil) })
		at(-10*time.Minute-skew, func() {})
	}
}

func checkNonces(t *T) {
	c := t.Setup(0)
	for range 5 { // five frames one way, one the other: counters drift apart
		for range 4 {
			c.SendPlain(frameOf(0x7abc, 0x01, []byte("ignored")))
		}
		c.Fence()
	}
}

func checkSeparateSeals(t *T) {
	c := t.Dial()
	sealed := c.Seal(t.SetupRequest(0).AppendFrame(nil))
	c.SendSealed(sealed[:22])
	if _, err := c.next(moment); !errors.Is(err, errSilence) {
		t.Failf("expected nothing after a header alone, got a frame or %v", err)
	}
	c.SendSealed(sealed[22:])
	c.Next("SetupConnection.Success")
}

func checkEmptyPayload(t *T) {
	c := t.Setup(0)
	empty := frameOf(0x7abc, 0x01, nil)
	if n := len(c.Seal(empty)); n != 22 {
		t.Failf("expected our own frame to have 22 bytes, it has %d", n)
	}
	c.SendSealed(c.sealed)
	c.SendPlain(append(bytes.Clone(empty), empty...))
	c.Fence()
}

func checkBrokenSeals(t *T) {
	for _, broken := range []struct {
		what string
		at   int // byte of the sealed frame; below 0 from its end
	}{
		{"a changed header", 0},
		{"a changed seal of the header", 21},
		{"a changed payload", 22},
		{"a changed seal of the payload", -1},
	} {
		c := t.Setup(0)
		sealed := c.Seal(c.StandardRequest().AppendFrame(nil))
		sealed[(broken.at+len(sealed))%len(sealed)] ^= 0x10
		c.SendSealed(sealed)
		c.Ended(broken.what)
		c.Silent(broken.what)
	}
	c := t.Setup(0)
	sealed := bytes.Clone(c.Seal(frameOf(0x7abc, 0x01, []byte("once"))))
	c.SendSealed(append(sealed, sealed...))
	c.Ended("a frame sent twice")
	c.Silent("a frame sent twice")
}

func checkCleartext(t *T) {
	raw := t.DialTCP()
	m := t.SetupRequest(0)
	m.Vendor = string(bytes.Repeat([]byte("v"), 100)) // longer than act 1
	_, _ = raw.Write(m.AppendFrame(nil))
	got := make([]byte, sv2.HeaderSize)
	_ = raw.SetReadDeadline(time.Now().Add(t.Patience()))
	if _, err := io.ReadFull(raw, got); err != nil {
		return // it waits, or has hung up
	}
	h := sv2.ParseHeader([6]byte(got))
	if h.Extension == 0 && h.Length < 300 &&
		(h.Type == sv2.TypeSetupConnectionSuccess || h.Type == sv2.TypeSetupConnectionError) {
		t.Failf("expected no answer in cleartext, got %s", sv2.Name(0, h.Type))
	}
}

func checkHandshakeDeadline(t *T) {
	var slow []net.Conn
	for i := range 20 {
		raw := t.DialTCP()
		if i > 0 { // the first says nothing at all
			_, _ = raw.Write(bytes.Repeat([]byte{0x5a}, 3*i))
		}
		slow = append(slow, raw)
	}
	t.Setup(0) // while those dawdle
	for _, raw := range slow {
		if got := t.ended(raw, "an unfinished handshake", t.Timeout()+t.Patience()); len(got) > 0 {
			t.Failf("expected no byte before act 1 is complete, got %d", len(got))
		}
	}
}

// errOtherByte says that act 1 does not begin as wanted.
var errOtherByte = errors.New("act 1 begins with another byte")

func checkV1(t *T) {
	raw := t.DialTCP()
	_, _ = raw.Write([]byte(`{"id": 1, "method": "mining.subscribe", "params": ["sv2conform/1"]}` + "\n"))
	_ = raw.SetReadDeadline(time.Now().Add(t.Patience()))
	var answer [noise.Act2Size]byte
	if n, _ := io.ReadFull(raw, answer[:]); n == len(answer) && answer[0] != '{' {
		t.Failf("expected an answer in Stratum V1 or the end of the connection, got act 2")
	}
	// An honest act 1 that begins like JSON: keys are tried until one does.
	for range 5000 {
		honest := &startsWith{t: t, first: '{'}
		c, err := noise.Connect(honest, nil, time.Time{})
		if err == nil {
			_ = c.Close()
			return
		}
		if !errors.Is(err, errOtherByte) {
			t.Failf("expected a handshake whose act 1 begins with '{' to succeed, got %v", err)
		}
	}
	t.Failf("no key began with '{': the check itself is at fault")
}

// startsWith is a connection that is made when something is written that begins with a byte: looking for
// a key may take longer than a pool waits for one.
type startsWith struct {
	net.Conn

	t     *T
	first byte
}

func (c *startsWith) Write(b []byte) (int, error) {
	if b[0] != c.first {
		return 0, errOtherByte
	}
	c.Conn = c.t.DialTCP()
	_ = c.SetDeadline(time.Now().Add(c.t.Patience()))
	return c.Conn.Write(b)
}

func checkStream(t *T) {
	c := t.Setup(0)
	for _, b := range bytes.Clone(c.Seal(c.StandardRequest().AppendFrame(nil))) {
		c.SendSealed([]byte{b})
	}
	c.opened(c.requests)
	frames := c.ExtendedRequest().AppendFrame(nil)
	first := c.requests
	frames = c.StandardRequest().AppendFrame(frames)
	c.SendPlain(frames)
	c.opened(first)
	c.opened(c.requests)
}
