package main

// goal is one value of one benchmark, and what it should reach on two quiet cores.
type goal struct {
	name   string // in tables and JSON
	pkg    string
	bench  string  // full name without the number of processors
	metric string  // as the benchmark prints it
	per    float64 // measured units in one of ours; 0 means 1
	unit   string
	goal   float64
	higher bool // more is better
}

func (g goal) scale() float64 {
	if g.per == 0 {
		return 1
	}
	return 1 / g.per
}

func (g goal) better() string {
	if g.higher {
		return "higher"
	}
	return "lower"
}

var goals = []goal{
	{
		name: "share_standard", pkg: "./pool", bench: "BenchmarkSubmit_Standard",
		metric: "ns/op", unit: "ns", goal: 900,
	},
	{
		name: "share_standard_allocs", pkg: "./pool", bench: "BenchmarkSubmit_Standard",
		metric: "allocs/op", unit: "allocs",
	},
	{
		name: "share_extended_12", pkg: "./pool", bench: "BenchmarkSubmit_Extended",
		metric: "ns/op", unit: "ns", goal: 3600,
	},
	{
		name: "share_extended_12_allocs", pkg: "./pool", bench: "BenchmarkSubmit_Extended",
		metric: "allocs/op", unit: "allocs",
	},
	{
		// A share's frame opened, 12 levels hashed, one acknowledgement for 16.
		name: "share_extended_server", pkg: "./stratum", bench: "BenchmarkServer_ShareExtended",
		metric: "ns/op", per: 1e3, unit: "us", goal: 3.6,
	},
	{
		name: "share_extended_server_allocs", pkg: "./stratum", bench: "BenchmarkServer_ShareExtended",
		metric: "allocs/op", unit: "allocs",
	},
	{
		// A line read and answered: a quarter of what encoding/json takes to read it.
		name: "v1_submit_line", pkg: "./stratum/sv1", bench: "BenchmarkSubmit",
		metric: "ns/op", unit: "ns", goal: 600,
	},
	{
		name: "v1_submit_line_allocs", pkg: "./stratum/sv1", bench: "BenchmarkSubmit",
		metric: "allocs/op", unit: "allocs",
	},
	{
		// A job of 12 levels, written once for all who mine it.
		name: "v1_notify", pkg: "./stratum/sv1", bench: "BenchmarkNotify",
		metric: "ns/op", unit: "ns", goal: 800,
	},
	{
		name: "v1_notify_allocs", pkg: "./stratum/sv1", bench: "BenchmarkNotify",
		metric: "allocs/op", unit: "allocs",
	},
	{
		// A line cut and parsed, 12 levels hashed, credited, a reply for each.
		name: "v1_share_server", pkg: "./stratum", bench: "BenchmarkV1_Share",
		metric: "ns/op", per: 1e3, unit: "us", goal: 4,
	},
	{
		name: "v1_share_server_allocs", pkg: "./stratum", bench: "BenchmarkV1_Share",
		metric: "allocs/op", unit: "allocs",
	},
	{
		name: "noise_responder", pkg: "./stratum/noise", bench: "BenchmarkAccept/fresh",
		metric: "ns/op", per: 1e3, unit: "us", goal: 700,
	},
	{
		name: "noise_responder_stocked", pkg: "./stratum/noise", bench: "BenchmarkAccept/stock",
		metric: "ns/op", per: 1e3, unit: "us", goal: 450,
	},
	{
		name: "frame_seal_open_24", pkg: "./stratum/noise", bench: "BenchmarkFrame_SealOpen/payload=24",
		metric: "ns/op", unit: "ns", goal: 750,
	},
	{
		name: "frame_seal_open_256", pkg: "./stratum/noise", bench: "BenchmarkFrame_SealOpen/payload=256",
		metric: "ns/op", unit: "ns", goal: 950,
	},
	{
		name: "admission_1k", pkg: "./lease", bench: "BenchmarkAdmission/check/booked=1000",
		metric: "ns/op", unit: "ns", goal: 2000,
	},
	{
		name: "admission_100k", pkg: "./lease", bench: "BenchmarkAdmission/check/booked=100000",
		metric: "ns/op", unit: "ns", goal: 4000,
	},
	{
		name: "booking_1k", pkg: "./lease", bench: "BenchmarkAdmission/book/booked=1000",
		metric: "ns/op", unit: "ns", goal: 8000,
	},
	{
		name: "booking_100k", pkg: "./lease", bench: "BenchmarkAdmission/book/booked=100000",
		metric: "ns/op", unit: "ns", goal: 12000,
	},
	{
		name: "plan_1k", pkg: "./pool/fleet", bench: "BenchmarkPlan/workers=1000/sleepfirst=false",
		metric: "ns/op", per: 1e6, unit: "ms", goal: 2,
	},
	{
		name: "plan_10k", pkg: "./pool/fleet", bench: "BenchmarkPlan/workers=10000/sleepfirst=false",
		metric: "ns/op", per: 1e6, unit: "ms", goal: 5,
	},
	{
		name: "plan_100k", pkg: "./pool/fleet", bench: "BenchmarkPlan/workers=100000/sleepfirst=false",
		metric: "ns/op", per: 1e6, unit: "ms", goal: 60,
	},
	{
		name: "plan_tree_10k", pkg: "./pool/fleet", bench: "BenchmarkPlan_Tree/workers=10000",
		metric: "ns/op", per: 1e6, unit: "ms", goal: 5,
	},
	{
		name: "plan_tree_100k", pkg: "./pool/fleet", bench: "BenchmarkPlan_Tree/workers=100000",
		metric: "ns/op", per: 1e6, unit: "ms", goal: 60,
	},
	{
		// The governor looks four times a second: at rest a tenth of a core for 100,000 machines.
		name: "governor_step_1k", pkg: "./pool/governor", bench: "BenchmarkStep/rest/workers=1000",
		metric: "ns/op", per: 1e6, unit: "ms", goal: 0.15,
	},
	{
		// One for each machine that speaks, a fortieth of them in a step and all in the first of a run, and
		// two for the words of a feeder's headroom now and then: the look itself allocates nothing.
		name: "governor_step_1k_allocs", pkg: "./pool/governor", bench: "BenchmarkStep/rest/workers=1000",
		metric: "allocs/op", unit: "allocs", goal: 40,
	},
	{
		name: "governor_step_10k", pkg: "./pool/governor", bench: "BenchmarkStep/rest/workers=10000",
		metric: "ns/op", per: 1e6, unit: "ms", goal: 1.5,
	},
	{
		name: "governor_step_10k_allocs", pkg: "./pool/governor", bench: "BenchmarkStep/rest/workers=10000",
		metric: "allocs/op", unit: "allocs", goal: 400,
	},
	{
		name: "governor_step_100k", pkg: "./pool/governor", bench: "BenchmarkStep/rest/workers=100000",
		metric: "ns/op", per: 1e6, unit: "ms", goal: 30,
	},
	{
		name: "governor_step_100k_allocs", pkg: "./pool/governor", bench: "BenchmarkStep/rest/workers=100000",
		metric: "allocs/op", unit: "allocs", goal: 6000,
	},
	{
		// The same while a fifth of the fleet is held down and every tenth second all machines report: one
		// look in four makes the plan anew.
		name: "governor_dispatch_1k", pkg: "./pool/governor",
		bench:  "BenchmarkStep/dispatch/workers=1000",
		metric: "ns/op", per: 1e6, unit: "ms", goal: 0.6,
	},
	{
		name: "governor_dispatch_1k_allocs", pkg: "./pool/governor",
		bench:  "BenchmarkStep/dispatch/workers=1000",
		metric: "allocs/op", unit: "allocs", goal: 60,
	},
	{
		name: "governor_dispatch_10k", pkg: "./pool/governor",
		bench:  "BenchmarkStep/dispatch/workers=10000",
		metric: "ns/op", per: 1e6, unit: "ms", goal: 10,
	},
	{
		name: "governor_dispatch_10k_allocs", pkg: "./pool/governor",
		bench:  "BenchmarkStep/dispatch/workers=10000",
		metric: "allocs/op", unit: "allocs", goal: 600,
	},
	{
		name: "governor_dispatch_100k", pkg: "./pool/governor",
		bench:  "BenchmarkStep/dispatch/workers=100000",
		metric: "ns/op", per: 1e6, unit: "ms", goal: 150,
	},
	{
		name: "governor_dispatch_100k_allocs", pkg: "./pool/governor",
		bench:  "BenchmarkStep/dispatch/workers=100000",
		metric: "allocs/op", unit: "allocs", goal: 34_000,
	},
	{
		name: "plan_1k_allocs", pkg: "./pool/fleet", bench: "BenchmarkPlan/workers=1000/sleepfirst=false",
		metric: "allocs/op", unit: "allocs", goal: 20,
	},
	{
		name: "plan_100k_allocs", pkg: "./pool/fleet", bench: "BenchmarkPlan/workers=100000/sleepfirst=false",
		metric: "allocs/op", unit: "allocs", goal: 200,
	},
	{
		name: "plan_tree_10k_allocs", pkg: "./pool/fleet", bench: "BenchmarkPlan_Tree/workers=10000",
		metric: "allocs/op", unit: "allocs", goal: 40,
	},
	{
		name: "plan_10k_allocs", pkg: "./pool/fleet", bench: "BenchmarkPlan/workers=10000/sleepfirst=false",
		metric: "allocs/op", unit: "allocs", goal: 20,
	},
	{
		// Hashrate lost for each watt freed, in percent above the exact optimum (dynamic programming over
		// watts; caps between the points of a curve, which only the plan may use, can bring it below 0).
		name: "plan_hash_lost_1k", pkg: "./pool/fleet", bench: "BenchmarkPlan_HashLost/workers=1000",
		metric: "%-over-optimum", unit: "% over optimum", goal: 1,
	},
	{
		// What simpler rules lose: no goal of ours, but they must not be better than the optimum.
		name: "worst_first_hash_lost_1k", pkg: "./pool/fleet", bench: "BenchmarkPlan_HashLost/workers=1000",
		metric: "worst-first-%-over-optimum", unit: "% over optimum", higher: true,
	},
	{
		name: "random_hash_lost_1k", pkg: "./pool/fleet", bench: "BenchmarkPlan_HashLost/workers=1000",
		metric: "random-%-over-optimum", unit: "% over optimum", higher: true,
	},
	{
		// The same against a bound that the optimum does not go below: the exact search would take hours.
		name: "plan_hash_lost_10k", pkg: "./pool/fleet",
		bench:  "BenchmarkPlan_HashLost/workers=10000",
		metric: "%-over-bound", unit: "% over bound", goal: 1,
	},
	{
		name: "worst_first_hash_lost_10k", pkg: "./pool/fleet",
		bench:  "BenchmarkPlan_HashLost/workers=10000",
		metric: "worst-first-%-over-bound", unit: "% over bound", higher: true,
	},
	{
		name: "random_hash_lost_10k", pkg: "./pool/fleet",
		bench:  "BenchmarkPlan_HashLost/workers=10000",
		metric: "random-%-over-bound", unit: "% over bound", higher: true,
	},
	{
		name: "plan_hash_lost_100k", pkg: "./pool/fleet",
		bench:  "BenchmarkPlan_HashLost/workers=100000",
		metric: "%-over-bound", unit: "% over bound", goal: 1,
	},
	{
		name: "worst_first_hash_lost_100k", pkg: "./pool/fleet",
		bench:  "BenchmarkPlan_HashLost/workers=100000",
		metric: "worst-first-%-over-bound", unit: "% over bound", higher: true,
	},
	{
		name: "random_hash_lost_100k", pkg: "./pool/fleet",
		bench:  "BenchmarkPlan_HashLost/workers=100000",
		metric: "random-%-over-bound", unit: "% over bound", higher: true,
	},
	{
		name: "own_block_1k", pkg: "./cmd/hashlease", bench: "BenchmarkProgram_OwnBlock",
		metric: "ns/op", per: 1e6, unit: "ms", goal: 30,
	},
	{
		name: "template_3mb", pkg: "./pool/node", bench: "BenchmarkTemplate_Parse3000",
		metric: "ns/op", per: 1e6, unit: "ms", goal: 25,
	},
	{
		name: "credit_door", pkg: "./pool/ledger", bench: "BenchmarkShares_Credit/wal/callers=64",
		metric: "shares/s", unit: "shares/s", goal: 100_000, higher: true,
	},
	{
		name: "credit_durable_p99", pkg: "./pool/ledger", bench: "BenchmarkShares_Durable/wal/rate=100000",
		metric: "p99-ms", unit: "ms", goal: 10,
	},
	{
		name: "credit_durable_rate", pkg: "./pool/ledger", bench: "BenchmarkShares_Durable/wal/rate=100000",
		metric: "shares/s", unit: "shares/s", goal: 99_000, higher: true,
	},
	{
		name: "commit_cpu", pkg: "./storage/wal", bench: "BenchmarkJournal_Commit/wal/every=0s",
		metric: "cpu-us/commit", unit: "us", goal: 100,
	},
	{
		name: "journal_append_256", pkg: "./storage/wal", bench: "BenchmarkJournal_Append/wal/callers=256",
		metric: "records/s", unit: "records/s", goal: 50_000, higher: true,
	},
}
