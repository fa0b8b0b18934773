package sv1

import "fmt"

// ParseSuggestDifficulty reads the parameters of mining.suggest_difficulty: a number, or a string that
// holds one.
func ParseSuggestDifficulty(params Value) (float64, error) {
	var p [1]Value
	params.Items(p[:])
	d := ParseDifficulty(p[0].Text())
	if d == 0 {
		return 0, fmt.Errorf("%w: suggest_difficulty takes a number above 0", ErrParams)
	}
	return d, nil
}

// ParseSuggestTarget reads the parameters of mining.suggest_target: up to 64 hexadecimal digits, most
// significant first. The target comes in the byte order of hashes, least significant first.
func ParseSuggestTarget(params Value) (target [32]byte, err error) {
	var p [1]Value
	params.Items(p[:])
	digits := p[0].Text()
	bad := !p[0].IsString() || len(digits) == 0 || len(digits) > 64
	for i := 0; i < len(digits) && !bad; i++ {
		d := nibbles[digits[len(digits)-1-i]]
		bad = d == 0xff
		target[i/2] |= d << (4 * (i % 2))
	}
	if bad || target == [32]byte{} {
		return [32]byte{}, fmt.Errorf(
			"%w: suggest_target takes 1 to 64 hexadecimal digits, not all zero", ErrParams)
	}
	return target, nil
}
