package link

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/sluice-mesh/sluice/protocols/control"
)

// Bounds of a connection.
const (
	helloTimeout = 10 * time.Second // for the answers to the request and to Hello
	writeTimeout = 20 * time.Second // of one frame
	frameTimeout = 5 * time.Minute  // of reading one, however steadily its bytes come
	maxRefusal   = 4 << 10
)

// open connects to a centre and asks for a link.
func (l *Link) open(ctx context.Context, center string) (*session, error) {
	at, err := address(center)
	if err != nil {
		return nil, err
	}
	held := l.id.credential()
	if held == nil { // ensure returned without one: it cannot
		return nil, errors.New("there is no certificate for the centre")
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	raw, err := dialer.DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, held.config(l.opt.Clock.Now))
	shake, cancel := context.WithTimeout(ctx, shakeTimeout)
	defer cancel()
	if err := conn.HandshakeContext(shake); err != nil {
		raw.Close()
		return nil, explainTLS(fmt.Errorf("TLS with %s: %w", at, err))
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	in, err := upgrade(conn, at)
	if err != nil {
		raw.Close()
		return nil, err
	}
	return newSession(l, center, conn, raw, in), nil
}

// upgrade turns a connection from HTTP to frames.
func upgrade(conn net.Conn, host string) (*bufio.Reader, error) {
	conn.SetDeadline(time.Now().Add(helloTimeout))
	req, err := http.NewRequest(http.MethodPost, "https://"+host+control.PathLink, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", control.Upgrade)
	if err := req.Write(conn); err != nil {
		return nil, fmt.Errorf("asking for the link: %w", err)
	}
	in := bufio.NewReaderSize(conn, 32<<10)
	resp, err := http.ReadResponse(in, req)
	if err != nil {
		return nil, fmt.Errorf("asking for the link: %w", err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // what came of it will do
		return nil, refusalOf(resp.StatusCode, body)
	}
	if got := resp.Header.Get("Upgrade"); got != control.Upgrade {
		return nil, fmt.Errorf("the server changed to the protocol %q and not to %q", got, control.Upgrade)
	}
	return in, nil
}

// patient reads with deadlines: a connection on which nothing comes for some time is given up.
type patient struct {
	conn  net.Conn
	in    io.Reader // over conn
	quiet time.Duration
	until time.Time // of the frame
}

func (p *patient) Read(b []byte) (int, error) {
	at := time.Now().Add(p.quiet)
	if p.until.Before(at) {
		at = p.until
	}
	p.conn.SetReadDeadline(at)
	n, err := p.in.Read(b)
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		err = fmt.Errorf("nothing came from the centre for %s: %w", p.quiet, err)
	}
	return n, err
}
