package device

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

// An answer ends with its object, a zero byte or the stream, whatever pieces it comes in, and is bounded.
func TestReadObject_FindsTheEnd(t *testing.T) {
	for from, want := range map[string]string{
		`{"a":"}\"{"}tail`: `{"a":"}\"{"}`, `{"a":[{}]}`: `{"a":[{}]}`,
		"text\x00more": "text", "cut {": "cut {",
	} {
		got, err := readObject(iotest.OneByteReader(strings.NewReader(from)))
		if err != nil || string(got) != want {
			t.Errorf("%q: %q, %v; want %q", from, got, err, want)
		}
	}
	if _, err := readObject(strings.NewReader("")); !errors.Is(err, errSilent) {
		t.Errorf("nothing: %v, want errSilent", err)
	}
	long := strings.NewReader("{" + strings.Repeat(" ", MaxAnswer+1))
	if _, err := readObject(long); !errors.Is(err, ErrAnswer) || len(err.Error()) > 200 {
		t.Errorf("too long: %v, want ErrAnswer", err)
	}
}
