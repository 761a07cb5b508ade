package app

import (
	"errors"
	"net"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// handshakeGrace is how long handshakes that have begun may take to end.
const handshakeGrace = 100 * time.Millisecond

// turnAway lets no new connection begin, and waits until those that had begun
// have been accepted. Closing a listener resets connections that the kernel has
// taken but the program hasn't; a client would see a request fail. So the
// listener first gets a socket filter that drops every packet which opens a
// connection: its sender tries again a second later, and finds another copy of
// the program or nobody.
func turnAway(listener net.Listener) error {
	tcp, ok := listener.(*net.TCPListener)
	if !ok {
		return errors.New("not a TCP listener")
	}
	filter, err := dropSYN()
	if err != nil {
		return err
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	var attached error
	err = raw.Control(func(fd uintptr) {
		attached = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, filter)
	})
	if err := errors.Join(err, attached); err != nil {
		return err
	}
	<-time.After(handshakeGrace)
	return nil
}

// dropSYN is the filter: packets begin with the TCP header here, whose byte 13
// has the flags (RFC 9293, 3.1).
func dropSYN() (*unix.SockFprog, error) {
	const flags, syn, ack = 13, 0x02, 0x10
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: flags, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: syn | ack},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: syn, SkipTrue: 1},
		bpf.RetConstant{Val: 1 << 16}, // take it
		bpf.RetConstant{Val: 0},       // drop it
	})
	if err != nil {
		return nil, err
	}
	filter := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}, nil
}
