package device

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
	"github.com/hashlease/hashlease/pool/unit"
)

// ErrModbus says that a device answered otherwise than Modbus TCP allows, or with an exception.
var ErrModbus = errors.New("modbus")

// Sizes of Modbus TCP (MODBUS Messaging on TCP/IP Implementation Guide 1.0b, 3.1.3; Application
// Protocol Specification 1.1b3, 4.1 and 6.3).
const (
	modbusHeader   = 7   // transaction, protocol, length, unit
	modbusMost     = 260 // of a whole frame
	modbusMostRegs = 125 // of one read
	modbusPort     = "502"
)

// modbusConn reads registers of devices behind one address, one request at a time. It connects when it is
// asked and keeps the connection; after a fault it waits before it connects again.
type modbusConn struct {
	address string
	timeout time.Duration
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	turn    chan struct{} // capacity 1: holds a value while somebody talks

	// Guarded by turn.
	conn        net.Conn
	transaction uint16
	failures    int
	notBefore   time.Time
	last        error
}

// Bounds of the pause after a fault: a gateway that is restarting is not knocked at a hundred times a
// second.
const (
	modbusFirstPause = 100 * time.Millisecond
	modbusMostPause  = 5 * time.Second
)

func newModbusConn(address string, timeout time.Duration) *modbusConn {
	return &modbusConn{
		address: address, timeout: timeout, dial: (&net.Dialer{}).DialContext, turn: make(chan struct{}, 1),
	}
}

// read reads registers as bytes, function 3 holding ones and function 4 input ones.
func (c *modbusConn) read(ctx context.Context, q modbusRead) ([]byte, error) {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-c.turn }()
	if wait := time.Until(c.notBefore); wait > 0 {
		return nil, fmt.Errorf("%w (not asked again for %v)", c.last, wait.Round(time.Millisecond))
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	data, err := c.exchange(ctx, q)
	var refused modbusException
	switch {
	case err == nil, errors.As(err, &refused): // it is there and talks
		c.failures, c.notBefore = 0, time.Time{}
	default:
		c.drop()
		c.last = err
		c.notBefore = time.Now().Add(min(modbusFirstPause<<min(c.failures, 10), modbusMostPause))
		c.failures++
	}
	return data, err
}

// drop closes the connection: after a fault nobody knows where in its stream an answer begins.
func (c *modbusConn) drop() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// exchange sends one request and reads its answer.
func (c *modbusConn) exchange(ctx context.Context, q modbusRead) ([]byte, error) {
	if c.conn == nil {
		conn, err := c.dial(ctx, "tcp", c.address)
		if err != nil {
			return nil, fmt.Errorf("connecting: %w", err)
		}
		c.conn = conn
	}
	end, _ := ctx.Deadline()
	if err := c.conn.SetDeadline(end); err != nil {
		return nil, fmt.Errorf("setting a deadline: %w", err)
	}
	c.transaction++
	if _, err := c.conn.Write(q.frame(c.transaction)); err != nil {
		return nil, fmt.Errorf("asking: %w", err)
	}
	var frame [modbusMost]byte
	for {
		body, err := readModbusFrame(c.conn, &frame)
		if err != nil {
			return nil, err
		}
		if binary.BigEndian.Uint16(frame[:]) != c.transaction {
			continue // the answer to a request that was given up; the deadline bounds how many
		}
		data, err := q.answer(frame[6], body)
		if err != nil {
			return nil, err
		}
		return append([]byte(nil), data...), nil
	}
}

// modbusRead asks for n registers of a unit from an address on, or with function 1 for n coils; function
// 5 sets one coil to n.
type modbusRead struct {
	unit, function uint8
	at, n          uint16
}

// frame is the request as it is sent.
func (q modbusRead) frame(transaction uint16) []byte {
	f := binary.BigEndian.AppendUint16(nil, transaction)
	f = append(f, 0, 0, 0, 6, q.unit, q.function) // protocol 0; six bytes follow the length
	f = binary.BigEndian.AppendUint16(f, q.at)
	return binary.BigEndian.AppendUint16(f, q.n)
}

// readModbusFrame reads one frame into a buffer of the largest size and returns what follows the unit.
func readModbusFrame(r io.Reader, frame *[modbusMost]byte) ([]byte, error) {
	if _, err := io.ReadFull(r, frame[:modbusHeader]); err != nil {
		return nil, fmt.Errorf("waiting for the answer: %w", err)
	}
	protocol, length := binary.BigEndian.Uint16(frame[2:]), int(binary.BigEndian.Uint16(frame[4:]))
	if protocol != 0 {
		return nil, fmt.Errorf("%w: protocol %d: 0 is accepted", ErrModbus, protocol)
	}
	if length < 3 || length > modbusMost-modbusHeader+1 {
		return nil, fmt.Errorf("%w: length %d: 3 to %d is accepted",
			ErrModbus, length, modbusMost-modbusHeader+1)
	}
	body := frame[modbusHeader : modbusHeader+length-1]
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return body, nil
}

// modbusException is a device's refusal.
type modbusException uint8

// Error says it in the words of the specification (7).
func (e modbusException) Error() string {
	words := map[modbusException]string{
		1: "illegal function", 2: "illegal data address", 3: "illegal data value", 4: "server device failure",
		5: "acknowledge", 6: "server device busy", 8: "memory parity error", 10: "gateway path unavailable",
		11: "gateway target device failed to respond",
	}
	if w := words[e]; w != "" {
		return fmt.Sprintf("exception %d: %s", uint8(e), w)
	}
	return fmt.Sprintf("exception %d", uint8(e))
}

