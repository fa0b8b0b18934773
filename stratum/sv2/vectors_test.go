package sv2_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/hashlease/hashlease/stratum/sv2"
)

// vectors is the part of testdata/sv2.json that belongs to the codec. Package noise runs
// the groups of encryption from the same file, package pool those of jobs and shares.
type vectors struct {
	FrameHeader []struct {
		Hex           string
		ExtensionType uint16 `json:"extension_type"`
		ChannelMsg    bool   `json:"channel_msg"`
		MsgType       uint8  `json:"msg_type"`
		MsgLength     uint32 `json:"msg_length"`
	} `json:"frame_header"`
	TLV []struct {
		Hex           string
		ExtensionType uint16 `json:"extension_type"`
		FieldType     uint8  `json:"field_type"`
		Length        int
		ByteOrder     string `json:"byte_order"`
		Expect        string
	}
	MessagesReference []messageVector `json:"messages_reference"`
	MessagesDerived   struct {
		Vectors []messageVector
	} `json:"messages_derived"`
	DecodeNegative []struct{ Case, Type, Payload string } `json:"decode_negative"`
	BIP141Strip    []struct {
		PrefixIn  string `json:"prefix_in"`
		SuffixIn  string `json:"suffix_in"`
		PrefixOut string `json:"prefix_out"`
		SuffixOut string `json:"suffix_out"`
		Expect    string
	} `json:"bip141_strip"`
}

type messageVector struct {
	Msg           string
	ExtensionType string `json:"extension_type"`
	Type          string
	Header        string
	Payload       string
	Fields        map[string]any
}

