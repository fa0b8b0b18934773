package sv1

// AppendShowMessage appends client.show_message: a line for the people who look at the miner.
func AppendShowMessage(dst []byte, text string) []byte {
	return append(AppendString(appendNotification(dst, "client.show_message"), text), "]}\n"...)
}
