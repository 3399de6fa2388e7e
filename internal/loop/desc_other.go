//go:build !linux

package loop

import (
	"errors"
	"net"
	"syscall"
)

// EAGAIN is what Read and Write return when they would have to wait.
const EAGAIN = syscall.EAGAIN

// Own never makes a Desc on these systems.

var errNoDesc = errors.New("loop: descriptors are polled on Linux only")

func (d *Desc) watchOn(*Loop) error { return errNoDesc }

func (l *Loop) unwatch(*Desc) {}

// AwaitWrite asks to be told when the descriptor takes bytes again, after a Write that returned EAGAIN.
func (d *Desc) AwaitWrite() error { return errNoDesc }

// Read reads what is there: 0 and no error at the end of the stream.
func (d *Desc) Read([]byte) (int, error) { return 0, errNoDesc }

// Write writes what the system takes now.
func (d *Desc) Write([]byte) (int, error) { return 0, errNoDesc }

// Stirred reports whether there is something to read, be it the end. It does not touch what is there.
func (d *Desc) Stirred() bool { return true }

// Close closes the connection. OnReady may still run once, with what was on its way.
func (d *Desc) Close() {}

// Disown gives the connection back as what it was before Own.
func (d *Desc) Disown() (net.Conn, error) { return nil, errNoDesc }
