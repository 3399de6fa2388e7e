package etcd

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-mesh/sluice/governance/store"
)

// codeOf returns the grpc code of an error of the client.
func codeOf(err error) codes.Code {
	var e rpctypes.EtcdError
	switch {
	case errors.As(err, &e):
		return e.Code()
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	}
	return status.Code(err)
}

// passing reports whether the same request may succeed a little later: there was no answer, or etcd elects a leader. A
// token that has expired is renewed by the client with the next request.
func passing(err error) bool {
	switch codeOf(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Aborted, codes.Internal, codes.Unknown, codes.Unauthenticated:
		return true
	}
	return false
}

// refused reports whether etcd said no: then nothing was changed. All other errors of a change leave that open.
func refused(err error) bool {
	switch codeOf(err) {
	case codes.InvalidArgument, codes.PermissionDenied, codes.ResourceExhausted, codes.FailedPrecondition, codes.Unauthenticated,
		codes.OutOfRange, codes.Unimplemented, codes.NotFound:
		return true
	}
	return false
}

// explain makes an error of the client store.ErrFailed, and adds what to do about it.
func (s *Store) explain(err error) error { return store.Failed(s.advice(err)) }

func (s *Store) advice(err error) error {
	switch {
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("%w: etcd is full; compact and defragment it and disarm its alarm, or raise --quota-backend-bytes", err)
	case errors.Is(err, rpctypes.ErrAuthFailed), errors.Is(err, rpctypes.ErrUserEmpty):
		return fmt.Errorf("%w: check the user and the password", err)
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return fmt.Errorf("%w: grant the user readwrite on all keys with the prefix %s", err, s.prefix)
	case codeOf(err) == codes.DeadlineExceeded:
		return fmt.Errorf("etcd at %s did not answer in time: %w", s.endpoints, err)
	}
	return err
}
