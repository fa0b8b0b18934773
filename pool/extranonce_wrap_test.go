package pool

import "testing"

// Ensure that a released prefix comes back only after all jobs were renewed twice, that one in use never
// does, and that an exhausted space says so (SV2-068).
func TestPrefixes_WrapAroundPastLiveOnes(t *testing.T) {
	p := NewPrefixes(1)
	p.space = 8
	take := func(want byte) {
		t.Helper()
		if x, ok := p.Take(); !ok || x != [4]byte{1, 0, 0, want} {
			t.Errorf("got %x, %v; want %d", x, ok, want)
		}
	}
	for n := range byte(8) {
		take(n)
		if n%2 == 0 {
			p.Release([4]byte{1, 0, 0, n})
		}
	}
	p.Release([4]byte{2, 0, 0, 1}) // another server's
	for range 2 {
		if x, ok := p.Take(); ok {
			t.Errorf("got %x, under which a job may live", x)
		}
		p.Renew()
	}
	for _, n := range []byte{0, 2, 4, 6} {
		take(n)
	}
	if x, ok := p.Take(); ok {
		t.Errorf("got %x of an exhausted space", x)
	}
	p.Release([4]byte{1, 0, 0, 5})
	p.Renew()
	p.Renew()
	take(5)
}
