package stratumtest

import "time"

// Version bits that firmware asks for.
const (
	v1MaskAll   = 0xffffffff // whatever the pool gives
	v1MaskBIP   = 0x1fffe000 // BIP320
	v1MaskSmall = 0x00c00000 // two bits
)

// Limits that many share.
const (
	v1Buffer   = 8 << 10 // bytes of cgminer's and ESP-Miner's first line buffer
	v1LongID   = 20      // characters of a job id
	v1CgRead   = 120 * time.Second
	v1EspRead  = 3 * time.Minute
	v1NerdRead = 10 * time.Minute
)

// v1Profiles are the firmware that mines in the field. Coinbase sizes are those of DATUM's table
// (datum_stratum.c, datum_coinbaser.c); where it has none, of the safe default for strangers.
var v1Profiles = [...]V1Profile{
	{
		Name: "antminer-s19", Vendor: "Bitmain",
		Source:  "stock firmware is a cgminer; DATUM class antminer, older firmware wants whole difficulties",
		Agent:   "bmminer/2.0.0/Antminer S19 Pro/12100",
		Opening: []V1Step{V1Configure, V1Subscribe, V1Authorize}, Waits: true,
		Mask: v1MaskAll, MinBits: "2", Params: 6, Resumes: true, Reconnects: true, Silence: v1CgRead,
		Line: v1Buffer, JobID: v1LongID, Coinbase: 750, Extranonce: 8, Username: 127, Whole: true,
	},
	{
		Name: "antminer-s21", Vendor: "Bitmain",
		Source: "DATUM class antminer2; firmware of spring 2025 dropped a mask before its authorize (PR 105)",
		Agent:  "Antminer S21/Mon Mar 10 2025", Opening: []V1Step{V1Configure, V1Subscribe, V1Authorize},
		Waits: true, Mask: v1MaskAll, Params: 6, Resumes: true, Reconnects: true, Silence: v1CgRead,
		Line: v1Buffer, JobID: v1LongID, Coinbase: 2250, Extranonce: 8, Username: 127, Whole: true,
		Early: true,
	},
	{
		Name: "braiins-os", Vendor: "Braiins",
		Source: "configure first, pipelined; old versions send a malformed min-bit-count (braiins 47)",
		Agent:  "bosminer-plus-tuner 0.9.0-a05cb8a8",
		Opening: []V1Step{
			V1Configure, V1Subscribe, V1ExtranonceSubscribe, V1Authorize,
		},
		Mask: v1MaskBIP, MinBits: `"0x10"`, Params: 6, Reconnects: true,
		JobID: v1LongID, Coinbase: 2250, Extranonce: 16, Username: 191,
	},
	{
		Name: "whatsminer", Vendor: "MicroBT",
		Source:  "fails above 8 bytes of extranonce2 (stratum 1861), overflows above 127 of a name",
		Agent:   "whatsminer/v1.1",
		Opening: []V1Step{V1Subscribe, V1Configure, V1Authorize}, Waits: true,
		Mask: v1MaskBIP, Params: 6, Reconnects: true, Silence: v1CgRead,
		Line: v1Buffer, JobID: v1LongID, Coinbase: 6500, Extranonce: 8, Username: 127, Whole: true,
	},
	{
		Name: "avalon", Vendor: "Canaan",
		Source: "a cgminer by its agent, which says nothing of the machine; cuts names at 63 characters",
		Agent:  "cgminer/4.11.1", Opening: []V1Step{V1Configure, V1Subscribe, V1Authorize}, Waits: true,
		Mask: v1MaskBIP, MinBits: "2", Params: 6, Resumes: true, Reconnects: true, Silence: v1CgRead,
		Line: v1Buffer, JobID: v1LongID, Coinbase: 750, Extranonce: 8, Username: 63, Whole: true,
	},
	{
		Name: "bitaxe", Vendor: "bitaxe",
		Source: "ESP-Miner: 8 KiB lines (PR 1844), 16 job ids (1731), 3 minutes of receive timeout",
		Agent:  "bitaxe/BM1370/v2.12.0",
		Opening: []V1Step{
			V1Configure, V1Subscribe, V1Authorize, V1Suggest, V1ExtranonceSubscribe,
		},
		Mask: v1MaskAll, Params: 6, Suggest: 1000, Reconnects: true, Silence: v1EspRead,
		Line: v1Buffer, Remembers: 16, JobID: v1LongID, Coinbase: 6500, Extranonce: 32, Username: 127,
	},
	{
		Name: "nerdminer", Vendor: "NerdMiner",
		Source: "4,096-byte document, 512 characters of coinbase until PR 807; bare nonces",
		Agent:  "NerdMinerV2", Opening: []V1Step{V1Subscribe, V1Authorize, V1Suggest}, Waits: true,
		Params: 5, Bare: true, Suggest: 0.00015, Repeat: 30 * time.Second, Silence: v1NerdRead,
		Line: 4 << 10, JobID: v1LongID, Coinbase: 750, Extranonce: 8, Username: 80,
	},
	{
		Name: "cpuminer", Vendor: "cpuminer",
		Source: "pooler's cpuminer 2.5: subscribe 1, authorize 2, every share 4, with 5 parameters",
		Agent:  "cpuminer/2.5.1", Opening: []V1Step{V1Subscribe, V1Authorize}, Waits: true, IDs: V1Fixed,
		Params: 5, Resumes: true, Reconnects: true, Silence: v1CgRead,
		JobID: v1LongID, Coinbase: 16000, Extranonce: 16, Username: 127,
	},
	{
		Name: "nicehash", Vendor: "NiceHash",
		Source: "their pool verificator: error field (miningcore 1709), order of the opening (hypepool 44)",
		Agent:  "NiceHash/1.0.0", Waits: true,
		Opening: []V1Step{V1Configure, V1Subscribe, V1ExtranonceSubscribe, V1Authorize},
		Mask:    v1MaskBIP, Params: 6,
		Line: v1Buffer, JobID: v1LongID, Coinbase: 500, Extranonce: 8, Username: 127, Whole: true,
	},
	{
		Name: "miningrigrentals", Vendor: "MiningRigRentals",
		Source: "real firmware behind a proxy: rolls versions without any configure (datum 214)",
		Agent:  "cgminer/4.10.0", Opening: []V1Step{V1Subscribe, V1ExtranonceSubscribe, V1Authorize},
		IDs: V1Text, Unasked: v1MaskBIP, Params: 6, Reconnects: true,
		Line: v1Buffer, JobID: v1LongID, Coinbase: 750, Extranonce: 8, Username: 127, Whole: true,
	},
	{
		Name: "epic", Vendor: "ePIC",
		Source: "PowerPlay: DATUM class yuge", Agent: "PowerPlay-BM/v1.15.3",
		Opening: []V1Step{V1Configure, V1Subscribe, V1Authorize}, Waits: true,
		Mask: v1MaskBIP, MinBits: "2", Params: 6, Reconnects: true, Silence: v1CgRead,
		JobID: v1LongID, Coinbase: 16000, Extranonce: 8, Username: 127,
	},
	{
		Name: "vnish", Vendor: "VNish",
		Source: "xminer: DATUM class yuge; asks for two version bits on older chips", Agent: "xminer-1.2.6",
		Opening: []V1Step{V1Authorize, V1Subscribe, V1Configure}, Mask: v1MaskSmall, Params: 6,
		Reconnects: true, Silence: v1CgRead,
		JobID: v1LongID, Coinbase: 16000, Extranonce: 8, Username: 127,
	},
}
