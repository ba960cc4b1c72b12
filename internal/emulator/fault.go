package emulator

import (
	"fmt"
	"net/http"
)

// fault is an error of an API itself: what was asked for was not done.
type fault struct {
	status int
	kind   string // the exception's name
	fields map[string]string
}

// refuse makes a fault of the caller's making.
func refuse(status int, kind, format string, args ...any) *fault {
	return &fault{status, kind, map[string]string{"Type": "User", messageField(kind): fmt.Sprintf(format, args...)}}
}

// messageField is the member of an exception that has its message: the API's
// model does not call it the same in all.
func messageField(kind string) string {
	switch kind {
	case "ResourceNotFoundException", "ServiceException":
		return "Message"
	}
	return "message"
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

// functionNotFound takes the name with :QUALIFIER, where there was one.
func functionNotFound(name string) *fault {
	return refuse(http.StatusNotFound, "ResourceNotFoundException", "Function not found: %s", functionARN(name))
}

func noSuchOperation() *fault {
	return refuse(http.StatusNotFound, "UnknownOperationException", "operation is not served")
}

func badContent(err error) *fault {
	return refuse(http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json: %v", err)
}

func badParameter(format string, args ...any) *fault {
	return refuse(http.StatusBadRequest, "InvalidParameterValueException", format, args...)
}

func payloadTooLarge(n int64, invocationType string, limit int) *fault {
	return refuse(http.StatusRequestEntityTooLarge, "RequestTooLargeException",
		"%d byte payload is too large for the %s invocation type (limit %d bytes)", n, invocationType, limit)
}

func serviceStopped() *fault { return serviceFailed(http.StatusServiceUnavailable, ErrStopped) }

// serviceFailed is a fault of the platform's own making.
func serviceFailed(status int, err error) *fault {
	return &fault{status, "ServiceException", map[string]string{"Type": "Service", "Message": err.Error()}}
}
