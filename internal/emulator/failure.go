package emulator

import (
	"encoding/json"
	"fmt"
	"strconv"
	"syscall"
	"time"
)

// failure is a session that the function did not answer, or not acceptably. The
// caller gets it as a function error.
type failure struct {
	errorType string // in the payload
	message   string // in the payload, after the request id
	body      []byte // instead of both, if the runtime posted it
	status    string // in the report line
	reported  string // error type in the report line; may be empty
	over      bool   // the process is gone
}

// payload is what the caller gets.
func (f *failure) payload(id string) []byte {
	if f.body != nil {
		return f.body
	}
	message := f.message
	if f.over {
		message = "RequestId: " + id + " Error: " + message
	}
	b, err := json.Marshal(struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}{f.errorType, message})
	if err != nil {
		panic(err) // strings only
	}
	return b
}

// within fills in the function's timeout, which await does not know.
func (f *failure) within(timeout time.Duration) *failure {
	if f.status == "timeout" {
		f.message = fmt.Sprintf("Task timed out after %.2f seconds", timeout.Seconds())
	}
	return f
}

func timedOut() *failure {
	return &failure{errorType: "Sandbox.Timedout", status: "timeout", over: true}
}

func exitFailure(ws syscall.WaitStatus) *failure {
	message := "Runtime exited without providing a reason"
	switch {
	case ws.Signaled():
		message = "Runtime exited with error: signal: " + ws.Signal().String()
	case ws.ExitStatus() != 0:
		message = "Runtime exited with error: exit status " + strconv.Itoa(ws.ExitStatus())
	}
	return &failure{errorType: "Runtime.ExitError", message: message, status: "error", reported: "Runtime.ExitError", over: true}
}

func outOfMemory() *failure {
	return &failure{
		errorType: "Runtime.ExitError", message: "Runtime exited with error: signal: killed",
		status: "error", reported: "Runtime.OutOfMemory", over: true,
	}
}

func startFailed(err error) *failure {
	return &failure{errorType: "Runtime.InvalidEntrypoint", message: err.Error(), status: "error", reported: "Runtime.InvalidEntrypoint", over: true}
}

func initFailed(a answer) *failure {
	return &failure{body: a.body, status: "error", reported: a.errorType, over: true}
}

func responseTooLarge() *failure {
	return &failure{
		errorType: "Function.ResponseSizeTooLarge",
		message:   fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", MaxResponse),
		status:    "error", reported: "Function.ResponseSizeTooLarge",
	}
}
