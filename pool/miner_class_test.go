package pool_test

import (
	"testing"

	"github.com/hashlease/hashlease/pool"
)

// Ensure that agents as they are seen in the field get the class that they bear, and strangers the safe one.
func TestMinerClasses_KnowAgents(t *testing.T) {
	classes := pool.DefaultMinerClasses()
	if err := classes.Validate(); err != nil {
		t.Fatal(err)
	}
	for agent, want := range map[string]int{
		"":                               750,
		"cgminer/4.11.1":                 750,
		"Antminer S19j Pro/...":          750,
		"Antminer S21 Pro/x":             750, // not confirmed
		"\xff\x00":                       750,
		"Antminer S21/Tue Mar 4":         2250,
		"bosminer-plus-tuner 0.9.0":      2250,
		"WhatsMiner/v1.0":                6500,
		"bitaxe/BM1366/v2.4.1":           6500,
		"Bitaxe":                         6500,
		"PowerPlay-BM/1.2":               16_000,
		"xminer-1.2.3":                   16_000,
		"NiceHash/1.0.0":                 500,
		" nicehash":                      500,
		"NerdMinerV2/1.6.2":              330,
		"not a bitaxe, but says bitaxe/": 750,
	} {
		if got := classes.Of(agent); got.Coinbase != want {
			t.Errorf("%q: %d bytes, want %d", agent, got.Coinbase, want)
		}
	}
	if d := classes.Of("NiceHash/1.0.0").MinDifficulty; d != 524_288 {
		t.Errorf("NiceHash gets difficulties from %v", d)
	}
	if c, ok := classes.Find("unknown", "Bitaxe Gamma"); !ok || c.Name != pool.LargeClass {
		t.Errorf("got %+v, %v", c, ok)
	}
}

// Ensure that an operator's classes take the place of ours, with their agents, and leave the rest.
func TestMinerClasses_AreOverridden(t *testing.T) {
	def := pool.DefaultMinerClasses()
	classes := def.With([]pool.MinerClass{
		{Name: "mine", Coinbase: 4000, MinDifficulty: 7, Agents: []string{"Bitaxe", "bitaxe/BM1397"}},
		{Name: pool.StrangerClass, Coinbase: 600},
	})
	if err := classes.Validate(); err != nil {
		t.Fatal(err)
	}
	for agent, want := range map[string]int{
		"bitaxe/BM1370": 4000, "bitaxe/bm1397/1": 4000, "whatsminer/v1": 6500, "x": 600,
	} {
		if got := classes.Of(agent); got.Coinbase != want {
			t.Errorf("%q: %d bytes, want %d", agent, got.Coinbase, want)
		}
	}
	if def.Of("bitaxe").Coinbase != 6500 {
		t.Error("the table that was changed is another's, too")
	}
}

// Ensure that a table that could break miners is refused with every fault named.
func TestMinerClasses_NameEveryFault(t *testing.T) {
	names(t, pool.MinerClasses{
		{Name: "", Coinbase: 200, MinDifficulty: -1, Agents: []string{"", "A"}},
		{Name: "b", Coinbase: 40_000, Agents: []string{"a"}},
		{Name: "b", Coinbase: 500},
	}.Validate(),
		`class "": a name`, "coinbase of 200 bytes: 300 to 30000", "minimum difficulty -1", `agent ""`,
		`coinbase of 40000 bytes`, `class "b" is there twice`, `agent "a" is in class "" already`,
		`class "antminer" is missing`, `class "respectable" is missing`)
	if c := (pool.MinerClasses{}).Of("x"); c.Coinbase != pool.LeastCoinbase {
		t.Errorf("without classes a stranger gets %d bytes", c.Coinbase)
	}
}
