package sv2_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// all has one of every message. The bit says whether its frames have the channel bit.
var all = []struct {
	m       sv2.Message
	channel bool
}{
	{sv2.SetupConnection{}, false},
	{sv2.SetupConnectionSuccess{}, false},
	{sv2.SetupConnectionError{}, false},
	{sv2.ChannelEndpointChanged{}, true},
	{sv2.Reconnect{}, false},

	{sv2.OpenStandardMiningChannel{}, false},
	{sv2.OpenStandardMiningChannelSuccess{}, false},
	{sv2.OpenMiningChannelError{}, false},
	{sv2.OpenExtendedMiningChannel{}, false},
	{sv2.OpenExtendedMiningChannelSuccess{}, false},
	{sv2.NewMiningJob{}, true},
	{sv2.UpdateChannel{}, true},
	{sv2.UpdateChannelError{}, true},
	{sv2.CloseChannel{}, true},
	{sv2.SetExtranoncePrefix{}, true},
	{sv2.SubmitSharesStandard{}, true},
	{sv2.SubmitSharesExtended{}, true},
	{sv2.SubmitSharesSuccess{}, true},
	{sv2.SubmitSharesError{}, true},
	{sv2.NewExtendedMiningJob{}, true},
	{sv2.SetNewPrevHash{}, true},
	{sv2.SetTarget{}, true},
	{sv2.SetCustomMiningJob{}, true},
	{sv2.SetCustomMiningJobSuccess{}, true},
	{sv2.SetCustomMiningJobError{}, true},
	{sv2.SetGroupChannel{}, false},

	{sv2.AllocateMiningJobToken{}, false},
	{sv2.AllocateMiningJobTokenSuccess{}, false},
	{sv2.ProvideMissingTransactions{}, false},
	{sv2.ProvideMissingTransactionsSuccess{}, false},
	{sv2.DeclareMiningJob{}, false},
	{sv2.DeclareMiningJobSuccess{}, false},
	{sv2.DeclareMiningJobError{}, false},
	{sv2.PushSolution{}, false},

	{sv2.CoinbaseOutputConstraints{}, false},
	{sv2.NewTemplate{}, false},
	{sv2.TemplateSetNewPrevHash{}, false},
	{sv2.RequestTransactionData{}, false},
	{sv2.RequestTransactionDataSuccess{}, false},
	{sv2.RequestTransactionDataError{}, false},
	{sv2.SubmitSolution{}, false},

	{sv2.RequestExtensions{}, false},
	{sv2.RequestExtensionsSuccess{}, false},
	{sv2.RequestExtensionsError{}, false},

	{sv2.PowerHello{}, true},
	{sv2.PowerHelloAck{}, true},
	{sv2.SetPowerTarget{}, true},
	{sv2.SetPowerTargetSuccess{}, true},
	{sv2.SetPowerTargetError{}, true},
	{sv2.PowerReport{}, true},
	{sv2.SetSitePowerTarget{}, false},
	{sv2.SitePowerReport{}, false},
	{sv2.SitePowerHello{}, false},
	{sv2.SitePowerHelloAck{}, false},
	{sv2.SitePowerHelloError{}, false},
	{sv2.SetSitePowerTargetSuccess{}, false},
	{sv2.SetSitePowerTargetError{}, false},
}

// split is a frame's header and payload.
func split(frame []byte) (sv2.Header, []byte) {
	return sv2.ParseHeader([sv2.HeaderSize]byte(frame)), frame[sv2.HeaderSize:]
}

// random is a message of m's type with random fields.
func random(r *rand.Rand, m sv2.Message) sv2.Message {
	v := reflect.New(reflect.TypeOf(m)).Elem()
	fill(r, v)
	if f := v.FieldByName("MinTime"); f.IsValid() {
		if future := v.FieldByName("Future"); future.IsValid() && future.Bool() {
			f.SetUint(0) // a future job has none
		}
	}
	return v.Interface().(sv2.Message)
}

func fill(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for _, f := range v.Fields() {
			fill(r, f)
		}
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64() >> (64 - v.Type().Bits()))
	case reflect.Float32:
		v.SetFloat(float64(r.Float32() * math.MaxFloat32))
	case reflect.String:
		b := make([]byte, r.IntN(256))
		fill(r, reflect.ValueOf(b))
		v.SetString(string(b)) // hardly ever UTF-8
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.Slice:
		if v.CanSet() {
			v.Set(reflect.MakeSlice(v.Type(), r.IntN(33), 33))
		}
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	default:
		panic("a field of kind " + v.Kind().String())
	}
}

