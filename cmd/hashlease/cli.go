package main

const description = `A Stratum V2 mining pool that leases the site's electric power to AI tenants.

Start with "hashlease demo" to see everything work on this machine, or with
"hashlease init", "check" and "serve" for a real site.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 refused by the service, 4 no answer.`

// cli is the grammar of the command line.
type cli struct {
	Demo  demoCmd  `cmd:"" help:"Run everything here: a node, a simulated site, leases and the console."`
	Init  initCmd  `cmd:"" help:"Write a commented configuration, keys and certificates."`
	Check checkCmd `cmd:"" help:"Try node, meters, ports, payout address and keys, and say what to fix."`
	Serve serveCmd `cmd:"" help:"Run the server."`

	Lease    leaseCmd    `cmd:"" help:"Book electric power, and follow it."`
	Capacity capacityCmd `cmd:"" help:"Show the sites and what could be leased."`

	Status  statusCmd  `cmd:"" help:"Show the pool's and the sites' present figures (operator)."`
	Shares  sharesCmd  `cmd:"" help:"Show the work credited to each worker (operator)."`
	Blocks  blocksCmd  `cmd:"" help:"Show found blocks and what became of them (operator)."`
	Channel channelCmd `cmd:"" help:"Show and steer the miners' open channels (operator)."`
	Site    siteCmd    `cmd:"" help:"Steer a site's mining power (operator)."`
	Worker  workerCmd  `cmd:"" help:"Leave single machines alone, or let them take part again (operator)."`
	Device  deviceCmd  `cmd:"" help:"Show machines' own interfaces, and tell single ones (operator)."`
	Clock   clockCmd   `cmd:"" help:"Say that the server's clock is right after a jump (operator)."`
	Tenant  tenantCmd  `cmd:"" help:"Add tenants to a configuration (operator)."`

	Version    versionCmd    `cmd:"" help:"Print the version."`
	Completion completionCmd `cmd:"" help:"Print a script that lets a shell complete commands and flags."`
	Complete   completeCmd   `cmd:"" name:"__complete" hidden:""`
}
