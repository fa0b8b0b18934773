package sv1

// AppendSetVersionMask appends mining.set_version_mask (BIP310): the bits that may be rolled from now on.
func AppendSetVersionMask(dst []byte, mask uint32) []byte {
	dst = append(appendNotification(dst, "mining.set_version_mask"), '"')
	return append(appendWord(dst, mask), "\"]}\n"...)
}
