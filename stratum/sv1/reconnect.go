package sv1

// AppendReconnect appends client.reconnect without parameters: the miner comes back to where it is.
func AppendReconnect(dst []byte) []byte {
	return append(appendNotification(dst, "client.reconnect"), "]}\n"...)
}
