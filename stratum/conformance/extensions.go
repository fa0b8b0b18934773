package conformance

var extensionRules = []Rule{}
