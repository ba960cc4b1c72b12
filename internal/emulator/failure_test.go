package emulator

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

func TestFunctionErrors(t *testing.T) {
	type want struct {
		errorType, message string // message is a pattern
		status             string // in the report line
	}
	const id = `RequestId: [0-9a-f-]{36} Error: `
	for _, tt := range []struct {
		name    string
		cfg     Config
		payload string
		want    want
	}{
		{"timeout", Config{Timeout: 400 * time.Millisecond}, `{"op":"sleep","n":9000}`,
			want{"Sandbox.Timedout", id + `Task timed out after 0\.40 seconds`, "Status: timeout"}},
		{"exit 127", Config{}, `{"op":"exit","n":127}`,
			want{"Runtime.ExitError", id + `Runtime exited with error: exit status 127`, "Error Type: Runtime.ExitError"}},
		{"exit 0", Config{}, `{"op":"exit"}`,
			want{"Runtime.ExitError", id + `Runtime exited without providing a reason`, "Error Type: Runtime.ExitError"}},
		{"out of memory", Config{Memory: 64 << 20}, `{"op":"hoard","n":150000000}`,
			want{"Runtime.ExitError", id + `Runtime exited with error: signal: killed`, "Error Type: Runtime.OutOfMemory"}},
		{"error", Config{}, `{"op":"error"}`, want{"errorString", `asked to fail`, "Error Type: errorString"}},
		{"panic", Config{}, `{"op":"panic"}`, want{"string", `asked to panic`, "Error Type: string"}},
		{"response too large", Config{}, `{"op":"fill","n":6291556}`,
			want{"Function.ResponseSizeTooLarge", `Response payload size exceeded maximum allowed payload size \(6291556 bytes\)\.`, "Error Type: Function.ResponseSizeTooLarge"}},
		{"exit at start", Config{Env: map[string]string{roleVar: "exit"}}, `{}`,
			want{"Runtime.ExitError", id + `Runtime exited with error: exit status 127`, "Error Type: Runtime.ExitError"}},
		{"error at start", Config{Env: map[string]string{roleVar: "init error"}}, `{}`,
			want{"Init.Refused", `no`, "Error Type: Init.Refused"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, c := platform(t, tt.cfg)
			out, err := c.invoke(t, "node-0", tt.payload)
			if err != nil {
				t.Fatal(err)
			}
			if out.StatusCode != 200 || aws.ToString(out.FunctionError) != "Unhandled" {
				t.Errorf("status %d, function error %q", out.StatusCode, aws.ToString(out.FunctionError))
			}
			var got struct{ ErrorType, ErrorMessage string }
			if err := json.Unmarshal(out.Payload, &got); err != nil {
				t.Fatalf("payload %q: %v", out.Payload, err)
			}
			if got.ErrorType != tt.want.errorType || !regexp.MustCompile("^"+tt.want.message+"$").MatchString(got.ErrorMessage) {
				t.Errorf("payload %s, want %s, %s", out.Payload, tt.want.errorType, tt.want.message)
			}
			if tail := decodeTail(t, out); !strings.Contains(tail, tt.want.status) {
				t.Errorf("tail %q lacks %q", tail, tt.want.status)
			}
		})
	}
}

func decodeTail(t *testing.T, out *sdk.InvokeOutput) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(aws.ToString(out.LogResult))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestCrashKeepsEnvironment: a process that crashed is replaced within the next
// session, in the same instance and directory, and its start is not told apart.
func TestCrashKeepsEnvironment(t *testing.T) {
	e, c := platform(t, Config{})
	c.ok(t, "node-0", `{"op":"echo"}`)
	before := e.Instances()[0]
	if _, err := c.invoke(t, "node-0", `{"op":"exit","n":1}`); err != nil {
		t.Fatal(err)
	}
	if all := e.Instances(); len(all) != 1 || all[0].State != Crashed || all[0].PID != 0 {
		t.Errorf("after the crash: %+v", all)
	}
	out, err := c.invoke(t, "node-0", `{"op":"echo"}`)
	if err != nil || out.FunctionError != nil {
		t.Fatalf("after the crash: %+v, %v", out, err)
	}
	if tail := decodeTail(t, out); strings.Contains(tail, "Init Duration") {
		t.Errorf("tail %q tells of a start", tail)
	}
	if after := e.Instances()[0]; after.ID != before.ID || after.PID == before.PID {
		t.Errorf("after %+v, before %+v", after, before)
	}
}

func TestSlowStartIsDoneAgain(t *testing.T) {
	t.Parallel()
	_, c := platform(t, Config{InitTimeout: 3 * time.Second, Env: map[string]string{roleVar: "slow start"}})
	c.ok(t, "node-0", `{"op":"echo"}`)
}

func TestReportLine(t *testing.T) {
	_, c := platform(t, Config{Env: map[string]string{roleVar: "log"}})
	out, err := c.invoke(t, "node-0", `{"op":"echo"}`)
	if err != nil {
		t.Fatal(err)
	}
	tail := decodeTail(t, out)
	cold := regexp.MustCompile(`START RequestId: (\S+) Version: \$LATEST\n(?s:.*)END RequestId: (\S+)\nREPORT RequestId: (\S+)\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 256 MB\tMax Memory Used: \d+ MB\tInit Duration: [\d.]+ ms\t\n$`)
	if m := cold.FindStringSubmatch(tail); m == nil || m[1] != m[2] || m[2] != m[3] {
		t.Errorf("cold tail %q", tail)
	}
	if len(tail) > maxTail {
		t.Errorf("tail of %d bytes", len(tail))
	}
	out, err = c.invoke(t, "node-0", `{"op":"echo"}`)
	if err != nil {
		t.Fatal(err)
	}
	if tail := decodeTail(t, out); strings.Contains(tail, "Init Duration") {
		t.Errorf("warm tail %q", tail)
	}
}

