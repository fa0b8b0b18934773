package devicetest

import (
	"encoding/binary"
	"io"
	"math"
	"net"
	"sync"
	"time"
)

// ModbusFault is one way in which a Modbus TCP device fails.
type ModbusFault uint8

// A sound device; one that answers exception 11 (the gateway's device is silent); that never answers; that
// sends half a frame and hangs up; that answers for another unit; that shows one moment for ever; that
// swaps the words of its registers; whose answers are noise; every eighth of whose reads fails.
const (
	ModbusSound ModbusFault = iota
	ModbusException
	ModbusSilent
	ModbusHalf
	ModbusOtherUnit
	ModbusFrozen
	ModbusSwapped
	ModbusNoise
	ModbusFlaky
)

// ModbusMeter is one meter's registers behind a ModbusGateway. Watts and joules are kept where its Layout
// says; other addresses answer exception 2, other functions than 3 exception 1.
type ModbusMeter struct {
	Unit uint8
	// Layout says what a register holds: its watts or joules by address, function and number of registers.
	Layout func(function uint8, at, n uint16, watts, joules float64) ([]byte, bool)

	// Joules tells the energy counter; nil: it counts the watts that are read.
	Joules func() float64

	mu     sync.Mutex
	watts  func() float64
	joules float64
	since  time.Time
	fault  ModbusFault
	frozen [2]float64
	reads  int
}

// ModbusGateway is a Modbus TCP server with meters behind it, by unit. A unit that is not there answers as
// one that does not answer its gateway: exception 11.
type ModbusGateway struct {
	meters map[uint8]*ModbusMeter // immutable

	mu    sync.Mutex
	conns map[net.Conn]bool
	most  int // connections at once
}

// NewModbusGateway puts meters behind one address.
func NewModbusGateway(meters ...*ModbusMeter) *ModbusGateway {
	g := &ModbusGateway{meters: map[uint8]*ModbusMeter{}, conns: map[net.Conn]bool{}}
	for _, m := range meters {
		g.meters[m.Unit] = m
	}
	return g
}

// NewModbusMeter has the registers of an ABB B23; another Layout may be set before it is used.
func NewModbusMeter(unit uint8, watts func() float64) *ModbusMeter {
	return &ModbusMeter{Unit: unit, watts: watts, Layout: LayoutB23}
}

// LayoutB23 keeps signed 32-bit hundredths of a watt at 0x5b14 and hundredths of a kilowatt-hour in 64 bits
// at 0x5000, as an ABB B23 does (its manual 2CMC485003M0201, 9.3).
func LayoutB23(function uint8, at, n uint16, watts, joules float64) ([]byte, bool) {
	switch {
	case function == 3 && at == 0x5b14 && n == 2:
		return binary.BigEndian.AppendUint32(nil, uint32(int32(math.Round(watts*100)))), true
	case function == 3 && at == 0x5000 && n == 4:
		return binary.BigEndian.AppendUint64(nil, uint64(joules/36_000)), true
	}
	return nil, false
}

// LayoutIEM3000 keeps kilowatts as float32 in register 3060 and watt-hours in 64 bits in 3204, counted from
// 1, as a Schneider iEM3000 does (its manual DOCA0005EN).
func LayoutIEM3000(function uint8, at, n uint16, watts, joules float64) ([]byte, bool) {
	switch {
	case function == 3 && at == 3059 && n == 2:
		return binary.BigEndian.AppendUint32(nil, math.Float32bits(float32(watts/1000))), true
	case function == 3 && at == 3203 && n == 4:
		return binary.BigEndian.AppendUint64(nil, uint64(joules/3600)), true
	}
	return nil, false
}

// Fail makes the meter fail from now on; ModbusSound ends it.
func (m *ModbusMeter) Fail(f ModbusFault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w, j := m.nowLocked()
	m.fault, m.frozen = f, [2]float64{w, j}
}

// Most is how many connections were open at a time, at most.
func (g *ModbusGateway) Most() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.most
}

// nowLocked counts energy up to now.
func (m *ModbusMeter) nowLocked() (watts, joules float64) {
	now := time.Now()
	watts = m.watts()
	if !m.since.IsZero() {
		m.joules += watts * now.Sub(m.since).Seconds()
	}
	m.since = now
	if m.Joules != nil {
		return watts, m.Joules()
	}
	return watts, m.joules
}

// Serve answers on ln until it is closed, and returns when every connection has ended.
func (g *ModbusGateway) Serve(ln net.Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer g.hangUp()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		g.mu.Lock()
		g.conns[conn] = true
		g.most = max(g.most, len(g.conns))
		g.mu.Unlock()
		wg.Go(func() { // ends with its connection, which ends with Serve
			g.talk(conn)
			_ = conn.Close()
			g.mu.Lock()
			delete(g.conns, conn)
			g.mu.Unlock()
		})
	}
}

func (g *ModbusGateway) hangUp() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		_ = c.Close()
	}
}

func (g *ModbusGateway) talk(conn net.Conn) {
	var req [12]byte
	for {
		if _, err := io.ReadFull(conn, req[:]); err != nil {
			return
		}
		answer, hangUp := modbusFrame(&req, req[6], req[7]|0x80, []byte{11}), false
		if m := g.meters[req[6]]; m != nil {
			answer, hangUp = m.answer(&req)
		}
		if _, err := conn.Write(answer); err != nil || hangUp {
			return
		}
	}
}

// answer is what is sent for a request, and whether the connection ends after it.
func (m *ModbusMeter) answer(req *[12]byte) (frame []byte, hangUp bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	w, j := m.nowLocked()
	fault := m.fault
	if fault == ModbusFlaky && m.reads%8 == 0 {
		fault = ModbusException
	}
	unit, function := req[6], req[7]
	at, n := binary.BigEndian.Uint16(req[8:]), binary.BigEndian.Uint16(req[10:])
	switch fault {
	case ModbusSilent:
		return nil, false
	case ModbusNoise:
		return []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), true
	case ModbusFrozen:
		w, j = m.frozen[0], m.frozen[1]
	case ModbusOtherUnit:
		unit++
	default:
	}
	if fault == ModbusException {
		return modbusFrame(req, unit, function|0x80, []byte{11}), false
	}
	data, ok := m.Layout(function, at, n, w, j)
	switch {
	case function != 3:
		return modbusFrame(req, unit, function|0x80, []byte{1}), false
	case !ok:
		return modbusFrame(req, unit, function|0x80, []byte{2}), false
	}
	if fault == ModbusSwapped {
		for i, k := 0, len(data)-2; i < k; i, k = i+2, k-2 {
			data[i], data[i+1], data[k], data[k+1] = data[k], data[k+1], data[i], data[i+1]
		}
	}
	frame = modbusFrame(req, unit, function, append([]byte{byte(len(data))}, data...))
	if fault == ModbusHalf {
		return frame[:len(frame)/2], true
	}
	return frame, false
}

func modbusFrame(req *[12]byte, unit, function uint8, body []byte) []byte {
	f := append([]byte(nil), req[0], req[1], 0, 0)
	f = binary.BigEndian.AppendUint16(f, uint16(2+len(body)))
	return append(append(f, unit, function), body...)
}
