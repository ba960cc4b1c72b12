package emulator

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	// maxEvents is how many asynchronous invocations may be under way.
	maxEvents = 256
	// maxDrain is how much of a payload that is too large is read all the same,
	// so that the caller sees the refusal rather than a broken connection.
	maxDrain = 64 << 20

	requestResponse = "RequestResponse"
	event           = "Event"
	dryRun          = "DryRun"
)

// serveInvoke runs the session to its end even if the caller goes away, as the
// real service does.
func (e *Emulator) serveInvoke(w http.ResponseWriter, r *http.Request) {
	refuse := func(f *fault) {
		w.Header().Set("X-Amzn-Requestid", newID())
		f.write(w)
	}
	if !e.begin() {
		refuse(serviceStopped())
		return
	}
	defer e.tasks.Done()
	in, f := e.readInvoke(r)
	if f != nil {
		refuse(f)
		return
	}
	switch in.kind {
	case dryRun:
		w.Header().Set("X-Amzn-Requestid", newID())
		w.WriteHeader(http.StatusNoContent)
	case event:
		if f := e.later(in); f != nil {
			refuse(f)
			return
		}
		w.Header().Set("X-Amzn-Requestid", newID())
		w.WriteHeader(http.StatusAccepted)
	default:
		res, f := e.invoke(in)
		if f != nil {
			refuse(f)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("X-Amzn-Requestid", res.id)
		h.Set("X-Amz-Executed-Version", version)
		if res.failed {
			h.Set("X-Amz-Function-Error", "Unhandled")
		}
		if in.tail {
			h.Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString(res.tail))
		}
		_, _ = w.Write(res.payload)
	}
}

// later runs an asynchronous invocation, once: there is no queue and no retry.
func (e *Emulator) later(in invocation) *fault {
	select {
	case e.events <- struct{}{}:
	default:
		return throttled(reasonCallerRate)
	}
	e.tasks.Add(1) // beside the caller's own
	go func() {
		defer e.tasks.Done()
		defer func() { <-e.events }()
		if _, f := e.invoke(in); f != nil {
			e.log.Warn("asynchronous invocation dropped", "node", in.fn.node, "error", f.kind)
		}
	}()
	return nil
}

// invocation is a request that may be run.
type invocation struct {
	fn            *function
	kind          string
	payload       []byte
	clientContext string
	tenant        string // empty without tenant isolation
	tail          bool
}

func (e *Emulator) readInvoke(r *http.Request) (invocation, *fault) {
	in := invocation{kind: r.Header.Get("X-Amz-Invocation-Type")}
	limit := MaxPayload
	switch in.kind {
	case "":
		in.kind = requestResponse
	case requestResponse, dryRun:
	case event:
		limit = MaxAsyncPayload
	default:
		return in, badParameter("invocation type %q is not known", in.kind)
	}

	payload, err := io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
	if err != nil {
		return in, badContent(err)
	}
	if len(payload) > limit {
		rest, _ := io.Copy(io.Discard, io.LimitReader(r.Body, maxDrain))
		return in, payloadTooLarge(max(int64(len(payload))+rest, r.ContentLength), in.kind, limit)
	}

	var f *fault
	if in.fn, f = e.invocable(r); f != nil {
		return in, f
	}
	if in.tenant, f = tenantOf(r, in.fn.perTenant); f != nil {
		return in, f
	}
	if c := r.Header.Get("X-Amz-Client-Context"); c != "" {
		b, err := base64.StdEncoding.DecodeString(c)
		if err != nil || !json.Valid(b) {
			return in, badContent(fmt.Errorf("client context must be a valid Base64-encoded JSON object"))
		}
		in.clientContext = strings.NewReplacer("\r", " ", "\n", " ").Replace(string(b))
	}
	switch r.Header.Get("X-Amz-Log-Type") {
	case "", "None":
	case "Tail":
		in.tail = true
	default:
		return in, badParameter("log type must be None or Tail")
	}
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	if !json.Valid(payload) {
		return in, badContent(json.Unmarshal(payload, new(json.RawMessage)))
	}
	in.payload = payload
	return in, nil
}

// invocable finds the function that a request names, if it can be invoked.
func (e *Emulator) invocable(r *http.Request) (*function, *fault) {
	name, qualifier := qualified(r)
	e.mu.Lock()
	defer e.mu.Unlock()
	fn := e.byName[name]
	if fn == nil || qualifier != version {
		return nil, functionNotFound(name + ":" + qualifier)
	}
	if e.settle(fn, time.Now()); fn.pending {
		return nil, pendingFunction()
	}
	return fn, nil
}

// qualified takes a function's name out of a request, and which version is
// meant: the latest unless it says otherwise.
func qualified(r *http.Request) (name, qualifier string) {
	name, qualifier = splitName(r.PathValue("name"))
	if q := r.URL.Query().Get("Qualifier"); q != "" {
		qualifier = q
	}
	return name, cmp.Or(qualifier, version)
}

// splitName takes a function's name out of the forms in which callers may give
// it: NAME, ACCOUNT:function:NAME and arn:…:function:NAME, each with :QUALIFIER
// or without.
func splitName(s string) (name, qualifier string) {
	if _, after, ok := strings.Cut(s, ":function:"); ok {
		s = after
	} else if after, ok := strings.CutPrefix(s, "function:"); ok {
		s = after
	}
	name, qualifier, _ = strings.Cut(s, ":")
	return name, qualifier
}
