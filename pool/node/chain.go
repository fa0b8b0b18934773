package node

import (
	"encoding/binary"
	"math/big"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/hashlease/hashlease/pool"
)

const (
	headerSize  = 80
	medianSpan  = 11             // blocks whose median time bounds the next one (BIP113)
	chainSpan   = 3 * medianSpan // headers kept: a reorganisation of 22 blocks needs no reload
	baseSubsidy = 50_0000_0000   // satoshi of the first block
	maxMoney    = 21_000_000_0000_0000
	warpGrace   = 600 // seconds that a period's first block may be before its parent (BIP94)
)

// header is what the next block depends on.
type header struct {
	hash, prev chainhash.Hash
	height     int32
	time, bits uint32
}

// parseHeader reads a serialised block header; raw may go on after it.
func parseHeader(raw []byte, height int32) (header, error) {
	if len(raw) < headerSize {
		return header{}, fieldError("header", "%d bytes, %d are accepted", len(raw), headerSize)
	}
	h := header{
		hash:   chainhash.DoubleHashH(raw[:headerSize]),
		height: height,
		time:   binary.LittleEndian.Uint32(raw[68:]),
		bits:   binary.LittleEndian.Uint32(raw[72:]),
	}
	copy(h.prev[:], raw[4:36])
	return h, nil
}

// chain is the end of a node's best chain: enough headers to know what the
// next block must look like before the node has said so.
type chain struct {
	params *chaincfg.Params
	recent []header // linked, newest last, never empty
	first  *header  // first block of the newest block's difficulty period; nil if not known
}

func (c *chain) tip() header { return c.recent[len(c.recent)-1] }

// knows reports whether the block is part of the chain's end.
func (c *chain) knows(hash chainhash.Hash) bool {
	return slices.ContainsFunc(c.recent, func(k header) bool { return k.hash == hash })
}

// extend puts h on top of the block that it builds on and drops what was above that. It
// reports false if that block is not known.
func (c *chain) extend(h header) bool {
	at := slices.IndexFunc(c.recent, func(k header) bool { return k.hash == h.prev })
	if at < 0 {
		return false
	}
	h.height = c.recent[at].height + 1
	c.truncate(at + 1)
	c.recent = append(c.recent, h)
	if len(c.recent) > chainSpan {
		c.recent = slices.Delete(c.recent, 0, len(c.recent)-chainSpan)
	}
	if h.height%c.period() == 0 {
		c.first = &h
	}
	return true
}

// truncate keeps the oldest n recent headers.
func (c *chain) truncate(n int) {
	c.recent = c.recent[:n]
	if c.first != nil && c.first.height > c.tip().height {
		c.first = nil
	}
}

// period is the number of blocks between difficulty changes.
func (c *chain) period() int32 {
	return int32(c.params.TargetTimespan / c.params.TargetTimePerBlock)
}

// next is the tip of the block to be mined. It reports false where that
// cannot be known exactly: a header is missing, or the target depends on the
// time at which the block will be found (test networks).
func (c *chain) next() (pool.Tip, bool) {
	bits, ok := c.nextBits()
	if !ok {
		return pool.Tip{}, false
	}
	minTime, ok := c.minTime()
	if !ok {
		return pool.Tip{}, false
	}
	tip := c.tip()
	return pool.Tip{Height: tip.height + 1, Prev: tip.hash, Bits: bits, MinTime: minTime}, true
}

// minTime is the smallest time that the next block may have.
func (c *chain) minTime() (uint32, bool) {
	tip := c.tip()
	span := min(medianSpan, int(tip.height)+1)
	if len(c.recent) < span {
		return 0, false
	}
	times := make([]uint32, 0, medianSpan)
	for _, h := range c.recent[len(c.recent)-span:] {
		times = append(times, h.time)
	}
	slices.Sort(times)
	least := times[span/2] + 1
	if c.params.EnforceBIP94 && (tip.height+1)%c.period() == 0 {
		least = max(least, tip.time-warpGrace)
	}
	return least, true
}

// nextBits is the compact target of the next block.
func (c *chain) nextBits() (uint32, bool) {
	p, tip := c.params, c.tip()
	if p.PoWNoRetargeting {
		return p.PowLimitBits, true
	}
	boundary := (tip.height+1)%c.period() == 0
	if !boundary && !p.ReduceMinDifficulty {
		return tip.bits, true
	}
	if c.first == nil {
		return 0, false
	}
	if !boundary {
		// A block that comes late may have the easiest target, others have the period's:
		// the answer is exact only where both are the same.
		return p.PowLimitBits, c.first.bits == p.PowLimitBits
	}
	from := tip.bits
	if p.EnforceBIP94 {
		from = c.first.bits
	}
	return retarget(p, from, int64(tip.time)-int64(c.first.time)), true
}

// retarget is the target after a period that took the given number of seconds.
func retarget(p *chaincfg.Params, bits uint32, took int64) uint32 {
	span := int64(p.TargetTimespan / time.Second)
	took = min(max(took, span/p.RetargetAdjustmentFactor), span*p.RetargetAdjustmentFactor)
	n := targetOf(bits)
	n.Mul(n, big.NewInt(took)).Div(n, big.NewInt(span))
	if n.Cmp(p.PowLimit) > 0 {
		n.Set(p.PowLimit)
	}
	return compact(n)
}

func targetOf(bits uint32) *big.Int {
	le := pool.TargetFromBits(bits).Bytes()
	slices.Reverse(le[:])
	return new(big.Int).SetBytes(le[:])
}

// compact is the header form of a positive number: an exponent of 256 and three
// bytes of mantissa, the first of them below 0x80.
func compact(n *big.Int) uint32 {
	size := uint((n.BitLen() + 7) / 8)
	mantissa := uint32(0)
	if size <= 3 {
		mantissa = uint32(n.Uint64()) << (8 * (3 - size))
	} else {
		mantissa = uint32(new(big.Int).Rsh(n, 8*(size-3)).Uint64())
	}
	if mantissa&0x800000 != 0 {
		mantissa >>= 8
		size++
	}
	return uint32(size)<<24 | mantissa
}

// subsidy is what a block at the height may create, in satoshi.
func subsidy(p *chaincfg.Params, height int32) int64 {
	if p.SubsidyReductionInterval <= 0 {
		return baseSubsidy
	}
	return baseSubsidy >> min(uint(height/p.SubsidyReductionInterval), 63)
}
