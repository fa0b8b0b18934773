package sv1

// Configure is mining.configure (BIP310): the extensions that a miner wants. Those that are not known are
// refused one by one.
type Configure struct {
	Rolling    bool
	Mask       uint32 // wanted; all bits if the miner does not say
	Minimum    bool
	Difficulty float64 // easiest that the miner takes; 0 if it does not say
	Extranonce bool    // subscribe-extranonce
	Info       bool
	Agent      []byte   // info.sw-version or info.hw-version; a part of the line
	Unknown    [][]byte // names; nil for all firmware there is. Parts of the line
}

// maxExtensions is how many extensions of one request are looked at.
const maxExtensions = 16

// ParseConfigure reads the parameters of mining.configure. What is malformed is taken for missing: old
// Braiins OS sends a minimum bit count that is none.
func ParseConfigure(params Value) (m Configure) {
	var p [2]Value
	params.Items(p[:])
	var names [maxExtensions]Value
	n := min(p[0].Items(names[:]), maxExtensions)
	options := p[1]
	for _, name := range names[:n] {
		switch text := name.Text(); string(text) {
		case "version-rolling":
			m.Rolling, m.Mask = true, 0xffffffff
			if mask, ok := hexNumber(options.Field("version-rolling.mask").Text()); ok {
				m.Mask = mask
			}
		case "minimum-difficulty":
			m.Minimum = true
			m.Difficulty = ParseDifficulty(options.Field("minimum-difficulty.value").Text())
		case "subscribe-extranonce":
			m.Extranonce = true
		case "info":
			m.Info = true
			if m.Agent = options.Field("info.sw-version").Text(); len(m.Agent) == 0 {
				m.Agent = options.Field("info.hw-version").Text()
			}
		default:
			m.Unknown = append(m.Unknown, text)
		}
	}
	return m
}

// Configured is what was granted of a Configure.
type Configured struct {
	Mask    uint32 // version bits that may be rolled
	Minimum bool   // the smallest difficulty is kept to
}

// AppendConfigured answers mining.configure: one key for each extension that was asked for.
func AppendConfigured(dst []byte, id Value, m *Configure, granted Configured) []byte {
	dst = append(appendID(dst, id), '{')
	start := len(dst)
	add := func(text string) {
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(dst, text...)
	}
	if m.Rolling {
		add(`"version-rolling":true,"version-rolling.mask":"`)
		dst = append(appendWord(dst, granted.Mask), '"')
	}
	if m.Minimum {
		add(`"minimum-difficulty":`)
		dst = appendBool(dst, granted.Minimum)
	}
	if m.Extranonce {
		add(`"subscribe-extranonce":true`)
	}
	if m.Info {
		add(`"info":true`)
	}
	for _, name := range m.Unknown {
		add("")
		dst = append(AppendString(dst, string(name)), ":false"...)
	}
	return append(append(dst, '}'), endResult...)
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, "true"...)
	}
	return append(dst, "false"...)
}
