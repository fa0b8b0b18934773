package sv1

import (
	"math"
	"strconv"
)

// AppendSetDifficulty appends mining.set_difficulty, which counts for the jobs that follow. A whole number
// has no fraction: older firmware reads no further.
func AppendSetDifficulty(dst []byte, difficulty float64) []byte {
	dst = appendNotification(dst, "mining.set_difficulty")
	return append(AppendDifficulty(dst, difficulty), "]}\n"...)
}

// AppendDifficulty appends a difficulty without an exponent.
func AppendDifficulty(dst []byte, difficulty float64) []byte {
	if whole := math.Trunc(difficulty); whole == difficulty && whole < 0x1p63 {
		return strconv.AppendInt(dst, int64(whole), 10)
	}
	return strconv.AppendFloat(dst, difficulty, 'f', -1, 64)
}
