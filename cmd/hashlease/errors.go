package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hashlease/hashlease/storage"
)

// Exit statuses, documented in docs/operator.md.
const (
	exitOK      = 0
	exitFailed  = 1 // something went wrong; the message says what
	exitUsage   = 2 // the command line or the request is not acceptable
	exitRefused = 3 // the service said no: no capacity, no permission, no such lease
	exitNoReach = 4 // the service cannot be reached, or cannot answer just now
)

// usageError is a command line that is not acceptable.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// errReported ends a command that has printed what is wrong as its result.
var errReported = errors.New("failed, as printed")

// ranError is how a command ended that ran on a lease. Its exit status is ours; the error is what else went
// wrong, nil if nothing did.
type ranError struct {
	error
	status int
}

// report prints an error for people and gives the exit status.
func report(e *env, err error) int {
	var usage *usageError
	var ran *ranError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errReported):
		return exitFailed
	case errors.As(err, &ran):
		if ran.error != nil {
			e.notef("hashlease: %v\n", ran.error)
		}
		return ran.status
	case errors.As(err, &usage):
		e.notef("hashlease: %v\n", err)
		return exitUsage
	}
	if answer, ok := errors.AsType[answer](err); ok {
		// What commands added around the answer stays, the library's own words around it go.
		message := plainMessage(answer.GRPCStatus().Message())
		message = strings.Replace(err.Error(), answer.Error(), message, 1)
		return reportStatus(e, answer.GRPCStatus(), message)
	}
	if errors.Is(err, context.Canceled) {
		e.notef("hashlease: interrupted\n")
		return exitFailed
	}
	e.notef("hashlease: %v\n", err)
	if errors.Is(err, storage.ErrLocked) {
		e.notef("Two servers never use one storage directory: stop the other one, or choose another " +
			"storage.dir.\n")
	}
	return exitFailed
}

// answer is an error that a service gave, or the library in its place.
type answer interface {
	error
	GRPCStatus() *status.Status
}

var transportWords = regexp.MustCompile(`^connection error: desc = "(?:transport: )?` +
	`(?:Error while dialing: |authentication handshake failed: )?(.*)"$`)

// plainMessage is a status message without the transport's layers.
func plainMessage(s string) string {
	if m := transportWords.FindStringSubmatch(s); m != nil {
		return strings.ReplaceAll(m[1], `\"`, `"`)
	}
	if strings.HasSuffix(s, "produced zero addresses") {
		return "the server's name is not known here"
	}
	return s
}

// reportStatus prints an answer of the service that is an error.
func reportStatus(e *env, s *status.Status, message string) int {
	away := s.Code() == codes.Unavailable || s.Code() == codes.DeadlineExceeded
	if away && len(s.Details()) == 0 { // the library's own: the server would say more
		e.notef("hashlease: no answer from the server: %s\n%s", message, connectHint(s.Code(), message))
		return exitNoReach
	}
	if s.Code() == codes.Canceled {
		e.notef("hashlease: interrupted\n")
		return exitFailed
	}
	if s.Code() == codes.Unauthenticated {
		message = strings.Replace(message, s.Message(), "the server does not know this key", 1)
	}
	e.notef("hashlease: %s (%s)\n", message, s.Code())
	for _, d := range s.Details() {
		printDetail(e, d, message)
	}
	switch s.Code() {
	case codes.InvalidArgument:
		return exitUsage
	case codes.Unavailable, codes.DeadlineExceeded:
		return exitNoReach
	case codes.Unauthenticated:
		e.notef("Compare --key-file, --key or HASHLEASE_KEY with what the operator gave you. " +
			"A new tenant's key is known from the server's next start on.\n")
		return exitRefused
	case codes.PermissionDenied, codes.NotFound, codes.AlreadyExists, codes.ResourceExhausted,
		codes.FailedPrecondition, codes.Aborted, codes.OutOfRange:
		return exitRefused
	default:
		return exitFailed
	}
}

func connectHint(code codes.Code, message string) string {
	switch {
	case code == codes.DeadlineExceeded:
		return "Is it running and within reach? --timeout waits longer.\n"
	case strings.Contains(message, "certificate signed by unknown authority"),
		strings.Contains(message, "certificate is not trusted"):
		return "Give the server's authority, ca.pem of its tls directory, with --ca or in HASHLEASE_CA.\n"
	case strings.Contains(message, "x509:"), strings.Contains(message, "tls:"):
		return "If the certificate is for other names: use one of them, or add this one to tls.hosts.\n"
	case strings.Contains(message, "first record does not look like a TLS handshake"):
		return "The server speaks plaintext there: --insecure is for that, on this machine only.\n"
	}
	return "Is it running, and is --server (or HASHLEASE_SERVER) its gRPC address?\n"
}

// advices say for some reasons what to do, where the message cannot know of this command line.
var advices = map[string]string{
	"REQUEST_ID_REUSED": "To repeat a booking give --start and --end as times: now, +10m and --for " +
		"mean something else at every run.",
	"CLOCK_UNSTABLE": "The operator sets the server's clock right, or says that it is: " +
		"hashlease clock accept.",
}

// printDetail prints what a refusal adds to its message: which other fields are wrong, or
// what would be possible.
func printDetail(e *env, detail any, message string) {
	add := func(subject, description string) {
		if !strings.Contains(message, description) {
			e.notef("  %s: %s\n", oneLine(subject), oneLine(description))
		}
	}
	switch d := detail.(type) {
	case *errdetails.BadRequest:
		for _, v := range d.GetFieldViolations() {
			add(v.GetField(), v.GetDescription())
		}
	case *errdetails.PreconditionFailure:
		for _, v := range d.GetViolations() {
			add(v.GetType()+" "+v.GetSubject(), v.GetDescription())
		}
	case *errdetails.QuotaFailure:
		for _, v := range d.GetViolations() {
			add(v.GetSubject(), v.GetDescription())
		}
	case *errdetails.ErrorInfo:
		e.notef("  reason: %s\n", d.GetReason())
		for _, k := range sortedKeys(d.GetMetadata()) {
			e.notef("  %s: %s\n", k, d.GetMetadata()[k])
		}
		if advice := advices[d.GetReason()]; advice != "" {
			e.notef("  %s\n", advice)
		}
	case *errdetails.RetryInfo:
		e.notef("  try again in %v\n", d.GetRetryDelay().AsDuration())
	case *errdetails.LocalizedMessage:
		e.notef("  %s\n", d.GetMessage())
	}
}
