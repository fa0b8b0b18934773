package md5crypt_test

import (
	"fmt"
	"testing"

	"github.com/hashlease/hashlease/pool/device/md5crypt"
)

// The hash is the one that `openssl passwd -1 -salt SALT PASSWORD` (3.0) prints.
func TestSum_IsOpenSSLs(t *testing.T) {
	for _, c := range [][3]string{
		{"hunter2", "BQ5hoXV9", "JJUllFnV1Hwb82CxCT1Xp1"},
		{"abc1234", "jbzkfQls", "PRmWT01Zp318ZiFYMp1w21"},
		{"x", "ab", "e2KlfqG5YBMTjSz7XF.Eu1"},
		{"a-much-longer-password-than-sixteen", "12345678", "cByOrzWsVILVYR.UXzR511"},
		{"", "saltsalt", "5Jhcit4zN9UlGiA0txPkO0"},
		{"hunter2", "BQ5hoXV9 and more", "JJUllFnV1Hwb82CxCT1Xp1"},
	} {
		if got := md5crypt.Sum(c[0], c[1]); got != c[2] {
			t.Errorf("%q with %q: %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

// The first step of a WhatsMiner key.
func ExampleSum() {
	fmt.Println(md5crypt.Sum("hunter2", "BQ5hoXV9"))
	// Output: JJUllFnV1Hwb82CxCT1Xp1
}
