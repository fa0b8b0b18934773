package sv1

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
)

// Authorize is mining.authorize: user name and password.
type Authorize struct {
	User     []byte // a part of the line
	Password []byte // a part of the line
}

// ParseAuthorize reads the parameters of mining.authorize; the password may be missing.
func ParseAuthorize(params Value) (m Authorize, err error) {
	var p [2]Value
	params.Items(p[:])
	if m.User = p[0].Text(); len(m.User) == 0 {
		return m, fmt.Errorf("%w: the user name is missing, account.worker is accepted", ErrParams)
	}
	m.Password = p[1].Text()
	return m, nil
}

// ParseDifficulty reads a difficulty: 0 if it is no finite number above 0.
func ParseDifficulty(text []byte) float64 {
	if len(text) > 40 {
		return 0
	}
	d, err := strconv.ParseFloat(string(bytes.TrimSpace(text)), 64)
	if err != nil || !(d > 0) || math.IsInf(d, 1) {
		return 0
	}
	return d
}
