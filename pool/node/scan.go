package node

import (
	"bytes"
	"math"
)

// scanner reads one JSON text in place. It exists because a template is three
// megabytes of hexadecimal strings: finding their ends is all the parsing they need, and
// encoding/json would look at each byte several times.
//
// The first error sticks in err; after it every method returns zero values.
type scanner struct {
	b   []byte
	i   int
	err error
}

// maxDepth bounds nesting, so that a hostile text cannot exhaust the stack.
const maxDepth = 32

func (s *scanner) fail(what string) {
	if s.err == nil {
		s.err = fieldError("(json)", "%s expected at byte %d", what, s.i)
	}
	s.i = len(s.b)
}

// peek is the next byte that is not white space, or 0 at the end.
func (s *scanner) peek() byte {
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\r', '\n':
			s.i++
		default:
			return c
		}
	}
	return 0
}

// accept consumes c if it is next.
func (s *scanner) accept(c byte) bool {
	if s.peek() != c || s.err != nil {
		return false
	}
	s.i++
	return true
}

// object calls member for each member of the object that is next. member must
// consume the value. null counts as an empty object. key aliases the input.
func (s *scanner) object(member func(key []byte)) {
	if s.null() {
		return
	}
	if !s.accept('{') {
		s.fail("object")
		return
	}
	if s.accept('}') {
		return
	}
	for s.err == nil {
		key := s.text()
		if !s.accept(':') {
			s.fail("colon")
			return
		}
		member(key)
		if s.accept('}') {
			return
		}
		if !s.accept(',') {
			s.fail("comma or }")
		}
	}
}

// array calls element for each element of the array that is next. element must
// consume the value. null counts as an empty array.
func (s *scanner) array(element func()) {
	if s.null() {
		return
	}
	if !s.accept('[') {
		s.fail("array")
		return
	}
	if s.accept(']') {
		return
	}
	for s.err == nil {
		element()
		if s.accept(']') {
			return
		}
		if !s.accept(',') {
			s.fail("comma or ]")
		}
	}
}

// null consumes null if it is next.
func (s *scanner) null() bool {
	if s.peek() != 'n' || !bytes.HasPrefix(s.b[s.i:], []byte("null")) {
		return false
	}
	s.i += len("null")
	return true
}

// text is the inside of the string that is next, escapes left as they are: none of the
// strings that we use has any. It aliases the input.
func (s *scanner) text() []byte {
	if s.peek() != '"' {
		s.fail("string")
		return nil
	}
	from := s.i + 1
	for at := from; ; at++ {
		n := bytes.IndexByte(s.b[at:], '"')
		if n < 0 {
			s.fail("end of string")
			return nil
		}
		at += n
		if !escaped(s.b[from:at]) {
			s.i = at + 1
			return s.b[from:at]
		}
	}
}

// escaped reports whether what follows the text is escaped: it ends in an odd
// number of backslashes.
func escaped(text []byte) bool {
	n := 0
	for n < len(text) && text[len(text)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// integer is the whole number that is next.
func (s *scanner) integer() int64 {
	c := s.peek()
	negative := c == '-'
	if negative {
		s.i++
	}
	from, n := s.i, int64(0)
	for ; s.i < len(s.b); s.i++ {
		d := int64(s.b[s.i]) - '0'
		if d < 0 || d > 9 {
			break
		}
		if n > (math.MaxInt64-d)/10 {
			s.fail("smaller number")
			return 0
		}
		n = n*10 + d
	}
	if s.i == from || s.i < len(s.b) && bytes.IndexByte([]byte(".eE"), s.b[s.i]) >= 0 {
		s.fail("whole number")
		return 0
	}
	if negative {
		return -n
	}
	return n
}

// value consumes any value and is its text. It aliases the input.
func (s *scanner) value() []byte {
	s.peek()
	from := s.i
	s.skip(0)
	if s.err != nil {
		return nil
	}
	return s.b[from:s.i]
}

func (s *scanner) skip(depth int) {
	if depth > maxDepth {
		s.fail("less nesting")
		return
	}
	switch s.peek() {
	case '{':
		s.object(func([]byte) { s.skip(depth + 1) })
	case '[':
		s.array(func() { s.skip(depth + 1) })
	case '"':
		s.text()
	default:
		from := s.i
		for s.i < len(s.b) && plain(s.b[s.i]) {
			s.i++
		}
		if s.i == from {
			s.fail("value")
		}
	}
}

// plain reports whether c may be part of a number, true, false or null.
func plain(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c == '-' || c == '+' || c == '.' || c == 'E'
}
