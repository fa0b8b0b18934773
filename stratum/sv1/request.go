package sv1

import (
	"bytes"
	"fmt"
)

// MaxID is the longest id of a request, in bytes as written.
const MaxID = 128

// Request is one line of a miner. Its fields are parts of the line.
type Request struct {
	ID     Value // number, string or null as it was written: answers repeat it verbatim
	Method []byte
	Params Value // missing if the line has none
	Result Value // of a line that answers a request of ours; it has no method
}

// Answers reports whether the line answers a request of ours.
func (r *Request) Answers() bool { return len(r.Method) == 0 }

// ParseRequest reads one line, with or without its line break. Keys that are not known are skipped, and of
// those that come twice the last counts. With an error, ID is set if it was read.
func ParseRequest(line []byte) (r Request, err error) {
	s := scanner{b: line}
	if s.space() != '{' {
		return r, fmt.Errorf("%w: it does not start with a brace", ErrSyntax)
	}
	whole, err := s.value()
	if err != nil {
		return r, err
	}
	if s.space() != 0 || s.i != len(line) {
		return r, fmt.Errorf("%w: something follows it", ErrSyntax)
	}
	answered := r.read(whole)
	switch {
	case !validID(r.ID):
		r.ID = nil
		return r, fmt.Errorf("%w of at most %d bytes", ErrID, MaxID)
	case len(r.Method) == 0 && !answered:
		return r, ErrMethod
	}
	return r, nil
}

// read takes the fields and reports whether there is a result or an error.
func (r *Request) read(whole Value) (answered bool) {
	whole.fields(func(key []byte, v Value) {
		switch string(key) {
		case "id":
			r.ID = v
		case "method":
			r.Method = bytes.TrimSpace(v.Text())
		case "params":
			r.Params = v
		case "result":
			r.Result, answered = v, true
		case "error":
			answered = true
		}
	})
	return answered
}

func validID(id Value) bool {
	return len(id) <= MaxID &&
		(id.IsNull() || id.IsString() || id[0] == '-' || id[0] >= '0' && id[0] <= '9')
}

// Number is the id as a number, if it is written as a plain one that fits 32 bits.
func (v Value) Number() (n uint32, ok bool) {
	if len(v) == 0 || len(v) > 10 || v[0] == '0' && len(v) > 1 {
		return 0, false
	}
	sum := uint64(0)
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		sum = sum*10 + uint64(c-'0')
	}
	return uint32(sum), sum < 1<<32
}
