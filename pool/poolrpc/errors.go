package poolrpc

import (
	"context"
	"errors"
	"log/slog"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// What the functions of Config may wrap to have their error understood. The text of
// such an error reaches the operator; any other is logged and answered as internal.
var (
	ErrUnknown     = errors.New("no such resource")       // NOT_FOUND
	ErrState       = errors.New("state forbids it")       // FAILED_PRECONDITION
	ErrShort       = errors.New("not enough capacity")    // RESOURCE_EXHAUSTED
	ErrUnavailable = errors.New("not available just now") // UNAVAILABLE: a retry may work
)

// As makes err one of the kinds above without changing its words, for rooms that have never heard of them.
func As(kind, err error) error { return &known{kind, err} }

type known struct{ kind, err error }

func (k *known) Error() string { return k.err.Error() }

func (k *known) Unwrap() []error { return []error{k.kind, k.err} }

// domain of ErrorInfo.
const domain = "pool.hashlease"

// retryAfter is what a caller is told to wait, in seconds.
const retryAfter = 2

// invalid collects the faults of a request, so that the operator learns all at once.
type invalid []*errdetails.BadRequest_FieldViolation

func (v *invalid) add(field, accepted string) {
	*v = append(*v, &errdetails.BadRequest_FieldViolation{Field: field, Description: accepted})
}

// err is nil if there are no faults.
func (v *invalid) err() error {
	if len(*v) == 0 {
		return nil
	}
	first := (*v)[0]
	return failure(codes.InvalidArgument, first.GetField()+": "+first.GetDescription(), "INVALID_FIELD",
		&errdetails.BadRequest{FieldViolations: *v})
}

// failure is a status with its machine-readable reason.
func failure(code codes.Code, text, reason string, more ...protoadapt.MessageV1) error {
	st := status.New(code, text)
	details := append([]protoadapt.MessageV1{&errdetails.ErrorInfo{Domain: domain, Reason: reason}}, more...)
	if with, err := st.WithDetails(details...); err == nil {
		st = with // it fails for code OK alone
	}
	return st.Err()
}

// answer translates an error of a room. It is nil for nil.
func answer(ctx context.Context, method string, err error) error {
	if err == nil {
		return nil
	}
	if _, isStatus := status.FromError(err); isStatus {
		return err // from the stream, or made on purpose
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	case errors.Is(err, ErrUnknown):
		return failure(codes.NotFound, err.Error(), "NOT_FOUND")
	case errors.Is(err, ErrState):
		return failure(codes.FailedPrecondition, err.Error(), "STATE_FORBIDS")
	case errors.Is(err, ErrShort):
		return failure(codes.ResourceExhausted, err.Error(), "NO_CAPACITY")
	case errors.Is(err, ErrUnavailable):
		return failure(codes.Unavailable, err.Error(), "UNAVAILABLE",
			&errdetails.RetryInfo{RetryDelay: &durationpb.Duration{Seconds: retryAfter}})
	}
	slog.ErrorContext(ctx, "operator call failed", slog.String("method", method), slog.Any("error", err))
	return failure(codes.Internal, method+" failed; the server's log says why", "INTERNAL")
}
