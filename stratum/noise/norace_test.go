//go:build !race

package noise

// stride is the step between flipped bits: every one.
const stride = 1
