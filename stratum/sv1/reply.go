package sv1

import "strconv"

// AppendID appends the beginning of a reply: everything up to the result.
func appendID(dst []byte, id Value) []byte {
	dst = append(dst, `{"id":`...)
	if len(id) == 0 {
		dst = append(dst, "null"...)
	}
	return append(append(dst, id...), `,"result":`...)
}

// endResult is what follows a result. NiceHash refuses pools whose answers have no error.
const endResult = `,"error":null}` + "\n"

// AppendTrue answers a request with true.
func AppendTrue(dst []byte, id Value) []byte {
	return append(append(appendID(dst, id), "true"...), endResult...)
}

// AppendTrueNumber is AppendTrue for an id that is a plain number.
func AppendTrueNumber(dst []byte, id uint32) []byte {
	dst = append(dst, `{"id":`...)
	dst = strconv.AppendUint(dst, uint64(id), 10)
	return append(append(dst, `,"result":true`...), endResult...)
}

// AppendResult answers a request with a value that is JSON.
func AppendResult(dst []byte, id Value, result string) []byte {
	return append(append(appendID(dst, id), result...), endResult...)
}

// AppendError answers a request with an error: a number and words for people.
func AppendError(dst []byte, id Value, code int, message string) []byte {
	dst = append(appendID(dst, id), `null,"error":[`...)
	dst = strconv.AppendInt(dst, int64(code), 10)
	dst = append(dst, ',')
	dst = AppendString(dst, message)
	return append(dst, ",null]}\n"...)
}

// appendNotification appends the beginning of a message that nobody asked for: its parameters and
// the end are to follow.
func appendNotification(dst []byte, method string) []byte {
	dst = append(dst, `{"id":null,"method":"`...)
	return append(append(dst, method...), `","params":[`...)
}

// appendRequest appends the beginning of a request that is to be answered.
func appendRequest(dst []byte, id uint32, method string) []byte {
	dst = append(dst, `{"id":`...)
	dst = strconv.AppendUint(dst, uint64(id), 10)
	dst = append(dst, `,"method":"`...)
	return append(append(dst, method...), `","params":[`...)
}
