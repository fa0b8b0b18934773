package stratumtest

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool"
)

// slushNotify is the example of the first Stratum document, and slushShare the nonce that it answers with.
const slushNotify = `{"params": ["bf", "4d16b6f85af6e2198f44ae2a6de67f78487ae5611b77c6c0440b921e00000000", ` +
	`"01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff20020862062f50` +
	`3253482f04b8864e5008", "072f736c7573682f000000000100f2052a010000001976a914d23fcdf86f7e756a64a7a9` +
	`688ef9903327048ed988ac00000000", [], "00000002", "1c2ac4af", "504e86b9", false], ` +
	`"id": null, "method": "mining.notify"}`

// Ensure that a job is read and put together as the first pool meant it: the share of its document's example
// has a difficulty above 1.
func TestV1_PutsTheDocumentsExampleTogether(t *testing.T) {
	m, err := ParseV1(slushNotify)
	if err != nil {
		t.Fatal(err)
	}
	j, err := parseV1Notify(&m)
	if err != nil {
		t.Fatal(err)
	}
	prefix, _ := hex.DecodeString("08000002")
	js := v1Jobs{target: pool.TargetFromBits(0x1d00ffff), prefix: prefix, size: 4, counter: 1<<24 - 1}
	w := js.ready(j, time.Now())
	if got := hex.EncodeToString(w.extranonce); got != "00000001" {
		t.Fatalf("extranonce2 is %s", got)
	}
	e := newEngine()
	e.load(w, 0x504e86ed)
	if e.hash(0xb2957c02); !w.target.Meets(&e.out) {
		t.Fatalf("hash %x does not meet difficulty 1", e.out)
	}
	if e.hash(0xb2957c03); w.target.Meets(&e.out) {
		t.Fatal("another nonce meets it too")
	}
}

// Ensure that a job which differs from the letter is refused with what is wrong.
func TestV1_ReadsJobsToTheLetter(t *testing.T) {
	for _, c := range [][3]string{
		{`"1c2ac4af"`, `"1C2AC4AF"`, "nbits"},
		{`"00000002"`, `"2"`, "version"},
		{`"504e86b9"`, `1347323577`, "is no string"},
		{`, false]`, `]`, "8 parameters"},
		{`, false]`, `, 1]`, "clean_jobs"},
		{`[],`, `["00"],`, "merkle branch"},
		{`1e00000000"`, `1e"`, "prevhash"},
		{`"072f`, `"72f`, "coinb2"},
	} {
		m, err := ParseV1(strings.Replace(slushNotify, c[0], c[1], 1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseV1Notify(&m); err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("with %s for %s: %v", c[1], c[0], err)
		}
	}
}

// Ensure that the target of a difficulty is exact where it is known, and bounded where it is tiny.
func TestV1Difficulty_IsTheTargetByDefinition(t *testing.T) {
	for text, bits := range map[string]uint32{
		"1": 0x1d00ffff, "256": 0x1c00ffff, "65536": 0x1b00ffff, "0.00390625": 0x1e00ffff, "1e-3": 0,
	} {
		got, err := V1Difficulty(json.RawMessage(text))
		if err != nil {
			t.Fatal(err)
		}
		if bits != 0 && got != pool.TargetFromBits(bits) {
			t.Errorf("difficulty %s is %v, not %v", text, got, pool.TargetFromBits(bits))
		}
	}
	if got, _ := V1Difficulty(json.RawMessage("1e-12")); got != pool.MaxTarget {
		t.Errorf("difficulty 1e-12 is %v", got)
	}
	for _, text := range []string{"0", "-1", `"1"`, "null", "NaN"} {
		if _, err := V1Difficulty(json.RawMessage(text)); err == nil {
			t.Errorf("difficulty %s is accepted", text)
		}
	}
}

// FuzzParseV1 reads any line: no panic, and a job that is read is one that can be mined.
func FuzzParseV1(f *testing.F) {
	f.Add(slushNotify)
	f.Add(`{"id":1,"result":[[["mining.notify","a"]],"00",8],"error":null}`)
	f.Add(`{"id":null,"method":"mining.set_difficulty","params":[1e-5]}`)
	f.Fuzz(func(t *testing.T, line string) {
		m, err := ParseV1(line)
		if err != nil {
			return
		}
		m.Refusal()
		if len(m.Params) == 1 {
			_, _ = V1Difficulty(m.Params[0])
		}
		if j, err := parseV1Notify(&m); err == nil {
			js := v1Jobs{size: 4}
			if w := js.ready(j, time.Now()); len(w.mid) == 0 {
				t.Fatal("work without a state")
			}
		}
	})
}
