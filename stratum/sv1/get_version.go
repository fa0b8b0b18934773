package sv1

// AppendGetVersion appends client.get_version: a question for the miner's software.
func AppendGetVersion(dst []byte, id uint32) []byte {
	return append(appendRequest(dst, id, "client.get_version"), "]}\n"...)
}
