package leaserpc

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/hashlease/hashlease/lease"
)

// pager makes page tokens that only the caller that got one can use: a token is a revision
// and a MAC over it and the caller.
//
//	8 bytes revision, big-endian | 16 bytes of HMAC-SHA-256
type pager struct{ key []byte }

const (
	pageMAC   = 16
	pageToken = 8 + pageMAC
)

// token stands for what was created before the revision.
func (p pager) token(owner string, before lease.Revision) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(before))
	return base64.RawURLEncoding.EncodeToString(append(b, p.mac(owner, b)...))
}

// before reads a token.
func (p pager) before(owner, token string) (lease.Revision, bool) {
	if len(token) != base64.RawURLEncoding.EncodedLen(pageToken) {
		return 0, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) != pageToken || !hmac.Equal(b[8:], p.mac(owner, b[:8])) {
		return 0, false
	}
	return lease.Revision(binary.BigEndian.Uint64(b)), true
}

func (p pager) mac(owner string, b []byte) []byte {
	h := hmac.New(sha256.New, p.key)
	h.Write([]byte("leases/" + owner + "/"))
	h.Write(b)
	return h.Sum(nil)[:pageMAC]
}
