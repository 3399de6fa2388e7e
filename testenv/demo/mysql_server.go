package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	engine "github.com/dolthub/go-mysql-server"
	"github.com/dolthub/go-mysql-server/memory"
	"github.com/dolthub/go-mysql-server/server"
	enginesql "github.com/dolthub/go-mysql-server/sql"
	"github.com/sirupsen/logrus"
)

// mysqlServer is a go-mysql-server with its tables in memory.
//
// It keeps no account of who writes what: of two sessions that change a table at the same time, one loses its change. So
// the application has one goroutine that writes.
type mysqlServer struct {
	addr    string
	engine  *engine.Engine
	builder server.SessionBuilder

	mu   sync.Mutex // guards door
	door *door      // nil while the server is down
}

func startMySQL(_ *stage, group string) (embedded, error) {
	quietMySQL()
	db := memory.NewDatabase(shop)
	db.EnablePrimaryKeyIndexes()
	provider := memory.NewDBProvider(db)
	s := &mysqlServer{
		addr: "127.0.0.1:0", engine: engine.NewDefault(provider), builder: server.SessionBuilder(memory.NewSessionBuilder(provider)),
	}
	err := s.Up()
	if err == nil {
		err = fillShop(s.addr, group)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("embedded mysql of %s: %w", group, err)
	}
	return s, nil
}

func (s *mysqlServer) Addr() string { return s.addr }

func (s *mysqlServer) Up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.door != nil {
		return nil
	}
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	s.addr = l.Addr().String()
	d := &door{Listener: l, inside: make(map[*guest]struct{})}
	srv, err := server.NewServer(server.Config{Listener: d, Address: s.addr, Version: "8.0.31"}, s.engine,
		enginesql.NewContext, s.builder, nil)
	if err != nil {
		l.Close()
		return err
	}
	d.wg.Go(func() { _ = srv.Start() }) // it ends when the door closes
	s.door = d
	return nil
}

func (s *mysqlServer) Down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.door != nil {
		s.door.shut()
		s.door = nil
	}
}

func (s *mysqlServer) Close() {
	s.Down()
	_ = s.engine.Close() // nothing is stored
}

// quietMySQL keeps the server from writing into the table: what fails is recorded with its call.
var quietMySQL = sync.OnceFunc(func() {
	logrus.SetOutput(io.Discard)
	slog.SetDefault(slog.New(slog.DiscardHandler)) // where package log goes, too
})

// door is a listener that knows who is inside, so that a server can be taken away with its connections.
type door struct {
	net.Listener
	wg sync.WaitGroup // of the server and its connections

	mu     sync.Mutex // guards what follows
	closed bool
	inside map[*guest]struct{}
}

// guest is a connection that its handler closes when it is done with it.
type guest struct {
	net.Conn
	d *door
}

func (d *door) Accept() (net.Conn, error) {
	nc, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		nc.Close()
		return nil, net.ErrClosed
	}
	g := &guest{Conn: nc, d: d}
	d.inside[g] = struct{}{}
	d.wg.Add(1)
	return g, nil
}

func (g *guest) Close() error {
	g.d.mu.Lock()
	defer g.d.mu.Unlock()
	if _, in := g.d.inside[g]; in {
		delete(g.d.inside, g)
		g.d.wg.Done()
	}
	return g.Conn.Close()
}

// shut closes the listener and all connections, and waits for their handlers.
func (d *door) shut() {
	d.Listener.Close()
	d.mu.Lock()
	d.closed = true
	for g := range d.inside {
		g.Conn.Close()
	}
	d.mu.Unlock()
	d.wg.Wait()
}

// The database of the demo: its customers, and the orders that stay when others come and go.
const (
	shop       = "shop"
	customers  = 50
	keptOrders = 500
)

// fillShop makes the tables: in each group the same orders, and one row that tells the groups apart.
func fillShop(addr, group string) error {
	db, err := sql.Open("mysql", "root@tcp("+addr+")/"+shop)
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var orders strings.Builder
	for i := range keptOrders {
		fmt.Fprintf(&orders, ",(%d,%d,%d,'paid')", i+1, i%customers, 100+i)
	}
	var errs []error
	for _, stmt := range []string{
		"CREATE TABLE place (name VARCHAR(20) PRIMARY KEY)",
		"INSERT INTO place VALUES ('" + group + "')",
		"CREATE TABLE orders (id BIGINT PRIMARY KEY AUTO_INCREMENT, customer INT NOT NULL, cents INT NOT NULL, state VARCHAR(10) NOT NULL)",
		"INSERT INTO orders (id, customer, cents, state) VALUES " + orders.String()[1:],
	} {
		_, err := db.ExecContext(ctx, stmt)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
