package cli

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// A centre or agent whose certificate nobody vouches for gets no token, and the person hears why.
func TestUnknownAuthority(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	c, err := NewClient(s.URL, "token")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Do(context.Background(), http.MethodGet, "/v1/status", nil, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "SSL_CERT_FILE") {
		t.Errorf("a server of an unknown authority: %v", err)
	}
	if asked.Load() != 0 {
		t.Error("it was asked")
	}
}
