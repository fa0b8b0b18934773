package conformance

var groupRules = []Rule{}
