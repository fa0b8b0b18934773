//go:build race

package noise

// stride thins out the tests that flip every bit: the race detector makes the curve ten times
// slower. It is prime to 8, so that all bits of a byte take their turn.
const stride = 9
