package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/infinicache/infinicache/internal/platform"
)

// errStalled is the cause when a call passes the bound that the driver sets on
// it, the function's timeout and more.
var errStalled = errors.New("no answer long after the function's timeout")

// kinds maps the service's error codes. A code that is not here is judged by its
// HTTP status.
var kinds = map[string]platform.Kind{
	"TooManyRequestsException": platform.Throttled,
	"ThrottlingException":      platform.Throttled,
	"Throttling":               platform.Throttled,
	"EC2ThrottledException":    platform.Throttled,
	"ENILimitReachedException": platform.Throttled,

	"ResourceNotFoundException": platform.NotFound,

	"ResourceConflictException":  platform.NotReady,
	"ResourceNotReadyException":  platform.NotReady,
	"SnapStartNotReadyException": platform.NotReady,
	"ResourceInUseException":     platform.NotReady,
	"ENINotReadyException":       platform.NotReady,

	"InvalidRequestContentException": platform.BadRequest,
	"InvalidParameterValueException": platform.BadRequest,
	"UnsupportedMediaTypeException":  platform.BadRequest,
	"RecursiveInvocationException":   platform.BadRequest,
	"ValidationException":            platform.BadRequest,

	"RequestTooLargeException":                 platform.TooLarge,
	"SerializedRequestEntityTooLargeException": platform.TooLarge,
	"RequestEntityTooLargeException":           platform.TooLarge,

	"AccessDeniedException":               platform.Denied,
	"UnrecognizedClientException":         platform.Denied,
	"InvalidSignatureException":           platform.Denied,
	"SignatureDoesNotMatch":               platform.Denied,
	"IncompleteSignatureException":        platform.Denied,
	"MissingAuthenticationTokenException": platform.Denied,
	"ExpiredTokenException":               platform.Denied,
	"InvalidClientTokenId":                platform.Denied,
	"OptInRequired":                       platform.Denied,
	"KMSAccessDeniedException":            platform.Denied,
	"EC2AccessDeniedException":            platform.Denied,
	"RequestExpired":                      platform.Denied,
	"MissingAuthenticationToken":          platform.Denied,
	"NotAuthorized":                       platform.Denied,
	"InvalidAccessKeyIdException":         platform.Denied,
	"SubscriptionRequiredException":       platform.Denied,
	"KMSDisabledException":                platform.Denied,
}

// credentials marks the errors of a provider, which the SDK passes on without a
// type of their own.
type credentials struct{ aws.CredentialsProvider }

func (c credentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	v, err := c.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return v, &credentialsError{err}
	}
	return v, nil
}

type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return "credentials: " + e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

// serviceError makes an Error of a call that gave no session's outcome. caller
// is the context that Invoke was given, bounded the one that the call had.
func serviceError(caller, bounded context.Context, node int, err error) *platform.Error {
	e := &platform.Error{Kind: platform.Unavailable, Node: node, Err: err}
	if caller.Err() != nil {
		e.Kind = platform.Canceled
		e.Err = ended(caller)
		return e
	}
	if bounded.Err() != nil {
		e.Err = context.Cause(bounded)
		return e
	}
	var provider *credentialsError
	if errors.As(err, &provider) {
		e.Kind, e.Err = platform.Denied, provider
		return e
	}
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		e.Kind = kindOfStatus(response.HTTPStatusCode())
		e.Outcome.RequestID = response.Response.Header.Get("X-Amzn-Requestid")
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		e.Reason = api.ErrorCode()
		if kind, ok := kinds[api.ErrorCode()]; ok {
			e.Kind = kind
		}
		var throttled *types.TooManyRequestsException
		if errors.As(err, &throttled) && throttled.Reason != "" {
			e.Reason = string(throttled.Reason)
		}
	}
	return e
}

// ended is the error of a context that is done: it matches both the context's
// own error and its cause.
func ended(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, ctx.Err()) {
		return fmt.Errorf("%w: %w", ctx.Err(), cause)
	}
	return context.Cause(ctx)
}

// kindOfStatus judges an error whose code is not known.
func kindOfStatus(status int) platform.Kind {
	switch {
	case status == http.StatusTooManyRequests:
		return platform.Throttled
	case status == http.StatusNotFound:
		return platform.NotFound
	case status == http.StatusConflict:
		return platform.NotReady
	case status == http.StatusRequestEntityTooLarge:
		return platform.TooLarge
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return platform.Denied
	case status >= 400 && status < 500:
		return platform.BadRequest
	}
	return platform.Unavailable
}

// functionError makes an Error of a session that the function failed, told by
// the payload that the service gave in its place.
func functionError(node int, o platform.Outcome, tail string) *platform.Error {
	var failure struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}
	_ = json.Unmarshal(o.Payload, &failure) // a function may post anything
	e := &platform.Error{Kind: platform.FunctionError, Node: node, Reason: failure.Type, Outcome: o}
	if failure.Message != "" {
		e.Err = errors.New(clip(failure.Message))
	}
	switch {
	case failure.Type == "Sandbox.Timedout",
		failure.Type == "" && strings.Contains(failure.Message, "Task timed out after "):
		e.Kind = platform.Timeout
	case failure.Type == "Runtime.ExitError", failure.Type == "Runtime.InvalidEntrypoint":
		e.Kind = platform.Exited
		if r, _ := parseTail(tail); r.errorType != "" {
			e.Reason = r.errorType // tells too little memory from an exit
		}
	case failure.Type == "Function.ResponseSizeTooLarge":
		e.Kind = platform.ResponseTooLarge
	}
	return e
}

// clip bounds a message that a function made.
func clip(s string) string {
	const most = 1 << 10
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
