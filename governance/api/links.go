package api

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/governance/audit"
	"github.com/sluice-mesh/sluice/governance/auth"
	"github.com/sluice-mesh/sluice/governance/peers"
	"github.com/sluice-mesh/sluice/internal/httpapi"
	"github.com/sluice-mesh/sluice/protocols/control"
)

// fromAgent reports whether a request is one of agents, which come with certificates or join tokens and not with identities.
func (s *Server) fromAgent(r *http.Request) bool {
	return r.URL.Path == peers.Path || r.URL.Path == control.PathLink || r.URL.Path == control.PathJoin || r.URL.Path == control.PathRenew
}

// serveAgent answers agents. All of it needs TLS: the token must not be read on the way, and the certificate is the identity.
func (s *Server) serveAgent(w http.ResponseWriter, r *http.Request) {
	var err error
	switch {
	case r.TLS == nil:
		err = httpapi.Forbidden("agents speak TLS to the centre: this request came in clear")
	case r.Method != http.MethodPost:
		err = &httpapi.Error{Status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Message: "use POST"}
	case r.URL.Path == control.PathJoin:
		err = s.join(w, r)
	case r.URL.Path == control.PathRenew:
		err = s.renew(w, r)
	case r.URL.Path == peers.Path:
		err = s.peer(w, r)
	default:
		err = s.link(w, r)
	}
	if err != nil {
		httpapi.Fail(w, r, s.Log, s.explain(err))
	}
}

func (s *Server) join(w http.ResponseWriter, r *http.Request) error {
	client := httpapi.Client(r)
	if !s.tries.allowed(client) {
		return &httpapi.Error{Status: http.StatusTooManyRequests, Code: "too_many", Message: "too many refused join tokens from here: wait a minute"}
	}
	var body control.JoinRequest
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := httpapi.Decode(r, &body, "join request"); err != nil {
		return err
	}
	token := strings.TrimSpace(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	ctx := audit.By(r.Context(), audit.Actor{Who: "agent " + body.Name, What: "join", Target: body.Name})
	answer, err := s.Auth.Join(ctx, token, body)
	if errors.Is(err, auth.ErrUnauthorized) {
		s.tries.failed(client)
		s.Log.Warn("an agent may not join", "agent", body.Name, "from", client, "error", err)
		return httpapi.Unauthorized("%v", err)
	}
	if err != nil {
		return invalid(err)
	}
	s.Log.Info("an agent joined", "agent", body.Name, "from", client)
	httpapi.Reply(w, http.StatusOK, answer)
	return nil
}

// agentOf returns the agent that a connection's certificate names, unless it is shut out.
func (s *Server) agentOf(r *http.Request) (string, error) {
	name := auth.AgentOf(r.TLS)
	if name == "" {
		return "", httpapi.Unauthorized("this needs the certificate of an agent: join first")
	}
	if err := s.Auth.Admitted(r.Context(), name); err != nil {
		if errors.Is(err, auth.ErrUnauthorized) {
			return "", httpapi.Forbidden("%v", err)
		}
		return "", err
	}
	return name, nil
}

func (s *Server) renew(w http.ResponseWriter, r *http.Request) error {
	name, err := s.agentOf(r)
	if err != nil {
		return err
	}
	var body control.JoinRequest
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := httpapi.Decode(r, &body, "renewal"); err != nil {
		return err
	}
	answer, err := s.Auth.Renew(r.Context(), name, body)
	if errors.Is(err, auth.ErrUnauthorized) {
		return httpapi.Forbidden("%v", err)
	}
	if err != nil {
		return invalid(err)
	}
	httpapi.Reply(w, http.StatusOK, answer)
	return nil
}

// link turns the connection into an agent's link and serves it until it ends.
func (s *Server) link(w http.ResponseWriter, r *http.Request) error {
	name, err := s.agentOf(r)
	if err != nil {
		return err
	}
	conn, err := s.upgrade(w, r, control.Upgrade, name)
	if conn == nil {
		return err
	}
	if err := s.Fleet.Serve(s.stopped, conn, name); err != nil && s.stopped.Err() == nil {
		s.Log.Info("the link of an agent ended", "agent", name, "why", err)
	}
	return nil
}

// peer turns the connection into the link of another centre and serves it until it ends.
func (s *Server) peer(w http.ResponseWriter, r *http.Request) error {
	name := auth.CenterOf(r.TLS)
	switch {
	case name == "":
		return httpapi.Forbidden("this is for other centres of the mesh: it needs the certificate of one")
	case s.Peers == nil:
		return httpapi.Forbidden("this centre keeps its store to itself: centres that share one have center.etcd")
	}
	conn, err := s.upgrade(w, r, peers.Upgrade, name)
	if conn == nil {
		return err
	}
	if err := s.Peers.Serve(s.stopped, conn, name); err != nil && s.stopped.Err() == nil {
		s.Log.Info("another centre does not follow this one any more", "center", name, "why", err)
	}
	return nil
}

// upgrade answers 101 and takes the connection over; nil without an error when it broke.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, protocol, name string) (net.Conn, error) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), protocol) {
		return nil, &httpapi.Error{Status: http.StatusUpgradeRequired, Code: "upgrade_required", Message: "a link is asked for with Upgrade: " + protocol}
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	if n := buffered.Reader.Buffered(); n > 0 { // whoever asks waits for the 101
		s.Log.Warn("somebody spoke before the link was open", "name", name, "bytes", n)
		conn.Close()
		return nil, nil
	}
	conn.SetWriteDeadline(time.Now().Add(answerTimeout))
	_, err = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + protocol + "\r\n\r\n"))
	if err != nil {
		conn.Close()
		return nil, nil
	}
	conn.SetWriteDeadline(time.Time{})
	return conn, nil
}
