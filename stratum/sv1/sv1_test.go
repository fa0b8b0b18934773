package sv1_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/stratum/sv1"
)

// Ensure that requests are read as firmware writes them, and that what is none is refused with a reason.
func TestParseRequest(t *testing.T) {
	for line, want := range map[string]string{ // id, method, parameters; or the error
		`{"id":1,"method":"mining.subscribe","params":[]}`:            `1 mining.subscribe []`,
		` { "params" : [ 1 , "a" ] , "method":"x" , "id" : "a\"b" } `: `"a\"b" x [ 1 , "a" ]`,
		`{"method":"x"}`: ` x `,
		`{"id":null,"method":"x","jsonrpc":"2.0","extra":{"a":[{}]}}`: `null x `,
		`{"id":1,"id":2,"method":"a","method":"b"}`:                   `2 b `,
		`{"id":1e3,"method":"mining\u002esubmit","params":{}}`:        `1e3 mining.submit {}`,
		`{"id":4,"result":true,"error":null}`:                         `4  `,
		`{"id":7,"error":[20,"no",null]}`:                             `7  `,
		``:                                                            sv1.ErrSyntax.Error(),
		`[]`:                                                          sv1.ErrSyntax.Error(),
		`{"id":1,"method":"x"`:                                        sv1.ErrSyntax.Error(),
		`{"id":1,"method":"x"}}`:                                      sv1.ErrSyntax.Error(),
		`{"id":1,"method":"x"} {}`:                                    sv1.ErrSyntax.Error(),
		`{"id":1,"method":"x",}`:                                      sv1.ErrSyntax.Error(),
		`{"id":1 "method":"x"}`:                                       sv1.ErrSyntax.Error(),
		`{"id":1,"method":"x}`:                                        sv1.ErrSyntax.Error(),
		`{id:1,"method":"x"}`:                                         sv1.ErrSyntax.Error(),
		`{"id":01x,"method":"x"}`:                                     sv1.ErrSyntax.Error(),
		"{\"id\":1,\"method\":\"\x00\"}":                              sv1.ErrSyntax.Error(),
		`{"id":[1],"method":"x"}`:                                     sv1.ErrID.Error(),
		`{"id":true,"method":"x"}`:                                    sv1.ErrID.Error(),
		`{"id":1}`:                                                    sv1.ErrMethod.Error(),
		`{"id":1,"method":7.5}`:                                       `1 7.5 `,
		`{"id":1,"method":""}`:                                        sv1.ErrMethod.Error(),
		`{"id":1,"method":"x","params":` + strings.Repeat("[", 15) + strings.Repeat("]", 15) + `}`: `1 x ` +
			strings.Repeat("[", 15) + strings.Repeat("]", 15),
		`{"id":1,"method":"x","params":` + strings.Repeat("[", 16) +
			strings.Repeat("]", 16) + `}`: sv1.ErrSyntax.Error(),
		`{"id":"` + strings.Repeat("a", sv1.MaxID) +
			`","method":"x"}`: sv1.ErrID.Error(),
	} {
		r, err := sv1.ParseRequest([]byte(line))
		got := fmt.Sprintf("%s %s %s", r.ID, r.Method, r.Params)
		if err != nil {
			if got = err.Error(); strings.HasPrefix(got, want) {
				continue
			}
		}
		if got != want {
			t.Errorf("%s\n is %s\nwant %s", line, got, want)
		}
	}
}

// Ensure that texts come without their escapes.
func TestValue_Text(t *testing.T) {
	for _, text := range []string{
		"", "plain", "a\"b\\c/d", "tab\tnew\nline", "é", "€", "𝄞", "\u2028", "end\\",
	} {
		ascii := fmt.Sprintf("%+q", text)
		ascii = strings.ReplaceAll(ascii, `\U0001d11e`, `\ud834\udd1e`)
		for _, quoted := range []string{ascii, string(sv1.AppendString(nil, text))} {
			if got := string(sv1.Value(quoted).Text()); got != text {
				t.Errorf("%s is %q, want %q", quoted, got, text)
			}
		}
	}
	for quoted, want := range map[string]string{
		`"\ud834"`: "\ufffd", `"\ud834x"`: "\ufffdx", `"\u12"`: "\ufffd",
		`"\q"`: "q", `12.5`: "12.5", `true`: "", `[1]`: "",
	} {
		if got := string(sv1.Value(quoted).Text()); got != want {
			t.Errorf("%s is %q, want %q", quoted, got, want)
		}
	}
}

