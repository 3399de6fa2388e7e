package stages

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"

	peers "github.com/sluice-mesh/sluice/testenv/grpc"
	"github.com/sluice-mesh/sluice/testenv/load/resp"
	"github.com/sluice-mesh/sluice/testenv/motan"
	"github.com/sluice-mesh/sluice/testenv/server"
)

// large is the size of a large answer: more than the buffers between an agent and a slow client hold.
const large = 12 << 20

func TestRedis(t *testing.T) {
	t.Parallel()
	r := server.Start(t, server.Redis{})
	node := r.Nodes()[0]
	node.Do("SET", "large", strings.Repeat("x", large))
	node.Do("SET", "small", "x")
	l := newLab(t, "redis", node.Addr, "{}")
	get := func(key string, want int) func(string) {
		return func(addr string) {
			nc, err := resp.Dial(context.Background(), addr, nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer nc.Close()
			v, err := resp.NewConn(nc, 25*time.Second).Do("GET", key)
			if err != nil || len(v.Str) != want {
				t.Errorf("GET %s at %s: %d bytes, %v", key, addr, len(v.Str), err)
			}
		}
	}
	l.run(calls{match: "op=GET", small: get("small", 1), large: get("large", large)})
}

func TestMySQL(t *testing.T) {
	t.Parallel()
	m := server.Start(t, server.MariaDB{Args: []string{"--max-allowed-packet=64M"}})
	l := newLab(t, "mysql", m.Primary.Addr,
		fmt.Sprintf("{ users: [{ name: %s, password: %s, upstream: { password: %s } }] }", server.MariaDBUser, server.MariaDBPassword, server.MariaDBPassword))
	ask := func(n int) func(string) {
		return func(addr string) {
			db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s)/?timeout=20s&maxAllowedPacket=67108864", server.MariaDBUser, server.MariaDBPassword, addr))
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			var text string
			if err := db.QueryRow(fmt.Sprintf("SELECT REPEAT('x', %d)", n)).Scan(&text); err != nil || len(text) != n {
				t.Errorf("SELECT at %s: %d bytes, %v", addr, len(text), err)
			}
		}
	}
	l.run(calls{match: "class=read", small: ask(1), large: ask(large)})
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	n := server.Start(t, server.Nginx{Files: map[string][]byte{"large": make([]byte, large)}})
	l := newLab(t, "http", n.Addr, `{ hosts: ["*"] }`)
	get := func(path string, least int64) func(string) {
		return func(addr string) {
			c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}, Timeout: 25 * time.Second}
			answer, err := c.Get("http://" + addr + path)
			if err != nil {
				t.Error(err)
				return
			}
			defer answer.Body.Close()
			if got, err := io.Copy(io.Discard, answer.Body); err != nil || got < least {
				t.Errorf("GET %s at %s: %d bytes, %v", path, addr, got, err)
			}
		}
	}
	l.run(calls{small: get("/", 1), large: get("/files/large", large)})
}

func TestGRPC(t *testing.T) {
	t.Parallel()
	s := peers.Serve(t, peers.Server{})
	l := newLab(t, "grpc", s.Addr, `{ services: [grpc.testing.TestService] }`)
	get := func(n int32) func(string) {
		return func(addr string) {
			cc, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
			if err != nil {
				t.Error(err)
				return
			}
			defer cc.Close()
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			m, err := pb.NewTestServiceClient(cc).UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: n})
			if err != nil || len(m.GetPayload().GetBody()) != int(n) {
				t.Errorf("UnaryCall at %s: %d bytes, %v", addr, len(m.GetPayload().GetBody()), err)
			}
		}
	}
	l.run(calls{small: get(1), large: get(8 << 20)})
}

func TestMotan(t *testing.T) {
	t.Parallel()
	s := motan.Serve(t, motan.Server{})
	l := newLab(t, "motan2", s.Addr, fmt.Sprintf("{ service: %s }", motan.Service))
	get := func(n int) func(string) {
		return func(addr string) {
			c := motan.Dial(t, motan.Client{Registry: motan.Direct(addr), Parameters: map[string]string{"retries": "0"}})
			call := motan.Bytes(n)
			call.Timeout = 20 * time.Second
			if b, _ := c.Must(call).([]byte); len(b) != n {
				t.Errorf("bytes at %s: %d bytes", addr, len(b))
			}
		}
	}
	l.run(calls{small: get(1), large: get(9 << 20)})
}
