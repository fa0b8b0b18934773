package sim

import (
	"github.com/hashlease/hashlease/pool/device/devicetest"
	"github.com/hashlease/hashlease/pool/fleet"
)

// ModbusMap is the register map that the simulation's Modbus meters have, as configuration names it.
const ModbusMap = "schneider-iem3000"

// gateway is a Modbus TCP gateway with every meter behind it that has a unit.
func (m *meters) gateway(list []Meter) *devicetest.ModbusGateway {
	var behind []*devicetest.ModbusMeter
	for _, one := range list {
		if one.Unit == 0 {
			continue
		}
		meter := devicetest.NewModbusMeter(one.Unit, func() float64 {
			watts, _ := m.sample(one.Feeder, one.Role, one.Tenant)
			return watts
		})
		meter.Layout = devicetest.LayoutIEM3000
		meter.Joules = func() float64 {
			_, joules, _ := m.site.read(one.Feeder, one.Role, one.Tenant) // it is one of the plan's
			return joules
		}
		behind = append(behind, meter)
	}
	return devicetest.NewModbusGateway(behind...)
}

// sample is a branch's watts as its meter sees them, never outside its class.
func (m *meters) sample(id fleet.FeederID, role fleet.Role, tenant string) (float64, error) {
	watts, _, err := m.site.read(id, role, tenant)
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return watts * (1 + m.class*max(-1, min(1, m.rng.NormFloat64()/3))), nil
}
