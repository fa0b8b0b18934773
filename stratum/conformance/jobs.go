package conformance

var jobRules = []Rule{}