// Ensure the tables know every message, each under its own type, with its channel bit.
func TestMessages_AreAllKnown(t *testing.T) {
	seen := map[[2]uint16]string{}
	for _, a := range all {
		h, _ := split(a.m.AppendFrame(nil))
		if h.Channel() != a.channel {
			t.Errorf("%T: channel bit %v", a.m, h.Channel())
		}
		key := [2]uint16{h.ID(), uint16(h.Type)}
		if other, ok := seen[key]; ok {
			t.Errorf("%T has the type of %s", a.m, other)
		}
		seen[key] = sv2.Name(h.Extension, h.Type)
		if got := strings.NewReplacer(".", "", " (template distribution)", "").
			Replace(seen[key]); !strings.HasSuffix(reflect.TypeOf(a.m).Name(), got) {
			t.Errorf("%T is called %q", a.m, seen[key])
		}
	}
	for _, ext := range []uint16{0, sv2.ExtNegotiation, sv2.ExtWorkerIdentity, sv2.ExtPower, 0x7fff} {
		for typ := range 256 {
			_, known := sv2.MaxLength(ext, uint8(typ))
			name, mine := seen[[2]uint16{ext, uint16(typ)}]
			if known != mine || sv2.Name(ext|sv2.ChannelBit, uint8(typ)) != name {
				t.Errorf("extension %#x type %#x: known is %v", ext, typ, known)
			}
			_, err := sv2.Decode(sv2.Header{Extension: ext, Type: uint8(typ)}, nil)
			if !known && !errors.Is(err, sv2.ErrUnknown) || known && !errors.Is(err, sv2.ErrTruncated) {
				t.Errorf("extension %#x type %#x, nothing in it: %v", ext, typ, err)
			}
		}
	}
}

// Ensure the messages of job declaration and template distribution never have the channel bit
// (sv2-spec 03 §3.2.1).
func TestSV2_023_OtherProtocolsHaveNoChannelBit(t *testing.T) {
	var seen int
	for _, a := range all {
		h, _ := split(a.m.AppendFrame(nil))
		if h.ID() != 0 || h.Type < sv2.TypeAllocateMiningJobToken {
			continue
		}
		if seen++; h.Channel() {
			t.Errorf("%T has the channel bit", a.m)
		}
	}
	if seen < 15 {
		t.Errorf("saw %d messages of these protocols", seen)
	}
}

// Ensure random messages come back as they were, whatever the channel bit and whatever follows.
func TestMessages_RoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, a := range all {
		for range 50 {
			want := random(r, a.m)
			frame := want.AppendFrame([]byte("before"))
			h, payload := split(frame[len("before"):])
			if int(h.Length) != len(payload) {
				t.Fatalf("%T: length %d of %d bytes", a.m, h.Length, len(payload))
			}
			h.Extension ^= sv2.ChannelBit
			got, err := sv2.Decode(h, append(payload, "after"...))
			if err != nil {
				t.Fatalf("%T: %v", a.m, err)
			}
			if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
				t.Fatalf("%T: %s", a.m, d)
			}
		}
	}
}

// Ensure a payload that ends early is refused wherever it ends, by an error that names message and field.
func TestDecode_RefusesEveryTruncation(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, a := range all {
		h, payload := split(random(r, a.m).AppendFrame(nil))
		for n := range payload {
			m, err := sv2.Decode(h, payload[:n:n])
			if !errors.Is(err, sv2.ErrTruncated) || m != nil {
				t.Fatalf("%T, %d of %d bytes: %+v, %v", a.m, n, len(payload), m, err)
			}
			if !strings.HasPrefix(err.Error(), "decoding "+sv2.Name(h.Extension, h.Type)+": ") {
				t.Fatalf("%T: %v", a.m, err)
			}
		}
	}
}

