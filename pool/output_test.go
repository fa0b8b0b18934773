package pool_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
	"pgregory.net/rapid"

	"github.com/hashlease/hashlease/pool"
)

// manyOutputs are n payments to scripts of all standard lengths that differ.
func manyOutputs(n int) []pool.Output {
	lengths := []int{22, 23, 25, 34, 34}
	out := make([]pool.Output, n)
	for i := range out {
		script := fmt.Sprintf("%0*d", lengths[i%len(lengths)], i)
		out[i] = pool.Output{Script: script, Value: int64(1000 + i)}
	}
	return out
}

// sum is what the outputs of a coinbase pay.
func sum(outputs []*wire.TxOut) (n int64) {
	for _, o := range outputs {
		n += o.Value
	}
	return n
}

// Ensure that with 200 payments owed no job's coinbase passes the bound of any class, under any payout and
// whatever salt it gets, that it pays out the template's value exactly, and that it is as full as it can be.
func TestAssembler_CoinbaseFitsEveryClass(t *testing.T) {
	a := newAssembler(t)
	owed := manyOutputs(200)
	if err := a.SetOutputs(owed); err != nil {
		t.Fatal(err)
	}
	tmpl := newTemplate(t, 840_000, 5)
	r := advance(t, a, nil, tmpl)
	payouts := []pool.Payout{
		{},
		{Script: string(p2wpkh)},
		{Script: strings.Repeat("s", 34), Percent: 2},
		{Script: strings.Repeat("s", 34), Percent: 99},
	}
	for _, class := range pool.DefaultMinerClasses() {
		for n, p := range payouts {
			v := a.Within(r, p, class.Coinbase)
			for _, j := range []*pool.Job{v.First, v.Full, v.Next, a.Fresh(v.Full)} {
				tx := coinbaseOf(t, j)
				if size := tx.SerializeSizeStripped(); size != j.CoinbaseSize() || size > class.Coinbase {
					t.Errorf("%s, payout %d: %d bytes, said %d", class.Name, n, size, j.CoinbaseSize())
				}
				if got := sum(tx.TxOut); got != j.Template.Value {
					t.Errorf("%s, payout %d: pays %d of %d", class.Name, n, got, j.Template.Value)
				}
				if j.Template.Partial && len(tx.TxOut) > 2 {
					t.Errorf("%s, payout %d: a tip's job pays %d outputs", class.Name, n, len(tx.TxOut))
				}
			}
			made := len(coinbaseOf(t, v.Full).TxOut) - 2
			room := class.Coinbase - v.Full.CoinbaseSize()
			if paid := n == 0 || n > 1; paid && made < 200-2 && room >= 8+1+34+8 { // 8 are kept for the salt
				t.Errorf("%s, payout %d: %d outputs and %d bytes are left", class.Name, n, made, room)
			}
		}
	}
	if v := a.Within(r, pool.Payout{}, 16_000); len(coinbaseOf(t, v.Full).TxOut) != 200+2 {
		t.Error("the largest class does not get all payments")
	}
}

// oracle is what a coinbase has to pay, by another way: a budget of bytes and one of satoshi, and
// everybody in turn.
func oracle(value int64, p pool.Payout, owed []pool.Output, room int) map[string]int64 {
	own := value
	pays := map[string]int64{}
	if p.Solo() {
		own = value * int64(p.Percent) / 100
		pays[p.Script] = value - own
	}
	pays["pool"] = own
	for _, o := range owed {
		amount := o.Value + own*int64(o.Millionths)/1_000_000
		cost := 9 + len(o.Script)
		if p.Solo() && own == 0 || amount == 0 || amount > pays["pool"] || cost > room {
			continue
		}
		pays["pool"] -= amount
		pays[o.Script] += amount
		room -= cost
	}
	if pays["pool"] == 0 && (own > 0 || p.Solo()) {
		delete(pays, "pool")
	}
	return pays
}

