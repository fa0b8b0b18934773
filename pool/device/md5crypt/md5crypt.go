// Package md5crypt is the password hash "$1$" of old Unix systems, which WhatsMiners make keys of. It is
// for talking to them and protects nothing by today's measure.
package md5crypt

import (
	"crypto/md5" //nolint:gosec // it is what the hash is made of
	"strings"
)

const (
	magic   = "$1$"
	rounds  = 1000
	maxSalt = 8 // bytes of a salt that count
)

// Sum is the hash of a password with a salt, without its head: 22 characters. Of the salt eight bytes
// count, or those before a "$".
func Sum(password, salt string) string {
	salt, _, _ = strings.Cut(salt[:min(len(salt), maxSalt)], "$")
	between := md5.Sum([]byte(password + salt + password)) //nolint:gosec // as above
	first := []byte(password + magic + salt)
	for n := len(password); n > 0; n -= md5.Size {
		first = append(first, between[:min(n, md5.Size)]...)
	}
	for n := len(password); n > 0; n >>= 1 {
		if n&1 == 1 {
			first = append(first, 0)
			continue
		}
		first = append(first, password[0])
	}
	sum := md5.Sum(first) //nolint:gosec // as above
	for n := range rounds {
		sum = stir(n, sum, password, salt)
	}
	return spell(sum)
}

// stir is one of the rounds, which differ by their number.
func stir(n int, sum [md5.Size]byte, password, salt string) [md5.Size]byte {
	odd := n&1 == 1
	var b []byte
	put := func(secret bool) {
		if secret {
			b = append(b, password...)
			return
		}
		b = append(b, sum[:]...)
	}
	put(odd)
	if n%3 != 0 {
		b = append(b, salt...)
	}
	if n%7 != 0 {
		b = append(b, password...)
	}
	put(!odd)
	return md5.Sum(b) //nolint:gosec // as above
}

const letters = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// spell writes three bytes as four letters, in an order of its own.
func spell(sum [md5.Size]byte) string {
	var out []byte
	put := func(v uint, n int) {
		for range n {
			out = append(out, letters[v&63])
			v >>= 6
		}
	}
	for _, of := range [...][3]int{{0, 6, 12}, {1, 7, 13}, {2, 8, 14}, {3, 9, 15}, {4, 10, 5}} {
		put(uint(sum[of[0]])<<16|uint(sum[of[1]])<<8|uint(sum[of[2]]), 4)
	}
	put(uint(sum[11]), 2)
	return string(out)
}