func TestBilled(t *testing.T) {
	for _, tt := range []struct{ duration, init, want time.Duration }{
		{133610 * time.Microsecond, 80 * time.Millisecond, 214 * time.Millisecond},
		{1230 * time.Microsecond, 88 * time.Millisecond, 90 * time.Millisecond},
		{time.Millisecond, 0, time.Millisecond},
		{time.Millisecond + 1, 0, 2 * time.Millisecond},
		{0, 0, time.Millisecond},
	} {
		if got := (report{duration: tt.duration, init: tt.init}).billed(); got != tt.want {
			t.Errorf("billed(%v + %v) = %v, want %v", tt.duration, tt.init, got, tt.want)
		}
	}
}

// TestServiceErrors compares errors as the real SDK types them.
func TestServiceErrors(t *testing.T) {
	_, c := platform(t, Config{Rate: 2})
	status := func(err error) int {
		var r *smithyhttp.ResponseError
		if !errors.As(err, &r) {
			return 0
		}
		return r.HTTPStatusCode()
	}

	var notFound *types.ResourceNotFoundException
	_, err := c.invoke(t, "stranger", `{}`)
	if !errors.As(err, &notFound) || status(err) != http.StatusNotFound {
		t.Fatalf("no function: %v", err)
	}
	if got, want := notFound.ErrorMessage(), "Function not found: arn:aws:lambda:us-east-1:000000000000:function:stranger:$LATEST"; got != want {
		t.Errorf("message %q, want %q", got, want)
	}
	if _, err := c.invoke(t, "node-0:7", `{}`); !errors.As(err, &notFound) {
		t.Errorf("unknown version: %v", err)
	}

	var badContent *types.InvalidRequestContentException
	_, err = c.invoke(t, "node-0", `{"op":`)
	if !errors.As(err, &badContent) || status(err) != http.StatusBadRequest || !strings.HasPrefix(badContent.ErrorMessage(), "Could not parse request body into json: ") {
		t.Errorf("bad JSON: %v", err)
	}

	var tooLarge *types.RequestTooLargeException
	_, err = c.invoke(t, "node-0", string(bytes.Repeat([]byte("1"), MaxPayload+1)))
	if !errors.As(err, &tooLarge) || status(err) != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: %v", err)
	} else if got, want := tooLarge.ErrorMessage(), "6291457 byte payload is too large for the RequestResponse invocation type (limit 6291456 bytes)"; got != want {
		t.Errorf("message %q, want %q", got, want)
	}

	var badParameter *types.InvalidParameterValueException
	_, err = c.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: aws.String("node-0"), TenantId: aws.String("a")})
	if !errors.As(err, &badParameter) {
		t.Errorf("tenant: %v", err)
	}

	// None of the refusals above took of the rate's burst.
	c.ok(t, "node-0", `{"op":"echo"}`)
	var throttled *types.TooManyRequestsException
	for range 3 {
		if _, err = c.invoke(t, "node-0", `{"op":"echo"}`); err != nil {
			break
		}
	}
	if !errors.As(err, &throttled) || status(err) != http.StatusTooManyRequests ||
		throttled.Reason != types.ThrottleReasonReservedFunctionInvocationRateLimitExceeded || throttled.ErrorMessage() != "Rate Exceeded." {
		t.Errorf("rate: %v", err)
	}

	if _, err := c.ListLayers(t.Context(), &sdk.ListLayersInput{}); status(err) != http.StatusNotFound {
		t.Errorf("operation that is not served: %v", err)
	}
}

func TestInvocationTypes(t *testing.T) {
	e, c := platform(t, Config{})
	invoke := func(kind types.InvocationType) *sdk.InvokeOutput {
		t.Helper()
		out, err := c.Invoke(t.Context(), &sdk.InvokeInput{
			FunctionName: aws.String(functionARN("node-0") + ":$LATEST"), InvocationType: kind, Payload: []byte(`{"op":"echo"}`),
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := invoke(types.InvocationTypeDryRun); out.StatusCode != 204 || len(out.Payload) != 0 {
		t.Errorf("DryRun: %d %q", out.StatusCode, out.Payload)
	}
	if n := len(e.Instances()); n != 0 {
		t.Errorf("DryRun started %d instances", n)
	}
	if out := invoke(types.InvocationTypeEvent); out.StatusCode != 202 || len(out.Payload) != 0 {
		t.Errorf("Event: %d %q", out.StatusCode, out.Payload)
	}
	eventually(t, "the event's session", func() bool {
		all := e.Instances()
		return len(all) == 1 && all[0].Sessions == 1
	})
	out := invoke(types.InvocationTypeRequestResponse)
	if out.StatusCode != 200 || aws.ToString(out.ExecutedVersion) != "$LATEST" {
		t.Errorf("RequestResponse: %d %q", out.StatusCode, aws.ToString(out.ExecutedVersion))
	}
}
