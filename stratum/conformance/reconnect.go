package conformance

var reconnectRules = []Rule{}
