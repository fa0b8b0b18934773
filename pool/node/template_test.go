package node

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/hashlease/hashlease/pool"
)

// testTx is a transaction of about 400 bytes. n makes it unique.
func testTx(n int, witness bool) *wire.MsgTx {
	tx := wire.NewMsgTx(2)
	in := wire.NewTxIn(&wire.OutPoint{Index: uint32(n)}, bytes.Repeat([]byte{0x51}, 60), nil)
	if witness {
		in.Witness = wire.TxWitness{bytes.Repeat([]byte{1}, 72), bytes.Repeat([]byte{2}, 33)}
	}
	tx.AddTxIn(in)
	for range 4 {
		tx.AddTxOut(wire.NewTxOut(1000, bytes.Repeat([]byte{0x6a}, 34)))
	}
	return tx
}

func txJSON(tx *wire.MsgTx, fee int) string {
	var raw bytes.Buffer
	_ = tx.Serialize(&raw)
	return fmt.Sprintf(`{"data":"%x","txid":"%s","hash":"%s","depends":[],"fee":%d,"sigops":4,"weight":1}`,
		raw.Bytes(), tx.TxHash(), tx.WitnessHash(), fee)
}

// testFields are the fields of a good template of btcd on regtest.
func testFields() map[string]string {
	return map[string]string{
		"bits": `"207fffff"`, "curtime": "1700000000", "height": "5", "mintime": "1600000000",
		"previousblockhash": `"` + strings.Repeat("0a", 32) + `"`, "version": "536870912",
		"transactions": "[" + txJSON(testTx(1, true), 700) + "," + txJSON(testTx(2, false), 300) + "]",
		"coinbaseaux":  `{"flags":"0e2f503253482f627463642f"}`, "coinbasevalue": "5000001000",
		"default_witness_commitment": `"` + strings.Repeat("0b", 32) + `"`,
		"target":                     `"7fffff` + strings.Repeat("0", 58) + `"`,
		"mutable":                    `["time"]`, "maxtime": "1800000000", "sigoplimit": "80000",
		"longpollid": `"x-1\"y"`, "capabilities": `["proposal"]`, "rules": `["csv","!segwit"]`,
	}
}

func templateText(fields map[string]string) []byte {
	parts := make([]string, 0, len(fields))
	for k, v := range fields {
		parts = append(parts, fmt.Sprintf("%q:%s", k, v))
	}
	return []byte("{" + strings.Join(parts, ",") + "}")
}

// Ensure every field of a template reaches the pool.
func TestDecodeTemplate_TakesWhatTheNodeSays(t *testing.T) {
	got, err := decodeTemplate(templateText(testFields()), &chaincfg.RegressionNetParams)
	if err != nil {
		t.Fatal(err)
	}
	if got.Height != 5 || got.Bits != 0x207fffff || got.MinTime != 1600000000 || got.Time != 1700000000 ||
		got.Version != 0x20000000 || got.Value != 50e8+1000 || got.Prev[0] != 0x0a || got.Partial {
		t.Errorf("template %+v", got)
	}
	if got.Next.Version != got.Version || got.Next.Value != 50e8 {
		t.Errorf("next %+v", got.Next)
	}
	if len(got.Txs) != 2 || got.Fees() != 1000 || got.Commitment == nil || got.Commitment[31] != 0x0b {
		t.Fatalf("transactions %+v", got.Txs)
	}
	for i, tx := range []*wire.MsgTx{testTx(1, true), testTx(2, false)} {
		weight := int64(3*tx.SerializeSizeStripped() + tx.SerializeSize())
		gotTx := got.Txs[i]
		if gotTx.ID != tx.TxHash() || gotTx.Cost != weight || len(gotTx.Raw) != tx.SerializeSize() {
			t.Errorf("transaction %d: %v weight %d", i, gotTx.ID, gotTx.Cost)
		}
	}
}

