package pool

import (
	"errors"
	"fmt"
	"slices"
)

// MaxOutputs bounds the payments beside the pool's and a miner's own.
const MaxOutputs = 4096

// whole is the pool's part of a coinbase in the unit of Output.Millionths.
const whole = 1_000_000

// Output is a payment that the pool owes and would like to make by the coinbase: so much, or so much of its
// own part.
type Output struct {
	Script     string // output script
	Value      int64  // satoshi; or 0 and
	Millionths uint32 // ... of the pool's part, rounded down to a satoshi
}

// SetOutputs says what the pool would like to pay by the coinbase beside itself, most important first.
// It counts for the jobs with transactions that Within gives from now on; jobs of a new tip stay small.
// Before, and for Advance's own jobs, the pool gets all.
//
// An output is made only if it fits: the miner's bound on a coinbase, and what is left of the pool's part.
// What is not made stays with the pool's own output, and is owed as before.
func (a *Assembler) SetOutputs(outputs []Output) error {
	if err := validateOutputs(outputs); err != nil {
		return err
	}
	if len(outputs) == 0 {
		a.outputs.Store(nil)
		return nil
	}
	kept := slices.Clone(outputs)
	a.outputs.Store(&kept)
	return nil
}

// validateOutputs lists every fault.
func validateOutputs(outputs []Output) error {
	var faults []error
	if n := len(outputs); n > MaxOutputs {
		return fmt.Errorf("%d outputs: up to %d are accepted", n, MaxOutputs)
	}
	sum, parts := int64(0), uint64(0)
	for i, o := range outputs {
		if n := len(o.Script); n == 0 || n > maxPayout {
			faults = append(faults, fmt.Errorf(
				"output %d: script has %d bytes: 1 to %d are accepted", i+1, n, maxPayout))
		}
		switch {
		case o.Value < 0 || o.Value > maxMoney || (o.Value > 0) == (o.Millionths > 0):
			faults = append(faults, fmt.Errorf(
				"output %d: %d satoshi and %d millionths: one of the two is accepted",
				i+1, o.Value, o.Millionths))
		case o.Value > maxMoney-sum:
			faults = append(faults, fmt.Errorf("output %d: the sum is more than all there will be", i+1))
		default:
			sum += o.Value
		}
		parts += uint64(o.Millionths)
	}
	if parts > whole {
		faults = append(faults, fmt.Errorf("outputs of %d millionths: up to %d are accepted", parts, whole))
	}
	return errors.Join(faults...)
}

// size is what an output takes of a coinbase.
func (o output) size() int { return 8 + 1 + len(o.script) }

// fit pays what fits of the outputs out of the pool's own one: in so many bytes, in order. What does not fit
// is passed over.
func fit(own output, owed []Output, room int) (rest output, made []output) {
	rest = own
	for _, o := range owed {
		out := output{o.Value, o.Script}
		if o.Millionths > 0 {
			out.value = own.value/whole*int64(o.Millionths) + own.value%whole*int64(o.Millionths)/whole
		}
		if out.value == 0 || out.value > rest.value || out.size() > room {
			continue
		}
		rest.value -= out.value
		room -= out.size()
		made = append(made, out)
	}
	return rest, made
}
