package conformance

var transportRules = []Rule{}
