package conformance

var difficultyRules = []Rule{}
