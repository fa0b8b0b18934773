package devicetest

import (
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hashlease/hashlease/pool/fleet"
)

// ModbusSocket is a relay behind Modbus TCP with a machine on it. Source: MODBUS Application Protocol
// Specification 1.1b3, 6.1 (read coils) and 6.5 (write single coil, 0xFF00 is on, answered by its echo).
type ModbusSocket struct {
	Machine *Machine
	Unit    uint8
	Coil    uint16
}

// Serve answers on ln until it is closed, and returns when every connection has ended.
func (s *ModbusSocket) Serve(ln net.Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		wg.Go(func() { // ends when the other side hangs up
			s.talk(conn)
			_ = conn.Close()
		})
	}
}

func (s *ModbusSocket) talk(conn net.Conn) {
	var req [12]byte
	for {
		if _, err := io.ReadFull(conn, req[:]); err != nil {
			return
		}
		d := s.Machine.Defects()
		time.Sleep(d.Late)
		switch {
		case d.Dead:
			continue
		case d.Broken:
			_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			return
		case d.Flood:
			flood(conn)
			return
		case d.Echo:
			_, _ = conn.Write(req[:])
			return
		}
		if _, err := conn.Write(s.answer(&req)); err != nil {
			return
		}
	}
}

func (s *ModbusSocket) answer(req *[12]byte) []byte {
	unit, function := req[6], req[7]
	at, value := binary.BigEndian.Uint16(req[8:]), binary.BigEndian.Uint16(req[10:])
	refuse := func(code byte) []byte { return modbusFrame(req, unit, function|0x80, []byte{code}) }
	switch {
	case unit != s.Unit:
		return refuse(11)
	case at != s.Coil:
		return refuse(2)
	case function == 1 && value == 1:
		return modbusFrame(req, unit, function, []byte{1, byte(btoi(s.Machine.powered()))})
	case function == 5 && value == 0:
		s.Machine.Order(fleet.Paused, 0)
	case function == 5 && value == 0xff00:
		s.Machine.Order(fleet.Free, 0)
	case function == 5:
		return refuse(3)
	default:
		return refuse(1)
	}
	return modbusFrame(req, unit, function, append([]byte(nil), req[8:12]...))
}

// powered says that the machine's socket is on.
func (m *Machine) powered() bool { return m.Body.State().Mode != fleet.Paused }

// HTTPSocket is an outlet of a PDU with a web interface: POST /outlet/1/on and /outlet/1/off, GET
// /outlet/1 answers {"outlet": {"state": "on"}}.
type HTTPSocket struct{ Machine *Machine }

var _ http.Handler = (*HTTPSocket)(nil)

// ServeHTTP answers one request.
func (s *HTTPSocket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.Machine.Answers(w, r) {
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /outlet/1":
		state := "off"
		if s.Machine.powered() {
			state = "on"
		}
		writeJSON(w, map[string]any{"outlet": map[string]any{"state": state}})
	case "POST /outlet/1/on":
		s.Machine.Order(fleet.Free, 0)
	case "POST /outlet/1/off":
		s.Machine.Order(fleet.Paused, 0)
	default:
		http.NotFound(w, r)
	}
}

// reboot lets a machine begin anew whose socket stays as it is: one that is off, stays off.
func (m *Machine) reboot() {
	mode := fleet.Free
	if !m.powered() {
		mode = fleet.Paused
	}
	m.Body.Reboot(mode, 0)
}

// Reboot implements Rebooter: a relay is not the machine's.
func (s *ModbusSocket) Reboot() { s.Machine.reboot() }

// Reboot implements Rebooter: an outlet is not the machine's.
func (s *HTTPSocket) Reboot() { s.Machine.reboot() }
