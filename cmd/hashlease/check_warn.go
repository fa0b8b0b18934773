package main

import (
	"fmt"

	"github.com/hashlease/hashlease/cmd/hashlease/config"
)

// warnings are what is accepted, but right for few.
func warnings(cfg *config.Config) (out []finding) {
	for i := range cfg.Sites {
		for _, f := range cfg.Sites[i].Feeder {
			if !f.Spare() {
				out = append(out, finding{
					What: fmt.Sprintf("feeder %s n_minus_1", f.ID), OK: true, Warn: true,
					Found: "tenants are sold watts without a spare: when the largest pdu, hall agent or " +
						"miner fails, theirs may be missing until it is back",
					Fix: "remove it, unless one control domain carries the whole feeder and tenants know",
				})
			}
			if !f.TrustDeclared {
				continue
			}
			out = append(out, finding{
				What: fmt.Sprintf("feeder %s trust_declared", f.ID), OK: true, Warn: true,
				Found: "tenants are sold watts that nobody has measured: right for simulated fleets alone",
				Fix:   fmt.Sprintf("remove it, start, and run hashlease site commission %s", f.ID),
			})
		}
	}
	return out
}
