package audit

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// MaxRecord is the longest record in bytes; longer texts are cut.
const MaxRecord = 16 << 10

// maxText is the longest text of a field in bytes, before escaping.
const maxText = 400

// encoder appends the fields of an object, leaving out zeros. All but the first field follow a comma.
type encoder struct{ b []byte }

func (e *encoder) key(name string) {
	if e.b[len(e.b)-1] != '{' {
		e.b = append(e.b, ',')
	}
	e.b = append(e.b, '"')
	e.b = append(e.b, name...)
	e.b = append(e.b, '"', ':')
}

func (e *encoder) text(name, v string) {
	if v != "" {
		e.key(name)
		e.b = appendText(e.b, v)
	}
}

func (e *encoder) instant(name string, t time.Time) {
	if !t.IsZero() {
		e.key(name)
		e.b = append(e.b, '"')
		e.b = append(t.UTC().AppendFormat(e.b, timeForm), '"')
	}
}

func (e *encoder) count(name string, v uint64) {
	if v != 0 || name == "seq" {
		e.key(name)
		e.b = strconv.AppendUint(e.b, v, 10)
	}
}

func (e *encoder) number(name string, v int64) {
	if v != 0 {
		e.key(name)
		e.b = strconv.AppendInt(e.b, v, 10)
	}
}

// float writes the shortest decimal that reads back as v.
func (e *encoder) float(name string, v float64) {
	if v != 0 && !math.IsNaN(v) && !math.IsInf(v, 0) {
		e.key(name)
		e.b = strconv.AppendFloat(e.b, v, 'g', -1, 64)
	}
}

func (e *encoder) flag(name string, v bool) {
	if v {
		e.key(name)
		e.b = append(e.b, "true"...)
	}
}

const hexDigits = "0123456789abcdef"

// appendText writes a JSON string: quote, backslash and control characters are escaped, bytes that are no
// UTF-8 become U+FFFD, everything else stands for itself. What is longer than maxText is cut.
func appendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		if i >= maxText {
			dst = append(dst, "..."...)
			break
		}
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20 || c == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		}
		i++
	}
	return append(dst, '"')
}
