package stratumtest

import (
	"fmt"
	"strconv"
	"strings"
)

// V1Account is what a miner says of itself when it opens a connection.
type V1Account struct {
	Name, Password string
	Session        string  // of the connection before, as JSON knows it; empty: none
	Scale          float64 // hashes of the device for one that is really ground; 0 is 1
}

// Request is a step of the opening as the firmware writes it, as its n-th request, without the line's end.
func (p *V1Profile) Request(s V1Step, n uint64, a V1Account) string {
	return v1Request(p.id(s.String(), n), s.String(), p.params(s, a))
}

func v1Request(id, method, params string) string {
	return `{"id":` + id + `,"method":"` + method + `","params":[` + params + `]}`
}

// id is that of the n-th request, as JSON.
func (p *V1Profile) id(method string, n uint64) string {
	if p.IDs == V1Fixed {
		n = map[string]uint64{"mining.subscribe": 1, "mining.authorize": 2, "mining.submit": 4}[method]
	}
	id := strconv.FormatUint(n, 10)
	if p.IDs == V1Text {
		return `"` + id + `"`
	}
	return id
}

// params are those of a step, as JSON without brackets.
func (p *V1Profile) params(s V1Step, a V1Account) string {
	switch s {
	case V1Configure:
		options := fmt.Sprintf(`{"version-rolling.mask":"%08x"`, p.Mask)
		if p.MinBits != "" {
			options += `,"version-rolling.min-bit-count":` + p.MinBits
		}
		return `["version-rolling"],` + options + "}"
	case V1Subscribe:
		var params []string
		if p.Agent != "" {
			params = append(params, quoted(p.Agent))
		}
		if p.Resumes && a.Session != "" {
			params = append(params, quoted(a.Session))
		}
		return strings.Join(params, ",")
	case V1Authorize:
		return quoted(a.Name) + "," + quoted(a.Password)
	case V1Suggest:
		scale := a.Scale
		if scale == 0 {
			scale = 1
		}
		return strconv.FormatFloat(p.Suggest/scale, 'g', -1, 64)
	case V1ExtranonceSubscribe:
	}
	return ""
}

// share is the parameters of a share.
func (p *V1Profile) share(name string, w *work, s solution) string {
	word := "%08x"
	if p.Bare {
		word = "%x"
	}
	params := fmt.Sprintf(`%s,%s,"%x","%08x","`+word+`"`,
		quoted(name), quoted(w.v1.job), w.extranonce, s.time, s.nonce)
	if p.Params > 5 && w.v1.mask != 0 {
		params += fmt.Sprintf(`,"%08x"`, w.v1.bits)
	}
	return params
}
