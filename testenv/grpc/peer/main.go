// Command peer is grpc-go as a program of its own: a server of the service that gRPC's implementations test each other with, and of one
// that counts its calls (counter.go), and the client of the tests of the first
// (https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md).
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	pb "google.golang.org/grpc/interop/grpc_testing"
)

func main() {
	if len(os.Args) < 3 {
		die(fmt.Errorf("usage: peer server ADDRESS [CERT KEY] | peer client ADDRESS [CA]"))
	}
	var err error
	switch os.Args[1] {
	case "server":
		err = serve(os.Args[2], os.Args[3:])
	case "client":
		err = callAll(os.Args[2], os.Args[3:])
	default:
		err = fmt.Errorf("%q is neither server nor client", os.Args[1])
	}
	if err != nil {
		die(err)
	}
}

func die(err error) {
	fmt.Fprintln(os.Stderr, "peer:", err)
	os.Exit(1)
}

// serve serves until SIGTERM, after which it lets calls end. A health service says that it is well until SIGUSR1.
func serve(addr string, files []string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	var options []grpc.ServerOption
	if len(files) == 2 {
		creds, err := credentials.NewServerTLSFromFile(files[0], files[1])
		if err != nil {
			return err
		}
		options = append(options, grpc.Creds(creds))
	}
	s := grpc.NewServer(options...)
	pb.RegisterTestServiceServer(s, interop.NewTestServer())
	(&counter{by: map[string]int64{}}).register(s)
	well := health.NewServer()
	grpc_health_v1.RegisterHealthServer(s, well)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for sig := range signals {
			switch sig {
			case syscall.SIGUSR1:
				well.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
			case syscall.SIGUSR2:
				well.SetServingStatus("", grpc_health_v1.HealthCheckResponse_SERVING)
			default:
				s.GracefulStop()
			}
		}
	}()
	fmt.Println("ready", os.Getpid())
	return s.Serve(ln)
}

// callAll runs the test cases, each of which ends the program when it fails.
func callAll(addr string, files []string) error {
	creds := insecure.NewCredentials()
	if len(files) == 1 {
		var err error
		if creds, err = credentials.NewClientTLSFromFile(files[0], "localhost"); err != nil {
			return err
		}
	}
	if !strings.HasPrefix(addr, "unix:") {
		addr = "passthrough:///" + addr
	}
	cc, err := grpc.NewClient(addr, grpc.WithTransportCredentials(creds))
	if err != nil {
		return err
	}
	defer cc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := pb.NewTestServiceClient(cc)
	for _, one := range []struct {
		name string
		run  func()
	}{
		{"empty_unary", func() { interop.DoEmptyUnaryCall(ctx, c) }},
		{"large_unary", func() { interop.DoLargeUnaryCall(ctx, c) }},
		{"client_streaming", func() { interop.DoClientStreaming(ctx, c) }},
		{"server_streaming", func() { interop.DoServerStreaming(ctx, c) }},
		{"ping_pong", func() { interop.DoPingPong(ctx, c) }},
		{"empty_stream", func() { interop.DoEmptyStream(ctx, c) }},
		{"timeout_on_sleeping_server", func() { interop.DoTimeoutOnSleepingServer(ctx, c) }},
		{"cancel_after_begin", func() { interop.DoCancelAfterBegin(ctx, c) }},
		{"cancel_after_first_response", func() { interop.DoCancelAfterFirstResponse(ctx, c) }},
		{"custom_metadata", func() { interop.DoCustomMetadata(ctx, c) }},
		{"status_code_and_message", func() { interop.DoStatusCodeAndMessage(ctx, c) }},
		{"special_status_message", func() { interop.DoSpecialStatusMessage(ctx, c) }},
		{"unimplemented_method", func() { interop.DoUnimplementedMethod(ctx, cc) }},
		{"unimplemented_service", func() { interop.DoUnimplementedService(ctx, pb.NewUnimplementedServiceClient(cc)) }},
	} {
		one.run()
		fmt.Println("passed", one.name)
	}
	return nil
}