// answer checks what came and returns the registers' bytes.
func (q modbusRead) answer(unitID uint8, body []byte) ([]byte, error) {
	switch {
	case unitID != q.unit:
		return nil, fmt.Errorf("%w: answer of unit %d to a question for %d", ErrModbus, unitID, q.unit)
	case body[0] == q.function|0x80 && len(body) == 2:
		return nil, fmt.Errorf("%w: %w", ErrModbus, modbusException(body[1]))
	case body[0] != q.function:
		return nil, fmt.Errorf("%w: answer by function %d to function %d", ErrModbus, body[0], q.function)
	case q.function == 5:
		if len(body) != 5 || binary.BigEndian.Uint16(body[1:]) != q.at ||
			binary.BigEndian.Uint16(body[3:]) != q.n {
			return nil, fmt.Errorf("%w: answer % x to setting coil %d: its echo is accepted",
				ErrModbus, body, q.at)
		}
		return nil, nil
	case q.function == 1:
		if want := (int(q.n) + 7) / 8; len(body) != 2+want || int(body[1]) != want {
			return nil, fmt.Errorf("%w: %d bytes of coils: %d are accepted", ErrModbus, len(body)-2, want)
		}
	case len(body) != 2+2*int(q.n) || int(body[1]) != 2*int(q.n):
		return nil, fmt.Errorf("%w: %d bytes of data, %d announced: %d are accepted",
			ErrModbus, len(body)-2, body[1], 2*q.n)
	}
	return body[2:], nil
}

// ModbusMeterConfig is what a ModbusMeter is made from.
type ModbusMeterConfig struct {
	Address string        // host or host:port; port 502 if there is none
	Unit    uint8         // of the device behind the address
	Map     RegisterMap   // where it keeps what
	Timeout time.Duration // for one read; 1 s if 0
}

// ModbusMeter reads one metered branch by Modbus TCP, functions 3 and 4. The reading's time is ours, when
// the answer came: such meters do not say when they measured. See docs/device.md.
type ModbusMeter struct {
	cfg  ModbusMeterConfig
	conn *modbusConn
}

var _ fleet.Meter = (*ModbusMeter)(nil)

// gateways are the connections that are open, by address: a gateway serves few at a time, often one, and
// has many meters behind it.
var gateways = struct {
	sync.Mutex
	conns map[gateway]*modbusConn
}{conns: map[gateway]*modbusConn{}}

// gateway is an address, and what it is dialled through; nil: nothing.
type gateway struct {
	address string
	gate    *Gate
}

// openGateway is the connection to an address that all share who dial it alike.
func openGateway(g gateway, timeout time.Duration) *modbusConn {
	gateways.Lock()
	defer gateways.Unlock()
	c := gateways.conns[g]
	if c == nil {
		c = newModbusConn(g.address, timeout)
		if g.gate != nil {
			c.dial = g.gate.DialContext
		}
		gateways.conns[g] = c
	}
	return c
}

// NewModbusMeter checks the configuration; it does not connect. Meters of one address share a connection.
func NewModbusMeter(cfg ModbusMeterConfig) (*ModbusMeter, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Second
	}
	if _, _, err := net.SplitHostPort(cfg.Address); err != nil {
		cfg.Address = net.JoinHostPort(cfg.Address, modbusPort)
	}
	host, port, err := net.SplitHostPort(cfg.Address)
	switch {
	case err != nil || host == "" || port == "":
		return nil, fmt.Errorf("modbus address %q: HOST or HOST:PORT is accepted", cfg.Address)
	case cfg.Timeout < 0 || cfg.Timeout > time.Minute:
		return nil, fmt.Errorf("modbus timeout is %v: above 0, at most 1m is accepted", cfg.Timeout)
	}
	if err := cfg.Map.Validate(); err != nil {
		return nil, err
	}
	return &ModbusMeter{cfg: cfg, conn: openGateway(gateway{address: cfg.Address}, cfg.Timeout)}, nil
}

// Read asks the meter once: power, and energy if the map has it.
func (m *ModbusMeter) Read(ctx context.Context) (fleet.Reading, error) {
	watts := 0.0
	for i := range m.cfg.Map.Power {
		v, err := m.register(ctx, &m.cfg.Map.Power[i])
		if err != nil {
			return fleet.Reading{}, fmt.Errorf("power: %w", err)
		}
		watts += v
	}
	at := time.Now()
	r := fleet.Reading{At: at}
	var err error
	if r.Watts, err = shownWatts(watts); err != nil {
		return fleet.Reading{}, err
	}
	if m.cfg.Map.Energy.Type == 0 {
		return r, nil
	}
	joules, err := m.register(ctx, &m.cfg.Map.Energy)
	if err != nil {
		return fleet.Reading{}, fmt.Errorf("energy: %w", err)
	}
	if joules < 0 || joules > float64(maxEnergy) {
		return fleet.Reading{}, fmt.Errorf("%w: energy is %g J: 0 to %d J is accepted",
			ErrReading, joules, maxEnergy)
	}
	r.Energy = unit.Joules(joules)
	return r, nil
}

// register reads one register in its own unit: watts or joules.
func (m *ModbusMeter) register(ctx context.Context, r *Register) (float64, error) {
	data, err := m.conn.read(ctx, modbusRead{m.cfg.Unit, r.Function, r.Address, r.Type.words()})
	if err != nil {
		return 0, fmt.Errorf("%s unit %d register %d: %w", m.cfg.Address, m.cfg.Unit, r.Address, err)
	}
	v, err := r.Value(data)
	if err != nil {
		return 0, fmt.Errorf("%s unit %d register %d: %w", m.cfg.Address, m.cfg.Unit, r.Address, err)
	}
	return v, nil
}
