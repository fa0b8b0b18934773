package device_test

import (
	"errors"
	"io"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashlease/hashlease/pool/device"
	"github.com/hashlease/hashlease/pool/device/devicetest"
	"github.com/hashlease/hashlease/pool/unit"
)

// serveModbus starts a gateway with one meter on a port of its own until the test ends.
func serveModbus(t *testing.T, m *devicetest.ModbusMeter) (string, *devicetest.ModbusGateway) {
	t.Helper()
	gateway := devicetest.NewModbusGateway(m)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // ends with the listener
		defer close(done)
		gateway.Serve(ln)
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	return ln.Addr().String(), gateway
}

func modbusMeter(
	t *testing.T, address string, timeout time.Duration, change func(*device.RegisterMap),
) *device.ModbusMeter {
	t.Helper()
	registers, ok := device.RegisterMapNamed("abb-b23")
	if !ok {
		t.Fatal("abb-b23 is not known")
	}
	if change != nil {
		change(&registers)
	}
	m, err := device.NewModbusMeter(device.ModbusMeterConfig{
		Address: address, Unit: 7, Map: registers, Timeout: timeout,
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Ensure that power and energy come over a real connection, that meters of one address share one, and that a
// connection which was lost is made again.
func TestModbusMeter_ReadsPowerAndEnergy(t *testing.T) {
	var watts atomic.Int64
	watts.Store(98_765)
	meter := devicetest.NewModbusMeter(7, func() float64 { return float64(watts.Load()) })
	address, gateway := serveModbus(t, meter)
	a, b := modbusMeter(t, address, 5*time.Second, nil), modbusMeter(t, address, 5*time.Second, nil)
	var wg sync.WaitGroup
	for _, m := range []*device.ModbusMeter{a, b, a, b} {
		wg.Go(func() {
			r, err := m.Read(t.Context())
			if err != nil || r.Watts != 98_765 || time.Since(r.At) > 5*time.Second {
				t.Errorf("read %+v, %v", r, err)
			}
		})
	}
	wg.Wait()
	if n := gateway.Most(); n != 1 {
		t.Errorf("%d connections at once for one address", n)
	}
	meter.Fail(devicetest.ModbusHalf)
	if _, err := a.Read(t.Context()); err == nil {
		t.Error("half a frame was taken")
	}
	meter.Fail(devicetest.ModbusSound)
	watts.Store(5)
	eventually(t, func() bool { r, err := b.Read(t.Context()); return err == nil && r.Watts == 5 })
}

func eventually(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("not within 20 s")
		}
	}
}

// Ensure that both known makes are read where they keep their numbers.
func TestModbusMeter_ReadsKnownMakes(t *testing.T) {
	for name, layout := range map[string]func(uint8, uint16, uint16, float64, float64) ([]byte, bool){
		"abb-b23": devicetest.LayoutB23, "schneider-iem3000": devicetest.LayoutIEM3000,
	} {
		meter := devicetest.NewModbusMeter(7, func() float64 { return 1_234_567 })
		meter.Layout, meter.Joules = layout, func() float64 { return 7.2e9 }
		address, _ := serveModbus(t, meter)
		known, _ := device.RegisterMapNamed(name)
		m := modbusMeter(t, address, 5*time.Second, func(r *device.RegisterMap) { *r = known })
		r, err := m.Read(t.Context())
		if err != nil || r.Watts < 1_234_566 || r.Watts > 1_234_568 || r.Energy != 7_200_000_000 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// Ensure that every fault of a device is an error that names it, with a zero reading, and that a refusal does
// not cost the connection.
func TestModbusMeter_NamesFaults(t *testing.T) {
	for fault, want := range map[devicetest.ModbusFault]string{
		devicetest.ModbusException: "exception 11: gateway target device failed to respond",
		devicetest.ModbusSilent:    "waiting for the answer",
		devicetest.ModbusHalf:      "EOF",
		devicetest.ModbusOtherUnit: "answer of unit 8 to a question for 7",
		devicetest.ModbusNoise:     "protocol",
		devicetest.ModbusSwapped:   "word order",
	} {
		meter := devicetest.NewModbusMeter(7, func() float64 { return 98_765 })
		address, _ := serveModbus(t, meter)
		m := modbusMeter(t, address, 300*time.Millisecond, nil)
		meter.Fail(fault)
		r, err := m.Read(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || r.Watts != 0 {
			t.Errorf("fault %d gave %+v, %v; want %q", fault, r, err, want)
		}
	}
	meter := devicetest.NewModbusMeter(7, func() float64 { return 1 })
	address, gateway := serveModbus(t, meter)
	for want, change := range map[string]func(*device.RegisterMap){
		"exception 1: illegal function":     func(m *device.RegisterMap) { m.Power[0].Function = 4 },
		"exception 2: illegal data address": func(m *device.RegisterMap) { m.Power[0].Address = 9 },
	} {
		_, err := modbusMeter(t, address, time.Second, change).Read(t.Context())
		if !errors.Is(err, device.ErrModbus) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s: %v", want, err)
		}
	}
	if n := gateway.Most(); n != 1 {
		t.Errorf("%d connections: a refusal cost one", n)
	}
}

// Ensure that numbers are read as their registers keep them, whatever type and order.
func TestRegister_ReadsEveryType(t *testing.T) {
	for _, c := range []struct {
		r    device.Register
		data string
		want float64
		none bool
	}{
		{device.Register{Type: device.Int16, Scale: 10}, "\xff\xfe", -20, false},
		{device.Register{Type: device.Uint16, Scale: 1}, "\xff\xfe", 65534, false},
		{device.Register{Type: device.Int32, Scale: 0.01}, "\xff\xff\xff\x9c", -1, false},
		{device.Register{Type: device.Int32, Scale: 1, Swapped: true}, "\x00\x02\x00\x01", 0x10002, false},
		{device.Register{Type: device.Uint32, Scale: 1}, "\x80\x00\x00\x00", 1 << 31, false},
		{device.Register{Type: device.Int64, Scale: 1}, "\xff\xff\xff\xff\xff\xff\xff\xff", -1, false},
		{
			device.Register{Type: device.Uint64, Scale: 1, Swapped: true},
			"\x00\x04\x00\x03\x00\x02\x00\x01", 0x1000200030004, false,
		},
		{device.Register{Type: device.Float32, Scale: 1000}, "\x42\xc8\x00\x00", 100_000, false},
		{device.Register{Type: device.Float32, Scale: 1, Swapped: true}, "\x00\x00\x42\xc8", 100, false},
		{device.Register{Type: device.Float32, Scale: 1}, "\x7f\xc0\x00\x00", 0, true},
		{device.Register{Type: device.Uint32, Scale: 1}, "\xff\xff\xff\xff", 0, true},
		{device.Register{Type: device.Int16, Scale: 1}, "\x80\x00", 0, true},
	} {
		got, err := c.r.Value([]byte(c.data))
		if (err != nil) != c.none || math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%v swapped %v of %x: %v, %v; want %v", c.r.Type, c.r.Swapped, c.data, got, err, c.want)
		}
	}
}

// Ensure that maps of the program are sound, and that configurations are refused with what is accepted.
func TestModbusMeter_RefusesFaultyConfigurations(t *testing.T) {
	for _, name := range device.RegisterMaps() {
		m, _ := device.RegisterMapNamed(name)
		if err := m.Validate(); err != nil || m.Source == "" || m.Energy.Type == 0 {
			t.Errorf("%s: %v, source %q", name, err, m.Source)
		}
	}
	good := device.Register{Function: 3, Type: device.Int32, Scale: 1}
	with := func(rs ...device.Register) device.ModbusMeterConfig {
		return device.ModbusMeterConfig{Address: "h", Map: device.RegisterMap{Power: rs}}
	}
	nowhere, late, roomless := with(good), with(good), with(good)
	nowhere.Address, late.Timeout = ":502", time.Hour
	roomless.Map.Energy = device.Register{Function: 3, Address: 65535, Type: device.Int32, Scale: 1}
	for want, c := range map[string]device.ModbusMeterConfig{
		"HOST or HOST:PORT": nowhere, "at most 1m": late, "1 to 6": with(), "has no room": roomless,
		"3 (holding":      with(device.Register{Type: device.Int16, Scale: 1}),
		"type is missing": with(device.Register{Function: 4, Scale: 1}),
		"scale is 0":      with(device.Register{Function: 4, Type: device.Int16}),
	} {
		if _, err := device.NewModbusMeter(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// FuzzModbusMeter answers a read with whatever comes: it may not hang, panic, or report what was not sent.
func FuzzModbusMeter(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x00\x00\x07\x07\x03\x04\x00\x00\x27\x10"))
	f.Add([]byte("\x00\x01\x00\x00\x00\x03\x07\x83\x02"))
	f.Add([]byte("\x00\x01\x00\x00\xff\xff\x07\x03\xff"))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Skip(err)
		}
		done := make(chan struct{})
		go func() { // ends with the listener
			defer close(done)
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(conn, make([]byte, 12))
			_, _ = conn.Write(answer)
			_ = conn.Close()
		}()
		m := modbusMeter(&testing.T{}, ln.Addr().String(), time.Second, func(m *device.RegisterMap) {
			m.Energy = device.Register{}
		})
		r, err := m.Read(t.Context())
		_ = ln.Close()
		<-done
		if err != nil && r.Watts != 0 || r.Watts < 0 || r.Watts > 10_000*unit.Megawatt {
			t.Errorf("read %+v, %v", r, err)
		}
	})
}