// Ensure MaxLength is the size of the largest encoding, and what extensions may append to it.
func TestMaxLength_IsThatOfTheLargest(t *testing.T) {
	const tlvs = 256
	for _, a := range all {
		v := reflect.New(reflect.TypeOf(a.m)).Elem()
		if !largest(v) {
			continue // a list of lists: bounded by the header only
		}
		h, payload := split(v.Interface().(sv2.Message).AppendFrame(nil))
		longest, _ := sv2.MaxLength(h.Extension, h.Type)
		if longest != len(payload)+tlvs {
			t.Errorf("%T: MaxLength %d, the largest has %d", a.m, longest, len(payload))
		}
	}
	for _, m := range []sv2.Message{
		sv2.ProvideMissingTransactionsSuccess{}, sv2.RequestTransactionDataSuccess{},
	} {
		h, _ := split(m.AppendFrame(nil))
		if n, _ := sv2.MaxLength(h.Extension, h.Type); n != sv2.MaxPayload {
			t.Errorf("%T: MaxLength %d", m, n)
		}
	}
}

// largest gives every field of v its largest size. It is false for a list of byte strings.
func largest(v reflect.Value) bool {
	for field, f := range v.Fields() {
		name := field.Name
		switch f.Kind() {
		case reflect.Struct:
			largest(f)
		case reflect.String:
			f.SetString(strings.Repeat("x", 300)) // cut by the encoder
		case reflect.Slice:
			if f.Type().Elem().Kind() == reflect.Slice {
				return false
			}
			n := 65535
			switch {
			case name == "ExtranoncePrefix" || name == "Extranonce":
				n = 32
			case name == "Token" || name == "MerklePath":
				n = 255
			case name == "CoinbasePrefix" && v.FieldByName("CoinbaseSuffix") == (reflect.Value{}):
				n = 255 // not the whole front of a coinbase, but of its script
			}
			f.Set(reflect.MakeSlice(f.Type(), n, n))
		default: // of one size
		}
	}
	return true
}

// Ensure of a BOOL only bit 0 counts.
func TestSV2_024_DecodeMasksBool(t *testing.T) {
	for b, want := range map[byte]bool{0: false, 1: true, 2: false, 0xfe: false, 0xff: true} {
		_, payload := split(sv2.NewExtendedMiningJob{Future: true}.AppendFrame(nil))
		payload[13] = b
		m, _, err := sv2.DecodeNewExtendedMiningJob(payload)
		if err != nil || m.VersionRolling != want {
			t.Errorf("%#x: %v, %v", b, m.VersionRolling, err)
		}
	}
}

// Ensure a hashrate that is none is refused, and that what came before it can still be answered to.
func TestDecode_RefusesOddHashrates(t *testing.T) {
	nan := math.Float32frombits(0x7f800001)
	for _, f := range []float32{
		-1, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)),
		float32(math.NaN()), nan, -nan, -math.SmallestNonzeroFloat32,
	} {
		open := sv2.OpenStandardMiningChannel{RequestID: 7, UserIdentity: "a", NominalHashRate: f}
		_, p := split(open.AppendFrame(nil))
		m, _, err := sv2.DecodeOpenStandardMiningChannel(p)
		open.NominalHashRate = 0
		if !errors.Is(err, sv2.ErrFloat) || m != open {
			t.Errorf("%v: %+v, %v", f, m, err)
		}
	}
	for _, f := range []float32{0, 1, math.SmallestNonzeroFloat32, math.MaxFloat32} {
		_, p := split(sv2.UpdateChannel{NominalHashRate: f}.AppendFrame(nil))
		if m, _, err := sv2.DecodeUpdateChannel(p); err != nil || m.NominalHashRate != f {
			t.Errorf("%v: %+v, %v", f, m, err)
		}
	}
}