// Ensure that shares are read as ckpool reads them.
func TestParseSubmit(t *testing.T) {
	for params, want := range map[string]string{
		`["w","1f","0102030405060708","5f5e1000","1a2b3c4d"]`: "w 1f 0102030405060708 5f5e1000 1a2b3c4d -",

		`["w","1f","0102030405060708",` +
			`"5f5e1000","1a2b3c4d","1fffe000"]`: "w 1f 0102030405060708 5f5e1000 1a2b3c4d 1fffe000",

		`["w","1f","0102030405060708",` +
			`"5f5e1000","1a2b3c4d",null]`: "w 1f 0102030405060708 5f5e1000 1a2b3c4d -",

		`["w","1f","01","5f5e1000","4d","",7]`: "w 1f 0100000000000000 5f5e1000 0000004d -",

		`["w","1f","010203040506070809",` +
			`"5f5e1000","1A2B3C4D00"]`: "w 1f 0102030405060708 5f5e1000 1a2b3c4d -",

		`["w",31,"0102030405060708","5f5e1000",12345678]`: "w 31 0102030405060708 5f5e1000 12345678 -",

		`["w","1f","0102030405060708","5f5e1000"]`:                "5 or 6",
		`["w","1f","010203040506070g","5f5e1000","1a2b3c4d"]`:     "extranonce2",
		`["w","1f",7,"5f5e1000","1a2b3c4d"]`:                      "extranonce2",
		`["w","1f","0102030405060708","","1a2b3c4d"]`:             "ntime",
		`["w","1f","0102030405060708","5f5e1000","-1"]`:           "nonce",
		`["w","1f","0102030405060708","5f5e1000","1a2b3c4d","x"]`: "version bits",
		`{}`: "5 or 6",
		``:   "5 or 6",
	} {
		m, err := sv1.ParseSubmit(sv1.Value(params))
		bits := "-"
		if m.Rolled {
			bits = fmt.Sprintf("%08x", m.Bits)
		}
		got := fmt.Sprintf("%s %s %x %08x %08x %s", m.Worker, m.Job, m.Extranonce2, m.Time, m.Nonce, bits)
		if err != nil {
			if !errors.Is(err, sv1.ErrParams) {
				t.Errorf("%s: %v is no ErrParams", params, err)
			}
			if got = err.Error(); strings.Contains(got, want) {
				continue
			}
		}
		if got != want {
			t.Errorf("%s\n is %s\nwant %s", params, got, want)
		}
	}
}

// Ensure that a job is written as the miners of block 125552, which every guide works through, would
// have read it.
func TestAppendNotify_IsTheJobOfAKnownBlock(t *testing.T) {
	prev, err := chainhash.NewHashFromStr("00000000000008a3a41b85b8b29ad444def299fee21793cd8b9e567eab02cd81")
	if err != nil {
		t.Fatal(err)
	}
	line := sv1.AppendClean(sv1.AppendNotify(nil, &sv1.Notify{
		Job: []byte("1f"), PrevHash: *prev, Prefix: []byte{1, 0xab}, Suffix: []byte{0xff},
		Path: []chainhash.Hash{{1}, {2}}, Version: 1, Bits: 0x1a44b9f2, Time: 0x4dd7f5c7,
	}), true)
	want := `{"id":null,"method":"mining.notify","params":["1f",` +
		`"ab02cd818b9e567ee21793cddef299feb29ad444a41b85b8000008a300000000","01ab","ff",` +
		`["01` + strings.Repeat("0", 62) + `","02` + strings.Repeat("0", 62) + `"],` +
		`"00000001","1a44b9f2","4dd7f5c7",true]}` + "\n"
	if string(line) != want {
		t.Errorf("got  %s\nwant %s", line, want)
	}
}