func loadVectors(t *testing.T) (v vectors) {
	t.Helper()
	b, err := os.ReadFile("testdata/sv2.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Ensure headers parse to the published fields and are written back the same.
func TestHeader_MatchesVectors(t *testing.T) {
	list := loadVectors(t).FrameHeader
	if len(list) < 6 {
		t.Fatalf("only %d vectors", len(list))
	}
	for _, v := range list {
		raw := unhex(t, v.Hex)
		h := sv2.ParseHeader([sv2.HeaderSize]byte(raw))
		if want := (sv2.Header{Extension: v.ExtensionType, Type: v.MsgType, Length: v.MsgLength}); h != want {
			t.Errorf("%s: got %+v, want %+v", v.Hex, h, want)
		}
		if h.Channel() != v.ChannelMsg || h.ID() != v.ExtensionType&0x7fff {
			t.Errorf("%s: channel %v, id %#x", v.Hex, h.Channel(), h.ID())
		}
		if got := h.Append(nil); !bytes.Equal(got, raw) {
			t.Errorf("%s: written as %x", v.Hex, got)
		}
	}
}

// Ensure every published message decodes to its fields and encodes to its bytes.
func TestSV2_020_MessagesMatchVectors(t *testing.T) {
	v := loadVectors(t)
	list := append(v.MessagesReference, v.MessagesDerived.Vectors...)
	if len(list) < 29 {
		t.Fatalf("only %d vectors", len(list))
	}
	for _, v := range list {
		t.Run(v.Msg, func(t *testing.T) {
			payload := unhex(t, v.Payload)
			if v.Msg == "SubmitSolution" {
				// The length in this one (93) ends inside its transaction: what
				// follows is beyond the fields, and so would be TLVs.
				payload = payload[:len(payload)-23]
			}
			h := sv2.Header{Type: unhex(t, v.Type)[0], Length: uint32(len(payload))}
			if v.ExtensionType != "" {
				e, err := strconv.ParseUint(v.ExtensionType, 16, 16)
				if err != nil {
					t.Fatal(err)
				}
				h.Extension = uint16(e)
			}
			m, err := sv2.Decode(h, payload)
			if err != nil {
				t.Fatal(err)
			}
			checkFields(t, m, v.Fields)
			want := h.Append(nil)
			if v.Header != "" && hex.EncodeToString(want) != v.Header {
				t.Fatalf("header %x, want %s", want, v.Header)
			}
			if got, want := m.AppendFrame(nil), append(want, payload...); !bytes.Equal(got, want) {
				t.Errorf("encodes to\n%x, want\n%x", got, want)
			}
			if name := sv2.Name(h.Extension, h.Type); !strings.HasPrefix(v.Msg, name) {
				t.Errorf("the message's name is %q", name)
			}
		})
	}
}

// goNames are the fields whose name in the struct is not that of the specification in camel case.
var goNames = map[string]string{
	"ntime": "Time", "min_ntime": "MinTime", "nbits": "Bits", "n_bits": "Bits", "maximum_target": "MaxTarget",
	"coinbase_tx_input_nSequence": "InputSequence", "coinbase_tx_input_sequence": "InputSequence",
	"header_timestamp": "Time", "header_nonce": "Nonce", "coinbase_tx_prefix": "CoinbasePrefix",
	"coinbase_tx_suffix": "CoinbaseSuffix", "coinbase_tx_version": "CoinbaseVersion",
	"coinbase_tx_outputs": "CoinbaseOutputs", "coinbase_tx_locktime": "CoinbaseLockTime",
	"mining_job_token": "Token", "new_mining_job_token": "Token", "last_sequence_number": "LastSequence",
	"sequence_number": "Sequence", "new_submits_accepted_count": "Accepted", "new_shares_sum": "SharesSum",
	"error_code": "Code", "reason_code": "Reason", "endpoint_host": "Host", "endpoint_port": "Port",
	"new_host": "Host", "new_port": "Port", "version_rolling_allowed": "VersionRolling",
	"unknown_tx_position_list": "Positions", "transaction_list": "Transactions", "wtxid_list": "WTxIDs",
	"coinbase_tx_value_remaining": "ValueRemaining", "coinbase_tx_outputs_count": "OutputsCount",
	"requested_extensions": "Requested", "supported_extensions": "Supported",
	"unsupported_extensions": "Unsupported", "required_extensions": "Required", "future_template": "Future",
}

func goName(field string) string {
	if n, ok := goNames[field]; ok {
		return n
	}
	var b strings.Builder
	for part := range strings.SplitSeq(field, "_") {
		if part == "id" {
			part = "ID"
		}
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

// checkFields holds the struct m to fields, which are as the vectors write them.
func checkFields(t *testing.T, m sv2.Message, fields map[string]any) {
	t.Helper()
	s := reflect.ValueOf(m)
	for name, want := range fields {
		name = strings.TrimSuffix(name, "_wire")
		if name == "coinbase_tx_len" {
			if got := s.FieldByName("Coinbase").Len(); float64(got) != want {
				t.Errorf("coinbase_tx has %d bytes, want %v", got, want)
			}
			continue
		}
		if name == "min_ntime" && want == nil {
			if !s.FieldByName("Future").Bool() {
				t.Error("a job without min_ntime is not a future one")
			}
			continue
		}
		f := s.FieldByName(goName(name))
		if !f.IsValid() {
			t.Errorf("no field for %s", name)
			continue
		}
		if got := plain(f); !reflect.DeepEqual(got, number(name, want)) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// plain is a field as JSON would read it back.
func plain(f reflect.Value) any {
	switch f.Kind() {
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return float64(f.Uint())
	case reflect.Float32:
		return f.Float()
	case reflect.Array, reflect.Slice:
		if f.Type().Elem().Kind() == reflect.Uint8 {
			b := make([]byte, f.Len())
			reflect.Copy(reflect.ValueOf(b), f)
			return hex.EncodeToString(b)
		}
		list := make([]any, f.Len())
		for i := range list {
			list[i] = plain(f.Index(i))
		}
		return list
	default:
		return f.Interface()
	}
}

// number turns what the vectors round or write as text into what the wire carries.
func number(name string, v any) any {
	if s, ok := v.(string); ok && name == "nbits" {
		n, _ := strconv.ParseUint(s, 16, 32)
		return float64(n)
	}
	if f, ok := v.(float64); ok && name == "nominal_hash_rate" {
		return float64(float32(f))
	}
	return v
}

// Ensure the published malformed payloads are refused.
func TestDecode_RefusesNegativeVectors(t *testing.T) {
	list := loadVectors(t).DecodeNegative
	if len(list) < 5 {
		t.Fatalf("only %d vectors", len(list))
	}
	for _, v := range list {
		m, err := sv2.Decode(sv2.Header{Type: unhex(t, v.Type)[0]}, unhex(t, v.Payload))
		if err == nil {
			t.Errorf("%s: decoded as %+v", v.Case, m)
		}
		t.Log(err)
	}
}

// Ensure TLVs are read in both byte orders and refused as published, and written little-endian.
func TestTLV_MatchesVectors(t *testing.T) {
	list := loadVectors(t).TLV
	if len(list) < 5 {
		t.Fatalf("only %d vectors", len(list))
	}
	for _, v := range list {
		raw := unhex(t, v.Hex)
		got, rest, err := sv2.NextTLV(raw, sv2.ExtWorkerIdentity)
		if strings.HasPrefix(v.Expect, "error") {
			if err == nil {
				t.Errorf("%s: got %+v, want an error", v.Hex, got)
			}
			continue
		}
		if err != nil || len(rest) != 0 || got.Extension != v.ExtensionType || got.Field != v.FieldType ||
			len(got.Value) != v.Length {
			t.Errorf("%s: got %+v, rest %x, %v", v.Hex, got, rest, err)
		}
		frame := sv2.AppendTLV(make([]byte, sv2.HeaderSize), 0, got)
		if v.ByteOrder == "little" && !bytes.Equal(frame[sv2.HeaderSize:], raw) {
			t.Errorf("%s: written as %x", v.Hex, frame[sv2.HeaderSize:])
		}
	}
}
