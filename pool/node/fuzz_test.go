package node

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"testing"
)

// FuzzDecodeSpooled reads any file as a spooled block: what is accepted has the bytes that were announced,
// and no more.
func FuzzDecodeSpooled(f *testing.F) {
	block := bytes.Repeat([]byte{1}, headerSize+1)
	f.Add(append([]byte(`{"height":7,"worker":"a.b","value":5,"size":81}`+"\n"), block...))
	f.Add([]byte(`{"height":7,"size":0}` + "\n"))
	f.Add([]byte(`{"height":7}`))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := decodeSpooled(text)
		if err != nil {
			if len(err.Error()) > 10*(len(text)+100) || bytes.Contains([]byte(err.Error()), []byte("%!")) {
				t.Errorf("the error is %q", err)
			}
			return
		}
		if len(b.Raw) < headerSize || len(b.Raw) >= len(text) || !bytes.HasSuffix(text, b.Raw) {
			t.Errorf("%d bytes of block of a file of %d", len(b.Raw), len(text))
		}
	})
}

// FuzzAnnounce gives the node's notifications any parameters: news is at most what was announced, and
// bounded.
func FuzzAnnounce(f *testing.F) {
	head := hex.EncodeToString(make([]byte, headerSize))
	for _, params := range []string{`[7,"` + head + `"]`, `[7,""]`, `[]`, `[1e99,"x"]`, `{}`, `null`, ``} {
		f.Add([]byte(params), uint8(1))
	}
	f.Add([]byte(`[7,"`+head+`"]`), uint8(255))
	f.Fuzz(func(t *testing.T, params []byte, times uint8) {
		s := &socket{news: make(chan struct{}, 1)}
		e := envelope{method: "filteredblockconnected", params: json.RawMessage(params)}
		told := 0
		for range times {
			if s.announce(e) == nil {
				told++
			}
		}
		if len(s.blocks) > min(told, maxNews) || told > 0 && len(s.news) != 1 {
			t.Errorf("%d blocks of %d told, %d wakes", len(s.blocks), told, len(s.news))
		}
	})
}
