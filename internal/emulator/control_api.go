package emulator

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Limits of management requests, in bytes.
const (
	maxCodeRequest          = 70_167_211 // what 50 MB of zip come to
	maxConfigurationRequest = 5120
	maxControlRequest       = 64 << 10
)

// operation is one call of the management API.
type operation struct {
	name   string
	at     string // method and path
	status int    // of success
	limit  int64  // of the request's body, in bytes
	run    func(*Emulator, request) (any, *fault)
}

// request is one management call.
type request struct {
	*http.Request
	body []byte
}

// operations are all that are served, of both services. A log operation has no
// path: it is named in a header.
var operations = []operation{
	{"CreateFunction", "POST /2015-03-31/functions", http.StatusCreated, maxCodeRequest, (*Emulator).createFunction},
	{"ListFunctions", "GET /2015-03-31/functions", http.StatusOK, 0, (*Emulator).listFunctions},
	{"GetFunction", "GET /2015-03-31/functions/{name}", http.StatusOK, 0, (*Emulator).getFunction},
	{"DeleteFunction", "DELETE /2015-03-31/functions/{name}", http.StatusNoContent, 0, (*Emulator).deleteFunction},
	{"UpdateFunctionCode", "PUT /2015-03-31/functions/{name}/code", http.StatusOK, maxCodeRequest, (*Emulator).updateFunctionCode},
	{"GetFunctionConfiguration", "GET /2015-03-31/functions/{name}/configuration", http.StatusOK, 0, (*Emulator).getFunctionConfiguration},
	{"UpdateFunctionConfiguration", "PUT /2015-03-31/functions/{name}/configuration", http.StatusOK, maxConfigurationRequest, (*Emulator).updateFunctionConfiguration},
	{"PutFunctionConcurrency", "PUT /2017-10-31/functions/{name}/concurrency", http.StatusOK, maxControlRequest, (*Emulator).putFunctionConcurrency},
	{"GetFunctionConcurrency", "GET /2019-09-30/functions/{name}/concurrency", http.StatusOK, 0, (*Emulator).getFunctionConcurrency},
	{"DeleteFunctionConcurrency", "DELETE /2017-10-31/functions/{name}/concurrency", http.StatusNoContent, 0, (*Emulator).deleteFunctionConcurrency},
	{"TagResource", "POST /2017-03-31/tags/{arn}", http.StatusNoContent, maxControlRequest, (*Emulator).tagResource},
	{"UntagResource", "DELETE /2017-03-31/tags/{arn}", http.StatusNoContent, 0, (*Emulator).untagResource},
	{"ListTags", "GET /2017-03-31/tags/{arn}", http.StatusOK, 0, (*Emulator).listTags},
	{"GetAccountSettings", "GET /2016-08-19/account-settings", http.StatusOK, 0, (*Emulator).getAccountSettings},
}

// operationNames are those that a Fault may name.
func operationNames() []string {
	var all []string
	for _, op := range operations {
		all = append(all, op.name)
	}
	for name := range logOperations {
		all = append(all, name)
	}
	return all
}

// api serves everything under the paths of the real service. What is not served
// is refused as the real service refuses what it does not know.
func (e *Emulator) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2015-03-31/functions/{name}/invocations", e.serveInvoke)
	for _, op := range operations {
		mux.HandleFunc(op.at, func(w http.ResponseWriter, r *http.Request) { e.serveControl(w, r, op) })
	}
	mux.HandleFunc("POST /{$}", e.serveLogs)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amzn-Requestid", newID())
		noSuchOperation().write(w)
	})
	return mux
}

func (e *Emulator) serveControl(w http.ResponseWriter, r *http.Request, op operation) {
	w.Header().Set("X-Amzn-Requestid", newID())
	out, f := e.control(op, r)
	if f == nil && out == nil {
		w.WriteHeader(op.status)
		return
	}
	if f != nil {
		f.write(w)
		return
	}
	writeJSON(w, op.status, out)
}

// control runs one management call, unless there are too many or it is to fail.
func (e *Emulator) control(op operation, r *http.Request) (any, *fault) {
	if !e.begin() {
		return nil, serviceStopped()
	}
	defer e.tasks.Done()
	body, err := io.ReadAll(io.LimitReader(r.Body, op.limit+1))
	if err != nil {
		return nil, badContent(err)
	}
	if int64(len(body)) > op.limit {
		_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxDrain))
		return nil, requestTooLarge(fmt.Sprintf("Request must be smaller than %d bytes for the %s operation", op.limit, op.name))
	}
	injected := e.count(op.name)
	e.mu.Lock()
	f := e.throttle(op.name, time.Now())
	e.mu.Unlock()
	if f != nil {
		return nil, f
	}
	if injected != nil && !injected.Late {
		return nil, injected.fault()
	}
	if e.binary != nil {
		e.binary.sha256() // reads the file the first time, which must not be under e.mu
	}
	out, f := op.run(e, request{r, body})
	e.log.Debug("management call", "operation", op.name, "path", r.URL.Path, "refused", f != nil)
	if injected != nil {
		return nil, injected.fault()
	}
	return out, f
}

// count notes a call and returns the fault that is to befall it; nil if none is.
func (e *Emulator) count(operation string) *Fault {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls[operation]++
	all := 0
	for _, n := range e.calls {
		all += n
	}
	return e.cfg.Control.injected(operation, e.calls[operation], all)
}

// Calls is how many management calls of an operation, such as CreateFunction,
// there were, those included that were refused.
func (e *Emulator) Calls(operation string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.calls[operation]
}

// fault is what the caller gets.
func (f *Fault) fault() *fault {
	fields := map[string]string{"Type": "Service", messageField(f.Type): f.Message}
	if f.Status < 500 {
		fields["Type"] = "User"
	}
	if f.Status == http.StatusTooManyRequests {
		fields["Reason"] = reasonCallerRate
	}
	return &fault{f.Status, f.Type, fields}
}

// decode reads a request's body. Members that it does not know are ignored, as
// the real service does.
func (r request) decode(into any) *fault {
	if err := json.Unmarshal(r.body, into); err != nil {
		return badContent(err)
	}
	return nil
}

// find returns the function that a request is about, as settled as it is now.
// The caller holds e.mu.
func (e *Emulator) find(r request) (*function, *fault) {
	name, qualifier := qualified(r.Request)
	fn := e.byName[name]
	if fn == nil || qualifier != version {
		if qualifier != version {
			name += ":" + qualifier
		}
		return nil, functionNotFound(name)
	}
	e.settle(fn, time.Now())
	return fn, nil
}
