package leaserpc

import (
	"context"
	"errors"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/hashlease/hashlease/lease"
	"github.com/hashlease/hashlease/lease/service"
)

// Domain is the domain of every ErrorInfo.
const Domain = "lease.hashlease"

// Reasons of errors that are not the book's refusals.
const (
	reasonKey       = "API_KEY_INVALID"
	reasonForbidden = "PERMISSION_DENIED"
	reasonRate      = "RATE_LIMITED"
	reasonOverload  = "OVERLOADED"
	reasonStarting  = "RECOVERING"
	reasonReadOnly  = "READ_ONLY"
	reasonClock     = "CLOCK_UNSTABLE"
	reasonClosed    = "SHUTTING_DOWN"
	reasonCompacted = "REVISION_COMPACTED"
	reasonFuture    = "REVISION_IN_FUTURE"
	reasonWatchers  = "TOO_MANY_WATCHES"
	reasonInternal  = "INTERNAL"
	reasonDeadline  = "DEADLINE"
)

// fail is an error with its reason, as google.rpc.Status.
func fail(code codes.Code, reason, message string, details ...protoadapt.MessageV1) error {
	return failWith(code, &errdetails.ErrorInfo{Reason: reason, Domain: Domain}, message, details...)
}

func failWith(c codes.Code, info *errdetails.ErrorInfo, message string, more ...protoadapt.MessageV1) error {
	st := status.New(c, message)
	with, err := st.WithDetails(append([]protoadapt.MessageV1{info}, more...)...)
	if err != nil { // details that do not encode are worth less than the error itself
		return st.Err()
	}
	return with.Err()
}

// retryIn is advice on when to try again.
func retryIn(d time.Duration) protoadapt.MessageV1 {
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(d)}
}

// violations gathers the faults of a request's fields.
type violations []*errdetails.BadRequest_FieldViolation

func (v *violations) add(field, accepted string) {
	*v = append(*v, &errdetails.BadRequest_FieldViolation{Field: field, Description: accepted})
}

// err is nil without a fault.
func (v violations) err() error {
	if len(v) == 0 {
		return nil
	}
	return fail(codes.InvalidArgument, lease.InvalidField.String(),
		v[0].GetField()+": "+v[0].GetDescription(), &errdetails.BadRequest{FieldViolations: v})
}

// plain are the service's errors, each with its code and reason.
var plain = []struct {
	err    error
	code   codes.Code
	reason string
	retry  time.Duration // 0: not as it is
}{
	{service.ErrRecovering, codes.Unavailable, reasonStarting, time.Second},
	{service.ErrReadOnly, codes.Unavailable, reasonReadOnly, 2 * time.Second},
	{service.ErrClock, codes.Unavailable, reasonClock, 5 * time.Second},
	{service.ErrClosed, codes.Unavailable, reasonClosed, 5 * time.Second},
	{service.ErrCompacted, codes.OutOfRange, reasonCompacted, 0},
	{service.ErrFuture, codes.OutOfRange, reasonFuture, 0},
	{service.ErrWatchers, codes.ResourceExhausted, reasonWatchers, 0},
	{context.DeadlineExceeded, codes.DeadlineExceeded, reasonDeadline, 0},
	{context.Canceled, codes.Canceled, reasonDeadline, 0},
}

// asStatus is the answer to an error of the service. What is not expected is not told.
func asStatus(err error) error {
	if err == nil {
		return nil
	}
	if refusal, ok := errors.AsType[*lease.Refusal](err); ok {
		return refused(refusal)
	}
	for _, p := range plain {
		if !errors.Is(err, p.err) {
			continue
		}
		if p.retry > 0 {
			return fail(p.code, p.reason, p.err.Error(), retryIn(p.retry))
		}
		return fail(p.code, p.reason, p.err.Error())
	}
	return fail(codes.Internal, reasonInternal, "internal error")
}

// refused is the answer to a refusal of the book.
func refused(r *lease.Refusal) error {
	reason, field := r.Kind.String(), &errdetails.BadRequest{}
	if r.Field != "" {
		v := &errdetails.BadRequest_FieldViolation{Field: r.Field, Description: r.Detail}
		field.FieldViolations = append(field.FieldViolations, v)
	}
	switch r.Kind {
	case lease.InvalidField, lease.RequestIDReused:
		return fail(codes.InvalidArgument, reason, r.Error(), field)
	case lease.TimeOutOfRange:
		return fail(codes.OutOfRange, reason, r.Error(), field)
	case lease.NoCapacity:
		return failWith(codes.ResourceExhausted,
			&errdetails.ErrorInfo{Reason: reason, Domain: Domain, Metadata: whyNot(r)}, r.Error())
	case lease.QuotaExceeded:
		return fail(codes.ResourceExhausted, reason, r.Error(), &errdetails.QuotaFailure{
			Violations: []*errdetails.QuotaFailure_Violation{{Subject: "tenant", Description: r.Detail}},
		})
	case lease.UnknownSite:
		return fail(codes.NotFound, reason, r.Error(), field)
	case lease.UnknownLease:
		return fail(codes.NotFound, reason, "there is no such lease")
	case lease.StateForbids:
		return fail(codes.FailedPrecondition, "STATE_"+r.State.String()+"_FORBIDS_"+r.Call, r.Error(),
			&errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{
				{Type: "STATE", Subject: "lease", Description: r.Detail},
			}})
	default:
		return fail(codes.Internal, reasonInternal, "internal error")
	}
}

// whyNot is what would have fitted, for programs.
func whyNot(r *lease.Refusal) map[string]string {
	m := map[string]string{
		"feeder": string(r.Feeder), "max_free_watts": strconv.FormatInt(int64(r.MaxFree), 10),
	}
	put := func(key string, t time.Time) {
		if !t.IsZero() {
			m[key] = t.Format(time.RFC3339)
		}
	}
	put("first_conflict_time", r.FirstConflict)
	put("earliest_start", r.EarliestStart)
	put("searched_until", r.SearchedUntil)
	return m
}
