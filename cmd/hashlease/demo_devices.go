package main

// demoAway lets every so many-th machine of the demo mine at another pool: a full worker all the same.
const demoAway = 10

func demoElsewhere(vendor bool) int {
	if !vendor {
		return 0
	}
	return demoAway
}