// Ensure that payments, by amount and by part, are made in order while value and room last, and that the rest
// is the pool's to the satoshi.
func TestAssembler_PaysWhatFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, err := pool.NewAssembler(pool.CoinbaseConfig{Script: []byte("pool")}, 7)
		if err != nil {
			t.Fatal(err)
		}
		value := rapid.Int64Range(0, 5_000_000_000).Draw(t, "value")
		var owed []pool.Output
		parts := 1_000_000
		for i := range rapid.IntRange(0, 300).Draw(t, "outputs") {
			o := pool.Output{Script: fmt.Sprintf("%0*d", 3+i%32, i)}
			if part := rapid.IntRange(1, 10_000).Draw(t, "part"); i%2 == 0 && part <= parts {
				o.Millionths = uint32(part)
				parts -= part
			} else {
				o.Value = rapid.Int64Range(1, max(1, value/4)).Draw(t, "amount")
			}
			owed = append(owed, o)
		}
		p := pool.Payout{}
		if rapid.Bool().Draw(t, "solo") {
			p = pool.Payout{Script: "solo", Percent: uint8(rapid.IntRange(0, 99).Draw(t, "percent"))}
		}
		if err := a.SetOutputs(owed); err != nil {
			t.Fatal(err)
		}
		r, err := a.Advance(nil, &pool.Template{
			Tip: pool.Tip{Height: 100, Prev: hashOf(1), Bits: hardBits}, Value: value,
		})
		if err != nil {
			t.Fatal(err)
		}
		limit := rapid.IntRange(pool.LeastCoinbase, 16_000).Draw(t, "limit")
		j := a.Within(r, p, limit).Full
		got := map[string]int64{}
		for _, o := range coinbaseOf(t, j).TxOut {
			got[string(o.PkScript)] += o.Value
		}
		// Without outputs: height 1+1, no tag, wraps 1+4, salt and extranonce 1+24, the count 3.
		room := limit - (42 + 2 + 5 + 25 + 4 + 3 + 4) - (9 + 4)
		if p.Solo() && p.Percent > 0 && value*int64(p.Percent)/100 > 0 {
			room -= 9 + 4
		}
		want := oracle(value, p, owed, room)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("pays %v\nwant %v", got, want)
		}
		if j.CoinbaseSize() > limit {
			t.Fatalf("%d bytes, %d are taken", j.CoinbaseSize(), limit)
		}
	})
}

// Ensure that miners of one class share jobs, that those of another have their own search space, and that
// nothing is made twice while nothing is owed.
func TestAssembler_ClassesShareTheirJobs(t *testing.T) {
	a := newAssembler(t)
	r := advance(t, a, nil, newTemplate(t, 100, 3))
	if a.Within(r, pool.Payout{}, 500) != r {
		t.Error("nothing is owed, and a class has jobs of its own")
	}
	if err := a.SetOutputs(manyOutputs(50)); err != nil {
		t.Fatal(err)
	}
	small, large := a.Within(r, pool.Payout{}, 500), a.Within(r, pool.Payout{}, 16_000)
	if small == large || small != a.Within(r, pool.Payout{}, 500) {
		t.Error("classes are not kept apart")
	}
	if small.First != r.First || large.Next != r.Next {
		t.Error("jobs of a tip are not shared by all")
	}
	if string(small.Full.Prefix) == string(large.Full.Prefix) {
		t.Error("two coinbases share a search space")
	}
	next := advance(t, a, r, newTemplate(t, 101, 1))
	if a.Within(next, pool.Payout{}, 500).First != small.Next {
		t.Error("the future job did not become the first one")
	}
	if err := a.SetOutputs(nil); err != nil || a.Within(next, pool.Payout{}, 500) != next {
		t.Errorf("nothing is owed any more: %v", err)
	}
}

// Ensure that payments which could not be made exactly are refused, with every fault named.
func TestSetOutputs_NamesEveryFault(t *testing.T) {
	a := newAssembler(t)
	names(t, a.SetOutputs([]pool.Output{{Value: 1}, {Script: "s"}, {Script: "s", Value: 1, Millionths: 1}}),
		"output 1: script has 0 bytes", "output 2: 0 satoshi and 0 millionths", "output 3: 1 satoshi and 1")
	names(t, a.SetOutputs([]pool.Output{{Script: "s", Value: 21e14}, {Script: "s", Value: 1}}),
		"output 2", "all")
	names(t, a.SetOutputs([]pool.Output{{Script: "s", Millionths: 1e6}, {Script: "s", Millionths: 1}}),
		"1000001")
	names(t, a.SetOutputs(make([]pool.Output, pool.MaxOutputs+1)), "4097 outputs", "4096")
}

// A hundred payments are made where the miner takes a large coinbase, some where it does not.
func ExampleAssembler_SetOutputs() {
	a, _ := pool.NewAssembler(pool.CoinbaseConfig{Script: p2wpkh}, 1)
	r, _ := a.Advance(nil, &pool.Template{
		Tip: pool.Tip{Height: 100, Prev: hashOf(1), Bits: hardBits}, Value: 5_000_000_000,
	})
	_ = a.SetOutputs(manyOutputs(100))
	for _, agent := range []string{"NiceHash/1.0.0", "cgminer/4.11.1", "bitaxe/BM1370/v2.9"} {
		class := pool.DefaultMinerClasses().Of(agent)
		j := a.Within(r, pool.Payout{}, class.Coinbase).Full
		fmt.Println(class.Name, class.Coinbase, j.CoinbaseSize())
	}
	// Output:
	// small 500 475
	// antminer 750 721
	// respectable 6500 3769
}
