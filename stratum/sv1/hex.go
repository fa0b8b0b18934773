package sv1

// nibbles has the value of each hexadecimal digit, of either case, and 0xff for what is none.
var nibbles = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range byte(10) {
		t['0'+i] = i
	}
	for i := range byte(6) {
		t['a'+i], t['A'+i] = 10+i, 10+i
	}
	return t
}()

// hexNumber reads 1 to 8 digits as a number, most significant first; of more it reads the first 8.
func hexNumber(b []byte) (n uint32, ok bool) {
	if len(b) > 8 {
		b = b[:8]
	}
	for _, c := range b {
		d := nibbles[c]
		if d == 0xff {
			return 0, false
		}
		n = n<<4 | uint32(d)
	}
	return n, len(b) > 0
}

// ParseHex reads 1 to 8 hexadecimal digits as a number, most significant first.
func ParseHex(b []byte) (n uint32, ok bool) {
	if len(b) > 8 {
		return 0, false
	}
	return hexNumber(b)
}

// hexInto fills dst with digits from the left: what is missing is zero, what is too much is left out.
func hexInto(dst, digits []byte) bool {
	clear(dst)
	for i, c := range digits {
		if i/2 >= len(dst) {
			break
		}
		d := nibbles[c]
		if d == 0xff {
			return false
		}
		dst[i/2] |= d << (4 * (1 - i%2))
	}
	return true
}

const hexDigits = "0123456789abcdef"

// appendHex appends bytes in lower case.
func appendHex(dst, b []byte) []byte {
	for _, c := range b {
		dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
	}
	return dst
}

// appendWord appends a number as exactly 8 digits, most significant first.
func appendWord(dst []byte, n uint32) []byte {
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[n>>shift&15])
	}
	return dst
}
