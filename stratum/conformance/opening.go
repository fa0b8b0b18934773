package conformance

var openingRules = []Rule{}