// Ensure a count that cannot be true takes no memory.
func TestSV2_030_TakesNoMemoryForFalseCounts(t *testing.T) {
	for name, decode := range map[string]func() error{
		"hashes": func() error {
			_, _, err := sv2.DecodeDeclareMiningJob([]byte{15: 255, 14: 255, 100: 0})
			return err
		},
		"channels": func() error {
			_, _, err := sv2.DecodeSetGroupChannel([]byte{0, 0, 0, 0, 255, 255, 1, 2, 3})
			return err
		},
		"transactions": func() error {
			_, _, err := sv2.DecodeProvideMissingTransactionsSuccess([]byte{0, 0, 0, 0, 255, 255, 0, 0, 0})
			return err
		},
	} {
		if err := decode(); !errors.Is(err, sv2.ErrTruncated) {
			t.Errorf("%s: %v", name, err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		decode()
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 32<<10 {
			t.Errorf("%s: %d bytes were taken", name, n)
		}
	}
}

// Ensure a text is cut to what fits, and that a byte field which does not fit is not sent at all.
func TestAppendFrame_BoundsFields(t *testing.T) {
	_, p := split(sv2.CloseChannel{Reason: strings.Repeat("é", 200)}.AppendFrame(nil))
	if m, _, err := sv2.DecodeCloseChannel(p); err != nil || len(m.Reason) != 255 {
		t.Errorf("%d bytes, %v", len(m.Reason), err)
	}
	for _, m := range []sv2.Message{
		sv2.SetExtranoncePrefix{ExtranoncePrefix: make([]byte, 33)},
		sv2.SubmitSolution{Coinbase: make([]byte, 65536)},
		sv2.SetGroupChannel{ChannelIDs: make([]uint32, 65536)},
		sv2.RequestTransactionDataSuccess{Transactions: [][]byte{make([]byte, 1<<23), make([]byte, 1<<23)}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%T: a frame was made", m)
				}
			}()
			m.AppendFrame(nil)
		}()
	}
}

// Ensure the messages of the share and job paths cost no allocation.
func TestHotMessages_AllocateNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	dst := make([]byte, 0, 1<<20)
	for _, a := range all {
		m := random(r, a.m)
		if got := testing.AllocsPerRun(50, func() { dst = m.AppendFrame(dst[:0]) }); got != 0 {
			t.Errorf("encoding %T costs %v allocations", m, got)
		}
	}
	payload := func(m sv2.Message) []byte { return m.AppendFrame(nil)[sv2.HeaderSize:] }
	standard := payload(sv2.SubmitSharesStandard{})
	extended := payload(sv2.SubmitSharesExtended{Extranonce: make([]byte, 16)})
	withName := sv2.AppendTLV(sv2.SubmitSharesExtended{}.AppendFrame(nil), 0, identity("name"))
	withName = withName[sv2.HeaderSize:]
	job := payload(sv2.NewMiningJob{})
	tip := payload(sv2.SetNewPrevHash{})
	for name, decode := range map[string]func() error{
		"SubmitSharesStandard": func() error {
			_, _, err := sv2.DecodeSubmitSharesStandard(standard)
			return err
		},
		"SubmitSharesExtended": func() error {
			_, _, err := sv2.DecodeSubmitSharesExtended(extended)
			return err
		},
		"NewMiningJob":   func() error { _, _, err := sv2.DecodeNewMiningJob(job); return err },
		"SetNewPrevHash": func() error { _, _, err := sv2.DecodeSetNewPrevHash(tip); return err },
		"UserIdentity": func() error {
			_, rest, err := sv2.DecodeSubmitSharesExtended(withName)
			if err == nil {
				_, err = sv2.UserIdentity(rest)
			}
			return err
		},
	} {
		if got := testing.AllocsPerRun(50, func() {
			if err := decode(); err != nil {
				t.Error(err)
			}
		}); got != 0 {
			t.Errorf("decoding %s costs %v allocations", name, got)
		}
	}
}

// FuzzDecode reads arbitrary payloads of every message. What decodes is encoded to no more than
// was read, and comes back the same.
func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, a := range all {
		h, payload := split(random(r, a.m).AppendFrame(nil))
		f.Add(h.Extension, h.Type, payload[:min(len(payload), 200)])
		h, payload = split(a.m.AppendFrame(nil))
		f.Add(h.Extension, h.Type, payload)
	}
	f.Fuzz(func(t *testing.T, ext uint16, typ uint8, payload []byte) {
		m, err := sv2.Decode(sv2.Header{Extension: ext, Type: typ}, payload)
		if err != nil {
			return
		}
		once := m.AppendFrame(nil)
		h, p := split(once)
		if h.ID() != ext&^sv2.ChannelBit || h.Type != typ || len(p) > len(payload) {
			t.Fatalf("%T of %d bytes is encoded as %+v", m, len(payload), h)
		}
		if longest, known := sv2.MaxLength(ext, typ); !known || len(p) > longest {
			t.Fatalf("%T of %d bytes is longer than %d", m, len(p), longest)
		}
		again, err := sv2.Decode(h, p)
		if err != nil || !bytes.Equal(again.AppendFrame(nil), once) {
			t.Fatalf("%T changed on its way: %v", m, err)
		}
	})
}