// Ensure btcd's bare commitment and Core's output script mean the same.
func TestDecodeTemplate_TellsCommitmentShapesApart(t *testing.T) {
	hash := commitScript + strings.Repeat("7", 52) // begins like the script, to make it hard
	for name, text := range map[string]string{"hash": hash, "script": commitScript + hash} {
		fields := testFields()
		fields["default_witness_commitment"] = `"` + text + `"`
		got, err := decodeTemplate(templateText(fields), &chaincfg.RegressionNetParams)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want, _ := hex.DecodeString(hash); !bytes.Equal(got.Commitment[:], want) {
			t.Errorf("%s: %x", name, got.Commitment[:])
		}
	}
}

// Ensure whatever is wrong is an error that names the field.
func TestDecodeTemplate_NamesWrongField(t *testing.T) {
	tx := txJSON(testTx(1, false), 1)
	for _, tt := range []struct{ field, value, want string }{
		{"bits", `"1d00ffzz"`, "field bits"},
		{"bits", `"00000000"`, "field bits"},
		{"bits", `"217fffff"`, "field bits: 217fffff is not a target of regtest"},
		{"bits", `"1d00ffff"`, "field target"},
		{"target", `"00"`, "field target"},
		{"curtime", "0", "field curtime"},
		{"curtime", "1.5", "field (json): whole number"},
		{"mintime", "4294967296", "field mintime"},
		{"height", "-1", "field height"},
		{"height", "2147483647", "field height"},
		{"height", "99999999999999999999", "field (json): smaller number"},
		{"version", "4294967296", "field version"},
		{"previousblockhash", `"0a"`, "field previousblockhash: 2 digits"},
		{"previousblockhash", `"` + strings.Repeat("zz", 32) + `"`, "field previousblockhash"},
		{"coinbasevalue", "5000001001", "field coinbasevalue: 5000001001, subsidy and fees are 5000001000"},
		{"coinbasevalue", "-1", "field coinbasevalue"},
		{"coinbasevalue", "null", "field (json)"},
		{"default_witness_commitment", `"6a24"`, "field default_witness_commitment"},
		{"default_witness_commitment", "null", "missing, a transaction has a witness"},
		{"rules", `["!magic"]`, `field rules: "!magic" is not known`},
		{"transactions", "{}", "array expected"},
		{"transactions", "[{}]", "transactions[0].data"},
		{"transactions", `[{"data":"zz"}]`, "transactions[0].data"},
		{"transactions", `[{"data":"0200"}]`, "transactions[0].data: not a whole transaction"},
		{"transactions", "[" + strings.Replace(tx, `"txid":"`, `"nope":"`, 1) + "]", "transactions[0].txid"},
		{"transactions", "[" + strings.Replace(tx, `"data":"02`, `"data":"03`, 1) + "]", "[0].txid"},
		{"transactions", "[" + strings.Replace(tx, `"fee":1`, `"fee":-1`, 1) + "]", "transactions[].fee"},
	} {
		fields := testFields()
		fields[tt.field] = tt.value
		_, err := decodeTemplate(templateText(fields), &chaincfg.RegressionNetParams)
		if err == nil || !strings.Contains(err.Error(), tt.want) || phaseOf(err) != Broken {
			t.Errorf("%s %.40s: %v, want %q", tt.field, tt.value, err, tt.want)
		}
	}
	for _, field := range []string{
		"bits", "curtime", "mintime", "height", "version", "previousblockhash", "coinbasevalue",
		"transactions",
	} {
		fields := testFields()
		delete(fields, field)
		_, err := decodeTemplate(templateText(fields), &chaincfg.RegressionNetParams)
		if err == nil || !strings.Contains(err.Error(), "field "+field+": missing") {
			t.Errorf("without %s: %v", field, err)
		}
	}
	for _, text := range []string{
		"", "null", "[]", "{", `{"height"`, `{"height":5,"height":5}`, `{}x`,
		`{"x":` + strings.Repeat("[", 1e6),
	} {
		if _, err := decodeTemplate([]byte(text), &chaincfg.RegressionNetParams); err == nil {
			t.Errorf("%.20s was accepted", text)
		}
	}
}

