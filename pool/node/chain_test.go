package node

import (
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
)

// Ensure the main network's first difficulty changes come out as in the chain
// (the cases of Bitcoin Core's pow_tests.cpp).
func TestRetarget_MatchesMainNetwork(t *testing.T) {
	for _, tt := range []struct {
		first, last uint32
		bits, want  uint32
	}{
		{1261130161, 1262152739, 0x1d00ffff, 0x1d00d86a},
		{1231006505, 1233061996, 0x1d00ffff, 0x1d00ffff},
		{1279008237, 1279297671, 0x1c05a3f4, 0x1c0168fd},
		{1263163443, 1269211443, 0x1c387f6f, 0x1d00e1fd},
	} {
		if got := retarget(&chaincfg.MainNetParams, tt.bits, int64(tt.last)-int64(tt.first)); got != tt.want {
			t.Errorf("from %08x: %08x, want %08x", tt.bits, got, tt.want)
		}
	}
}

// testChain has blocks 600 seconds apart up to the height.
func testChain(p *chaincfg.Params, height int32) *chain {
	c := &chain{params: p}
	for h := max(0, height-chainSpan+1); h <= height; h++ {
		c.recent = append(c.recent, testHeader(h, p.PowLimitBits))
	}
	first := testHeader(height-height%c.period(), p.PowLimitBits)
	c.first = &first
	return c
}

func testHeader(height int32, bits uint32) header {
	h := header{height: height, time: 1_600_000_000 + 600*uint32(height), bits: bits}
	h.hash = chainhash.HashH([]byte{byte(height), byte(height >> 8), byte(height >> 16)})
	h.prev = chainhash.HashH([]byte{byte(height - 1), byte((height - 1) >> 8), byte((height - 1) >> 16)})
	return h
}

// Ensure a period of 2016 blocks has 2015 gaps in it, as the main network has it.
func TestChain_NextBits(t *testing.T) {
	main := testChain(&chaincfg.MainNetParams, 2015)
	if bits, ok := main.nextBits(); !ok || bits != 0x1d00ffde {
		t.Errorf("main network's boundary: %08x %v", bits, ok) // 0x00ffff * 2015/2016
	}
	main.first = nil
	if _, ok := main.nextBits(); ok {
		t.Error("a target was guessed without the period's first block")
	}
	if bits, ok := testChain(&chaincfg.MainNetParams, 2016).nextBits(); !ok || bits != 0x1d00ffff {
		t.Errorf("inside a period: %08x %v", bits, ok)
	}
	test := testChain(&chaincfg.TestNet3Params, 100)
	if _, ok := test.nextBits(); !ok {
		t.Error("testnet3 with the easiest target all along is exact")
	}
	test.first.bits = 0x1c00ffff
	if _, ok := test.nextBits(); ok {
		t.Error("testnet3 depends on the clock")
	}
	four := testChain(&chaincfg.TestNet4Params, 2015)
	four.first.bits = 0x1c00ffff
	if bits, ok := four.nextBits(); !ok || bits>>24 != 0x1c {
		t.Errorf("testnet4 goes on from the period's first block: %08x %v", bits, ok)
	}
}

// Ensure the smallest time is above the median of eleven blocks, or fewer at the start of the chain.
func TestChain_MinTime(t *testing.T) {
	for _, tt := range []struct{ height, median int32 }{
		{0, 0}, {1, 1}, {2, 1}, {9, 5}, {10, 5}, {11, 6}, {500, 495},
	} {
		got, ok := testChain(&chaincfg.MainNetParams, tt.height).minTime()
		if want := testHeader(tt.median, 0).time + 1; !ok || got != want {
			t.Errorf("height %d: %d %v, want %d", tt.height, got, ok, want)
		}
	}
	c := testChain(&chaincfg.TestNet4Params, 2015)
	if got, _ := c.minTime(); got != testHeader(2014, 0).time {
		t.Errorf("testnet4's boundary: %d, want ten minutes before the tip", got)
	}
	c.recent = c.recent[len(c.recent)-5:]
	if _, ok := c.next(); ok {
		t.Error("a time was guessed from five headers")
	}
}

// Ensure reorganisations are followed as far as headers are known, and no further.
func TestChain_Extend(t *testing.T) {
	c := testChain(&chaincfg.MainNetParams, 100)
	fork := header{hash: chainhash.Hash{1}, prev: testHeader(97, 0).hash}
	if !c.extend(fork) || c.tip().height != 98 || c.tip().hash != fork.hash {
		t.Errorf("tip %+v", c.tip())
	}
	if c.extend(header{hash: chainhash.Hash{2}, prev: chainhash.Hash{3}}) {
		t.Error("a block on an unknown one was taken")
	}
	for range 100 {
		prev := c.tip().hash
		if !c.extend(header{hash: chainhash.HashH(prev[:]), prev: prev}) {
			t.Fatal("a next block was refused")
		}
	}
	if len(c.recent) != chainSpan || c.tip().height != 198 {
		t.Errorf("%d headers up to %d", len(c.recent), c.tip().height)
	}
}

// Ensure going back over a difficulty change forgets the new period.
func TestChain_TruncateForgetsPeriod(t *testing.T) {
	c := testChain(&chaincfg.MainNetParams, 2015)
	if !c.extend(header{hash: chainhash.Hash{1}, prev: c.tip().hash}) || c.first.hash != (chainhash.Hash{1}) {
		t.Fatalf("first %+v", c.first)
	}
	c.truncate(len(c.recent) - 1)
	if c.first != nil {
		t.Errorf("first %+v", c.first)
	}
	if _, ok := c.nextBits(); ok {
		t.Error("a target was guessed")
	}
}

// Ensure subsidies halve and end.
func TestSubsidy(t *testing.T) {
	for height, want := range map[int32]int64{
		1: 50e8, 209_999: 50e8, 210_000: 25e8, 840_000: 3.125e8, 6_930_000: 0, 1<<31 - 1: 0,
	} {
		if got := subsidy(&chaincfg.MainNetParams, height); got != want {
			t.Errorf("height %d: %d, want %d", height, got, want)
		}
	}
}
