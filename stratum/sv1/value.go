package sv1

import "fmt"

// MaxDepth is how deep arrays and objects of a line may nest.
const MaxDepth = 16

// Value is one JSON value as it stands in its line: a part of it, not a copy. The zero value is a
// value that is missing.
type Value []byte

// IsString reports whether the value is a string.
func (v Value) IsString() bool { return len(v) > 0 && v[0] == '"' }

// IsNull reports whether the value is missing, or null.
func (v Value) IsNull() bool { return len(v) == 0 || v[0] == 'n' }

// IsTrue reports whether the value is true.
func (v Value) IsTrue() bool { return len(v) > 0 && v[0] == 't' }

// Text is a string without its quotes and escapes, a number as it is written, and nothing
// for everything else. Escapes are undone in place: it is to be asked for once, and the line is no
// longer whole after that.
func (v Value) Text() []byte {
	switch {
	case v.IsString():
		return unescape(v[1 : len(v)-1])
	case len(v) > 0 && (v[0] == '-' || v[0] >= '0' && v[0] <= '9'):
		return v
	}
	return nil
}

// Items writes the items of an array to dst and says how many there are, more than dst holds if
// there are more. Everything that is no array has none.
func (v Value) Items(dst []Value) int {
	if len(v) == 0 || v[0] != '[' {
		return 0
	}
	s, n := scanner{b: v, i: 1}, 0
	for s.space() != ']' {
		if s.peek() == ',' {
			s.i++
		}
		item, _ := s.value() // it was checked when the line was
		if n < len(dst) {
			dst[n] = item
		}
		n++
	}
	return n
}

// Field is the value of a key of an object, missing if the object has no such key. Of
// several the last counts.
func (v Value) Field(key string) (found Value) {
	v.fields(func(k []byte, field Value) {
		if string(k) == key {
			found = field
		}
	})
	return found
}

// fields visits the keys and values of an object.
func (v Value) fields(visit func(key []byte, field Value)) {
	if len(v) == 0 || v[0] != '{' {
		return
	}
	s := scanner{b: v, i: 1}
	for s.space() != '}' {
		if s.peek() == ',' {
			s.i++
		}
		key, _ := s.value() // it was checked when the line was
		s.space()
		s.i++ // the colon
		field, _ := s.value()
		visit(key[1:len(key)-1], field)
	}
}

// scanner walks over JSON text.
type scanner struct {
	b []byte
	i int
}

// peek is the byte at hand, 0 at the end.
func (s *scanner) peek() byte {
	if s.i >= len(s.b) {
		return 0
	}
	return s.b[s.i]
}

// space skips white space and returns the byte after it.
func (s *scanner) space() byte {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\r', '\n':
			s.i++
		default:
			return s.b[s.i]
		}
	}
	return 0
}

// value takes one value and checks its form.
func (s *scanner) value() (Value, error) {
	c := s.space()
	start := s.i
	var err error
	switch {
	case c == '"':
		err = s.str()
	case c == '{' || c == '[':
		err = s.nested()
	default:
		err = s.bare()
	}
	return Value(s.b[start:s.i]), err
}

// str takes a string.
func (s *scanner) str() error {
	for i := s.i + 1; i < len(s.b); i++ {
		switch c := s.b[i]; {
		case c == '"':
			s.i = i + 1
			return nil
		case c == '\\':
			i++
		case c < ' ':
			return fmt.Errorf("%w: byte 0x%02x in a string", ErrSyntax, c)
		}
	}
	return fmt.Errorf("%w: a string does not end", ErrSyntax)
}

// bare takes a number, true, false or null.
func (s *scanner) bare() error {
	start := s.i
	for s.i < len(s.b) {
		c := s.b[s.i]
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c == '-' || c == '+' || c == '.' || c == 'E') {
			break
		}
		s.i++
	}
	word := s.b[start:s.i]
	switch {
	case len(word) == 0:
		return fmt.Errorf("%w: a value is missing", ErrSyntax)
	case isNumber(word), string(word) == "true", string(word) == "false", string(word) == "null":
		return nil
	}
	return fmt.Errorf("%w: a value is neither number, true, false nor null", ErrSyntax)
}

// isNumber reports whether the text is a JSON number; leading zeros are forgiven.
func isNumber(b []byte) bool {
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	b, ok := afterDigits(b)
	if !ok {
		return false
	}
	if len(b) > 0 && b[0] == '.' {
		if b, ok = afterDigits(b[1:]); !ok {
			return false
		}
	}
	if len(b) > 0 && (b[0] == 'e' || b[0] == 'E') {
		b = b[1:]
		if len(b) > 0 && (b[0] == '+' || b[0] == '-') {
			b = b[1:]
		}
		if b, ok = afterDigits(b); !ok {
			return false
		}
	}
	return len(b) == 0
}

// afterDigits is what follows one digit or more.
func afterDigits(b []byte) ([]byte, bool) {
	i := 0
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return b[i:], i > 0
}

// nested takes an array or an object, without recursion: whether a level is an object is a bit.
func (s *scanner) nested() error {
	var objects uint32
	depth := 0
	for {
		if c := s.space(); c == '{' || c == '[' {
			if depth++; depth > MaxDepth {
				return fmt.Errorf("%w: it nests deeper than %d", ErrSyntax, MaxDepth)
			}
			s.i++
			if objects <<= 1; c == '{' {
				objects |= 1
			}
			if !closing(s.space(), objects) {
				if err := s.key(objects); err != nil {
					return err
				}
				continue
			}
		} else if err := s.scalar(); err != nil {
			return err
		}
		for closing(s.space(), objects) {
			s.i++
			objects >>= 1
			if depth--; depth == 0 {
				return nil
			}
		}
		if s.peek() != ',' {
			return fmt.Errorf("%w: a comma or the end of a list is missing", ErrSyntax)
		}
		s.i++
		if err := s.key(objects); err != nil {
			return err
		}
	}
}

// closing reports whether a byte ends the innermost list.
func closing(c byte, objects uint32) bool {
	return c == '}' && objects&1 != 0 || c == ']' && objects&1 == 0
}

// scalar takes a string or a bare value.
func (s *scanner) scalar() error {
	if s.peek() == '"' {
		return s.str()
	}
	return s.bare()
}

// key takes a key and its colon, if the innermost list is an object.
func (s *scanner) key(objects uint32) error {
	if objects&1 == 0 {
		return nil
	}
	if s.space() != '"' {
		return fmt.Errorf("%w: a key is missing", ErrSyntax)
	}
	if err := s.str(); err != nil {
		return err
	}
	if s.space() != ':' {
		return fmt.Errorf("%w: a colon is missing after a key", ErrSyntax)
	}
	s.i++
	return nil
}
