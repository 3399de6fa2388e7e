package server

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// Nginx describes an nginx that serves HTTP:
//
//	/files/NAME   Files[NAME], by its size or, if the request asks for gzip, in chunks
//	/drop         the end of the connection, without an answer
//	/status/503   a status of its own
//	any other     its Name, the method, the target and the field X-Id, each followed by a space
type Nginx struct {
	Name  string            // default "nginx"
	Files map[string][]byte // may be nil
}

// NginxServer is a running nginx.
type NginxServer struct {
	*Process
	Name string
	Addr string
}

func (spec Nginx) start(t TB) *NginxServer {
	t.Helper()
	n := &NginxServer{Name: spec.Name, Addr: FreeAddr(t)}
	if n.Name == "" {
		n.Name = "nginx"
	}
	dir := newDir(t, "nginx")
	files := filepath.Join(dir, "files")
	if err := os.Mkdir(files, 0o755); err != nil {
		t.Fatalf("nginx: %v", err)
	}
	for name, text := range spec.Files {
		if err := os.WriteFile(filepath.Join(files, name), text, 0o644); err != nil {
			t.Fatalf("nginx: %v", err)
		}
	}
	user := ""
	if os.Getuid() == 0 { // its worker would not be allowed to read the folder otherwise
		user = "user root;\n"
	}
	conf := fmt.Sprintf(`%sdaemon off;
worker_processes 1;
pid %[2]s/nginx.pid;
error_log stderr;
events { worker_connections 4000; }
http {
  access_log off;
  default_type text/plain;
  client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/proxy; fastcgi_temp_path %[2]s/fastcgi; uwsgi_temp_path %[2]s/uwsgi; scgi_temp_path %[2]s/scgi;
  client_max_body_size 0;
  keepalive_requests 1000000;
  gzip on; gzip_types text/plain;
  server {
    listen %[3]s;
    location / { return 200 "%[4]s $request_method $request_uri $http_x_id "; }
    location /files/ { root %[2]s; }
    location /drop { return 444; }
    location /status/503 { return 503; }
  }
}
`, user, dir, n.Addr, n.Name)
	file := filepath.Join(dir, "nginx.conf")
	writeFile(t, file, conf)
	n.Process = newProcess(t, "nginx", dir, Command{Program: "nginx", Image: "nginx:1.22", Args: []string{"-p", dir, "-c", file, "-e", "stderr"}}, func() error {
		c, err := net.Dial("tcp", n.Addr)
		if err == nil {
			c.Close()
		}
		return err
	})
	n.launch()
	n.awaitReady()
	return n
}
