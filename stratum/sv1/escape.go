package sv1

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// unescape undoes the escapes of a string in place. It never becomes longer: the shortest escape of
// a rune has as many bytes as its UTF-8, or more.
func unescape(b []byte) []byte {
	from := bytes.IndexByte(b, '\\')
	if from < 0 {
		return b
	}
	to := from
	for from < len(b) {
		c := b[from]
		if c != '\\' || from+1 == len(b) {
			b[to] = c
			to, from = to+1, from+1
			continue
		}
		if b[from+1] == 'u' {
			r, used := escapedRune(b[from:])
			to += utf8.EncodeRune(b[to:to+utf8.UTFMax:from+used], r)
			from += used
			continue
		}
		b[to] = plain(b[from+1])
		to, from = to+1, from+2
	}
	return b[:to]
}

// plain is what a backslash and a letter stand for; an unknown one stands for itself.
func plain(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// escapedRune reads \uXXXX, or two of them that are one rune, and says how many bytes that were. What is
// neither is the replacement character.
func escapedRune(b []byte) (r rune, used int) {
	first, ok := unit(b)
	if !ok {
		return utf8.RuneError, min(len(b), 6)
	}
	if !utf16.IsSurrogate(first) {
		return first, 6
	}
	if second, ok := unit(b[6:]); ok {
		if r = utf16.DecodeRune(first, second); r != utf8.RuneError {
			return r, 12
		}
	}
	return utf8.RuneError, 6
}

// unit reads one \uXXXX.
func unit(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	n, ok := hexNumber(b[2:6])
	return rune(n), ok
}

// AppendString appends a text as a JSON string. What is no UTF-8 becomes the replacement
// character.
func AppendString(dst []byte, text string) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ' || r == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
