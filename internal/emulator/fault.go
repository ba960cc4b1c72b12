package emulator

import (
	"fmt"
	"net/http"
)

// fault is an error of the Invoke API itself: no session was run.
type fault struct {
	status int
	kind   string // the exception's name
	fields map[string]string
}

// Reasons of a throttled invocation.
const (
	reasonConcurrency = "ReservedFunctionConcurrentInvocationLimitExceeded"
	reasonRate        = "ReservedFunctionInvocationRateLimitExceeded"
	reasonCallerRate  = "CallerRateLimitExceeded"
)

func (f *fault) write(w http.ResponseWriter) {
	w.Header().Set("X-Amzn-ErrorType", f.kind)
	writeJSON(w, f.status, f.fields)
}

func throttled(reason string) *fault {
	return &fault{http.StatusTooManyRequests, "TooManyRequestsException", map[string]string{
		"Reason": reason, "Type": "User", "message": "Rate Exceeded.",
	}}
}

func functionNotFound(name string) *fault {
	return &fault{http.StatusNotFound, "ResourceNotFoundException", map[string]string{
		"Type": "User", "Message": "Function not found: " + functionARN(name) + ":" + version,
	}}
}

func noSuchOperation() *fault {
	return &fault{http.StatusNotFound, "UnknownOperationException", map[string]string{
		"Type": "User", "Message": "operation is not served",
	}}
}

func badContent(err error) *fault {
	return &fault{http.StatusBadRequest, "InvalidRequestContentException", map[string]string{
		"Type": "User", "message": "Could not parse request body into json: " + err.Error(),
	}}
}

func badParameter(message string) *fault {
	return &fault{http.StatusBadRequest, "InvalidParameterValueException", map[string]string{
		"Type": "User", "message": message,
	}}
}

func payloadTooLarge(n int64, invocationType string, limit int) *fault {
	return &fault{http.StatusRequestEntityTooLarge, "RequestTooLargeException", map[string]string{
		"Type":    "User",
		"message": fmt.Sprintf("%d byte payload is too large for the %s invocation type (limit %d bytes)", n, invocationType, limit),
	}}
}

func serviceStopped() *fault {
	return &fault{http.StatusServiceUnavailable, "ServiceException", map[string]string{
		"Type": "Service", "Message": ErrStopped.Error(),
	}}
}
