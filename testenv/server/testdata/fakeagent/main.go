// Command fakeagent stands in for the agent in the tests of package server: it serves /readyz where its configuration
// says, burns some CPU time first, and ends on SIGTERM.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) < 4 || os.Args[1] != "agent" || os.Args[2] != "-c" {
		return fmt.Errorf("arguments are %q, want agent -c FILE", os.Args[1:])
	}
	conf, err := os.ReadFile(os.Args[3])
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(conf), "admin: ")
	admin, _, _ := strings.Cut(rest, "\n")
	network := "tcp"
	if path, ok := strings.CutPrefix(admin, "unix:"); ok {
		network, admin = "unix", path
	}
	var used syscall.Rusage
	for used.Utime.Nano()+used.Stime.Nano() < 60_000_000 {
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
			return err
		}
	}
	ln, err := net.Listen(network, admin)
	if err != nil {
		return err
	}
	http.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ready") })
	http.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, r.Method, " ", r.Header.Get("Authorization"), " ", string(body))
	})
	if err := os.MkdirAll("data", 0o700); err != nil {
		return err
	}
	if err := os.WriteFile("data/admin.token", []byte("t0ken\n"), 0o600); err != nil {
		return err
	}
	go http.Serve(ln, nil)
	fmt.Println("fake agent on", admin, os.Getenv("FAKE"))
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
	return nil
}