// Ensure that every message of a server is one line of JSON with the fields that miners look for.
func TestAppend_WritesLinesOfJSON(t *testing.T) {
	id := sv1.Value(`"a"`)
	configure := sv1.ParseConfigure(sv1.Value(`[["version-rolling","minimum-difficulty",` +
		`"subscribe-extranonce","info","a\"b"],{"version-rolling.mask":"00c00000",` +
		`"minimum-difficulty.value":2.5,"info.sw-version":"x/1"}]`))
	if configure.Mask != 0xc00000 || configure.Difficulty != 2.5 || string(configure.Agent) != "x/1" {
		t.Errorf("configure is read as %+v", configure)
	}
	subscribed := sv1.Subscribed{Session: "ff", Extranonce1: []byte{1, 2}, Size: 8}
	for want, line := range map[string][]byte{
		`{"id":"a","result":[[["mining.notify","ff"],["mining.set_difficulty","ff"]],` +
			`"0102",8],"error":null}`: sv1.AppendSubscribed(nil, id, subscribed),

		`{"id":"a","result":true,"error":null}`:  sv1.AppendTrue(nil, id),
		`{"id":null,"result":true,"error":null}`: sv1.AppendTrue(nil, nil),
		`{"id":7,"result":true,"error":null}`:    sv1.AppendTrueNumber(nil, 7),
		`{"id":"a","result":[],"error":null}`:    sv1.AppendResult(nil, id, "[]"),

		`{"id":"a","result":null,"error":[23,"low \"x\"",null]}`: sv1.AppendError(nil, id, 23, `low "x"`),

		`{"id":null,"method":"mining.set_difficulty","params":[1024]}`: sv1.AppendSetDifficulty(nil, 1024),

		`{"id":null,"method":"mining.set_difficulty",` +
			`"params":[0.00015]}`: sv1.AppendSetDifficulty(nil, 0.00015),

		`{"id":null,"method":"mining.set_difficulty",` +
			`"params":[0.0000001]}`: sv1.AppendSetDifficulty(nil, 1e-7),
		`{"id":null,"method":"mining.set_extranonce","params":["0a0b",8]}`: sv1.AppendSetExtranonce(
			nil, []byte{10, 11}, 8),
		`{"id":null,"method":"mining.set_version_mask",` +
			`"params":["1fffe000"]}`: sv1.AppendSetVersionMask(nil, 0x1fffe000),
		`{"id":null,"method":"client.reconnect","params":[]}`: sv1.AppendReconnect(nil),

		`{"id":null,"method":"client.show_message",` +
			`"params":["a\\b\u000a"]}`: sv1.AppendShowMessage(nil, "a\\b\n"),

		`{"id":9,"method":"client.get_version","params":[]}`: sv1.AppendGetVersion(nil, 9),
		`{"id":"a","result":{"version-rolling":true,"version-rolling.mask":"00c00000",` +
			`"minimum-difficulty":true,` +
			`"subscribe-extranonce":true,"info":true,"a\"b":false},"error":null}`: sv1.AppendConfigured(
			nil, id, &configure, sv1.Configured{Mask: 0xc00000, Minimum: true}),
	} {
		if got := string(line); got != want+"\n" {
			t.Errorf("got  %swant %s", got, want)
		}
		if !json.Valid(line) {
			t.Errorf("%s is no JSON", line)
		}
	}
}

// Ensure that a suggested target is read with its most significant digit first.
func TestParseSuggestTarget(t *testing.T) {
	got, err := sv1.ParseSuggestTarget(sv1.Value(`["00000000ffff` + strings.Repeat("0", 52) + `"]`))
	if want := "0000000000000000000000000000000000000000000000000000ffff00000000"; err != nil ||
		hex.EncodeToString(got[:]) != want {
		t.Errorf("got %x, %v", got, err)
	}
	long := `["` + strings.Repeat("1", 65) + `"]`
	for _, bad := range []string{`[]`, `[""]`, `["0"]`, `["g"]`, `[7]`, long} {
		if _, err := sv1.ParseSuggestTarget(sv1.Value(bad)); !errors.Is(err, sv1.ErrParams) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// Ensure that difficulties are read as numbers or strings, and nothing that is none.
func TestParseSuggestDifficulty(t *testing.T) {
	for params, want := range map[string]float64{
		`[1024]`: 1024, `["0.5"]`: 0.5, `[1e-4]`: 1e-4, `[" 7 "]`: 7,
		`[0]`: 0, `[-1]`: 0, `["NaN"]`: 0, `["inf"]`: 0, `[]`: 0, `[null]`: 0, `{}`: 0,
	} {
		got, err := sv1.ParseSuggestDifficulty(sv1.Value(params))
		if got != want || (err != nil) != (want == 0) {
			t.Errorf("%s: %v, %v", params, got, err)
		}
	}
}

var share = sv1.Submit{Worker: []byte("account.worker"), Job: []byte("1f0001"), Rolled: true}

// Ensure that to read a share and to answer it costs no memory.
func TestSubmit_CostsNoMemory(t *testing.T) {
	line := sv1.AppendSubmit(nil, 4, share)
	out := make([]byte, 0, 100)
	if n := testing.AllocsPerRun(100, func() {
		r, err := sv1.ParseRequest(line)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sv1.ParseSubmit(r.Params); err != nil {
			t.Fatal(err)
		}
		n, _ := r.ID.Number()
		out = sv1.AppendTrueNumber(out[:0], n)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Ensure that to write a job into a buffer that is large enough costs no memory.
func TestAppendNotify_CostsNoMemory(t *testing.T) {
	out := make([]byte, 0, 4<<10)
	if n := testing.AllocsPerRun(100, func() {
		out = sv1.AppendClean(sv1.AppendNotify(out[:0], &job), true)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// A line of a miner is parsed in place: what comes out are parts of it.
func ExampleParseRequest() {
	r, err := sv1.ParseRequest([]byte(`{"id":2,"method":"mining.authorize","params":["account.worker","x"]}`))
	if err != nil {
		panic(err)
	}
	m, err := sv1.ParseAuthorize(r.Params)
	fmt.Printf("%s %s %s %v\n", r.ID, r.Method, m.User, err)
	fmt.Printf("%s", sv1.AppendTrue(nil, r.ID))
	// Output:
	// 2 mining.authorize account.worker <nil>
	// {"id":2,"result":true,"error":null}
}
