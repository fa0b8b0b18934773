package sv1_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/hashlease/hashlease/stratum/sv1"
)

var lines = []string{
	`{"id":1,"method":"mining.subscribe","params":["x/1","0011"]}`,
	`{"id":"a","method":"mining.submit","params":["a.b","1f","00","5f5e1000","1a2b3c4d","1fffe000"]}`,
	`{"id":null,"method":"mining.configure","params":[["version-rolling"],` +
		`{"version-rolling.mask":"ffffffff"}]}`,
	`{"id":1.5e3,"result":[{"a":[true,false,null,"\ud834\udd1e\n"]}],"error":null}`,
	"{\"id\":1,\"method\":\"\xff\xfe\"}", `{"a":[[[[[[[[[[]]]]]]]]]]}`,
}

// FuzzParseRequest: nothing panics, what is accepted is JSON (but for leading zeros and bytes that are no
// UTF-8), what encoding/json reads is read alike, and its parts lie within the line.
func FuzzParseRequest(f *testing.F) {
	for _, l := range lines {
		f.Add([]byte(l))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := sv1.ParseRequest(bytes.Clone(line))
		var std struct {
			ID     json.RawMessage `json:"id"`
			Method any             `json:"method"`
		}
		if err != nil {
			return
		}
		if len(r.ID) > sv1.MaxID || len(r.Method)+len(r.Params)+len(r.Result) > len(line) {
			t.Errorf("parts are longer than the line: %+v", r)
		}
		if json.Unmarshal(line, &std) == nil && json.Valid(r.ID) {
			answer := sv1.AppendTrue(nil, r.ID)
			if !json.Valid(answer) || bytes.Count(answer, []byte("\n")) != 1 {
				t.Errorf("the answer is %s", answer)
			}
		}
	})
}

// FuzzMethods: the parameters of every method are read without a panic, and bounded.
func FuzzMethods(f *testing.F) {
	for _, l := range lines {
		f.Add([]byte(l))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		for range 7 {
			r, err := sv1.ParseRequest(bytes.Clone(line))
			if err != nil {
				return
			}
			_, _ = sv1.ParseSubmit(r.Params)
			if r, err = sv1.ParseRequest(bytes.Clone(line)); err != nil {
				t.Fatal(err)
			}
			_ = sv1.ParseSubscribe(r.Params)
			if r, err = sv1.ParseRequest(bytes.Clone(line)); err != nil {
				t.Fatal(err)
			}
			if m, err := sv1.ParseAuthorize(r.Params); err == nil && len(m.User)+len(m.Password) > len(line) {
				t.Errorf("%+v", m)
			}
			if r, err = sv1.ParseRequest(bytes.Clone(line)); err != nil {
				t.Fatal(err)
			}
			m := sv1.ParseConfigure(r.Params)
			if len(m.Unknown) > 16 {
				t.Errorf("%d unknown extensions", len(m.Unknown))
			}
			answer := sv1.AppendConfigured(nil, r.ID, &m, sv1.Configured{})
			if len(answer) > 8*len(line)+200 {
				t.Errorf("an answer of %d bytes to %d", len(answer), len(line))
			}
			if r, err = sv1.ParseRequest(bytes.Clone(line)); err != nil {
				t.Fatal(err)
			}
			if d, err := sv1.ParseSuggestDifficulty(r.Params); err == nil && !(d > 0) {
				t.Errorf("difficulty %v", d)
			}
			_, _ = sv1.ParseSuggestTarget(r.Params)
		}
	})
}

// FuzzSubmit: what is written is read again as it was.
func FuzzSubmit(f *testing.F) {
	f.Add(uint32(7), "a.b", "1f", uint64(1), uint32(2), uint32(3), uint32(4), true)
	f.Fuzz(func(t *testing.T, id uint32, a, b string, roll uint64, at, nonce, bits uint32, rolled bool) {
		worker, job := a, b
		m := sv1.Submit{Worker: []byte(worker), Job: []byte(job), Time: at, Nonce: nonce, Rolled: rolled}
		if rolled {
			m.Bits = bits
		}
		for i := range m.Extranonce2 {
			m.Extranonce2[i] = byte(roll >> (8 * i))
		}
		line := sv1.AppendSubmit(nil, id, m)
		r, err := sv1.ParseRequest(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		got, err := sv1.ParseSubmit(r.Params)
		n, ok := r.ID.Number()
		if err != nil || n != id || !ok || string(got.Worker) != string([]rune(worker)) ||
			string(got.Job) != string([]rune(job)) || got.Extranonce2 != m.Extranonce2 || got.Time != at ||
			got.Nonce != nonce || got.Bits != m.Bits || got.Rolled != rolled {
			t.Errorf("%s is read as %+v, %v", line, got, err)
		}
	})
}
