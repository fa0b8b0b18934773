package main

import "github.com/hashlease/hashlease/lease/leaserpc"

// tenantOfKey is the owner that a key names; empty if it is none of ours.
func tenantOfKey(key string) string {
	owner, err := leaserpc.ParseKey(key)
	if err != nil {
		return ""
	}
	return owner
}

// newKey makes a key and the hash of it that the configuration keeps.
func newKey(owner string) (key, hash string, err error) {
	key, err = leaserpc.NewKey(owner)
	if err != nil {
		return "", "", err
	}
	return key, leaserpc.HashKey(key).String(), nil
}
