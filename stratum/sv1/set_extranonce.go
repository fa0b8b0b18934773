package sv1

import "strconv"

// AppendSetExtranonce appends mining.set_extranonce, which counts for the jobs that follow.
func AppendSetExtranonce(dst, extranonce1 []byte, size int) []byte {
	dst = append(appendNotification(dst, "mining.set_extranonce"), '"')
	dst = append(appendHex(dst, extranonce1), '"', ',')
	return append(strconv.AppendInt(dst, int64(size), 10), "]}\n"...)
}
