package conformance

// shareRules are section 4.8.
var shareRules = []Rule{
	{
		Number: 154, Mark: Impl, Source: "05§5.3.14",
		Sentence: "refuses a share that was submitted before on the channel",
		Check: func(t *T) {
			c := t.Setup(0)
			for _, ch := range []*Channel{c.OpenStandard(), c.OpenExtended()} {
				s := ch.Mine(ch.Work())
				s.Accepted("a new share")
				s.Refused("the same share again")
			}
		},
	},
}