// Ensure no text of a node makes us panic, or gives a template that is not one.
func FuzzDecodeTemplate(f *testing.F) {
	f.Add(templateText(testFields()))
	f.Add([]byte(`{"transactions":[{"data":"02000000000101","txid":null}],"height":1e3}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := decodeTemplate(text, &chaincfg.RegressionNetParams)
		if err != nil {
			return
		}
		var weight int64
		for _, tx := range got.Txs {
			weight += tx.Cost
			var back wire.MsgTx
			if err := back.Deserialize(bytes.NewReader(tx.Raw)); err == nil && back.TxHash() != tx.ID {
				t.Errorf("transaction %v has id %v", back.TxHash(), tx.ID)
			}
		}
		if got.Height < 1 || got.Value < 0 || got.Time < got.MinTime || weight > maxWeight {
			t.Errorf("template %+v", got)
		}
	})
}

// Ensure no message of a node makes us panic.
func FuzzParseEnvelope(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"1.0","result":null,"error":{"code":-9,"message":"not connected"},"id":7}`))
	f.Add([]byte(`{"jsonrpc":"1.0","method":"filteredblockconnected","params":[1,"00",null],"id":null}`))
	f.Fuzz(func(_ *testing.T, text []byte) {
		if e, err := parseEnvelope(text); err == nil && e.method != "" {
			s := socket{news: make(chan struct{}, 1)}
			e.method = "filteredblockconnected"
			_ = s.announce(e)
		}
	})
}

// Ensure a transaction's id and weight are those that package wire finds.
func FuzzInspectTx(f *testing.F) {
	for _, witness := range []bool{false, true} {
		var raw bytes.Buffer
		_ = testTx(1, witness).Serialize(&raw)
		f.Add(raw.Bytes())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := inspectTx(raw)
		if err != nil {
			return
		}
		var tx wire.MsgTx
		r := bytes.NewReader(raw)
		if tx.Deserialize(r) != nil || r.Len() > 0 {
			return // wire checks more
		}
		if again := new(bytes.Buffer); tx.Serialize(again) != nil || !bytes.Equal(again.Bytes(), raw) {
			return // wire writes it in another way
		}
		want := int64(3*tx.SerializeSizeStripped() + tx.SerializeSize())
		if got.id != tx.TxHash() || got.weight != want {
			t.Errorf("id %v weight %d, want %v %d", got.id, got.weight, tx.TxHash(), want)
		}
	})
}

// BenchmarkTemplate_Parse3000 turns what a busy main network's node sends, 3 MB, into a job that is ready
// to be sent: envelope, template, every transaction's id checked, merkle path.
func BenchmarkTemplate_Parse3000(b *testing.B) {
	txs := make([]string, 3000)
	for i := range txs {
		txs[i] = txJSON(testTx(i, true), 1000)
	}
	fields := testFields()
	fields["transactions"] = "[" + strings.Join(txs, ",") + "]"
	text := fmt.Appendf(nil, `{"jsonrpc":"1.0","result":%s,"error":null,"id":1}`, templateText(fields))
	script := append([]byte{0, 20}, make([]byte, 20)...)
	maker, err := pool.NewAssembler(pool.CoinbaseConfig{Script: script}, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		e, err := parseEnvelope(text)
		if err != nil {
			b.Fatal(err)
		}
		t, err := decodeTemplate(e.result, &chaincfg.RegressionNetParams)
		if err != nil {
			b.Fatal(err)
		}
		r, err := maker.Advance(nil, t)
		if err != nil || len(r.Full.Path) != 12 {
			b.Fatalf("%v, a path of %d", err, len(r.Full.Path))
		}
	}
}
