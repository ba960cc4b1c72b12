package lambda

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/infinicache/infinicache/internal/loopback"
	"github.com/infinicache/infinicache/internal/platform"
)

func TestNewReportsEveryBadField(t *testing.T) {
	_, err := New(Config{Timeout: time.Hour, Memory: -1, Reserved: -1, Sessions: -1})
	if err == nil {
		t.Fatal("New accepts it")
	}
	for _, field := range []string{"Prefix", "Timeout", "Memory", "Reserved", "Sessions", "AWS.Region", "AWS.Credentials"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("complaint lacks %s: %v", field, err)
		}
	}
}

func TestAddress(t *testing.T) {
	for _, tt := range []struct {
		prefix           string
		tenants          bool
		function, tenant string
	}{
		{"cache-", false, "cache-7", ""},
		{"cache-", true, "cache", "cache-7"},
		{"a_b-_", true, "a_b", "a_b-_7"},
		{"c", true, "c", "c7"},
	} {
		if function, tenant := Address(tt.prefix, 7, tt.tenants); function != tt.function || tenant != tt.tenant {
			t.Errorf("Address(%q, 7, %t) = %q, %q; want %q, %q", tt.prefix, tt.tenants, function, tenant, tt.function, tt.tenant)
		}
	}
	if _, err := New(Config{AWS: Local("http://127.0.0.1:1"), Prefix: "--", Tenants: true}); err == nil {
		t.Error("a function without a name is accepted")
	}
}

func TestTenantsTravelWithTheCall(t *testing.T) {
	for _, tenants := range []bool{false, true} {
		var path, tenant string
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			path, tenant = r.URL.Path, r.Header.Get("X-Amz-Tenant-Id")
		}))
		t.Cleanup(srv.Close)
		d, err := New(Config{AWS: Local(srv.URL), Prefix: "n-", Tenants: tenants})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		if _, err := d.Invoke(t.Context(), 3, []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
		function, want := Address("n-", 3, tenants)
		if path != "/2015-03-31/functions/"+function+"/invocations" || tenant != want {
			t.Errorf("tenants %t: invoked %s for tenant %q, want %s and %q", tenants, path, tenant, function, want)
		}
	}
}

// served makes a driver whose service is h, and counts the calls it gets.
func served(t *testing.T, h http.HandlerFunc) (*Driver, *atomic.Int64) {
	t.Helper()
	var calls atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		h(w, r)
	}))
	t.Cleanup(srv.Close)
	d, err := New(Config{AWS: Local(srv.URL), Prefix: "n"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, &calls
}

func TestServiceErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		code   string // header; empty for none
		body   string
		kind   platform.Kind
		reason string
	}{
		{"concurrency", 429, "TooManyRequestsException", `{"Reason":"ConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}`, platform.Throttled, "ConcurrentInvocationLimitExceeded"},
		{"untyped 429", 429, "", `{}`, platform.Throttled, ""},
		{"no function", 404, "ResourceNotFoundException", `{"Type":"User","Message":"Function not found"}`, platform.NotFound, "ResourceNotFoundException"},
		{"pending", 409, "ResourceConflictException", `{"message":"The function is currently in the following state: Pending"}`, platform.NotReady, "ResourceConflictException"},
		{"network interface", 502, "ENINotReadyException", `{}`, platform.NotReady, "ENINotReadyException"},
		{"bad content", 400, "InvalidRequestContentException", `{}`, platform.BadRequest, "InvalidRequestContentException"},
		{"too large", 413, "RequestTooLargeException", `{}`, platform.TooLarge, "RequestTooLargeException"},
		{"untyped 413", 413, "", `not json`, platform.TooLarge, ""},
		{"denied", 403, "AccessDeniedException", `{"Message":"not authorized to perform: lambda:InvokeFunction"}`, platform.Denied, "AccessDeniedException"},
		{"expired", 400, "", `{"__type":"ExpiredTokenException"}`, platform.Denied, "ExpiredTokenException"},
		{"service", 500, "ServiceException", `{"Type":"Service","Message":"x"}`, platform.Unavailable, "ServiceException"},
		{"proxy on the way", 503, "", `<html>`, platform.Unavailable, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, calls := served(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Amzn-Requestid", "id-1")
				if tt.code != "" {
					w.Header().Set("X-Amzn-ErrorType", tt.code)
				}
				w.WriteHeader(tt.status)
				fmt.Fprint(w, tt.body)
			})
			_, err := d.Invoke(t.Context(), 4, []byte(`{}`))
			var e *platform.Error
			if !errors.As(err, &e) {
				t.Fatalf("Invoke = %v", err)
			}
			if e.Kind != tt.kind || e.Node != 4 || tt.reason != "" && e.Reason != tt.reason {
				t.Errorf("Invoke = %v; kind %v reason %q, want %v %q", err, e.Kind, e.Reason, tt.kind, tt.reason)
			}
			if e.Outcome.RequestID != "id-1" {
				t.Errorf("request id %q", e.Outcome.RequestID)
			}
			if n := calls.Load(); n != 1 {
				t.Errorf("%d attempts", n)
			}
		})
	}
}

func TestBrokenConnectionIsOneAttempt(t *testing.T) {
	d, calls := served(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	_, err := d.Invoke(t.Context(), 0, []byte(`{}`))
	if !errors.Is(err, platform.Unavailable) {
		t.Errorf("Invoke = %v", err)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("%d attempts", n)
	}
}

func TestNobodyListens(t *testing.T) {
	d, err := New(Config{AWS: Local("http://" + loopback.Unused(t).String()), Prefix: "n"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Invoke(t.Context(), 0, []byte(`{}`)); !errors.Is(err, platform.Unavailable) {
		t.Errorf("Invoke = %v", err)
	}
}

func TestStalledCallIsGivenUp(t *testing.T) {
	release := make(chan struct{})
	d, _ := served(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	d.limit = 50 * time.Millisecond
	_, err := d.Invoke(t.Context(), 0, []byte(`{}`))
	if !errors.Is(err, platform.Unavailable) || !errors.Is(err, errStalled) {
		t.Errorf("Invoke = %v", err)
	}
}

func TestNoCredentials(t *testing.T) {
	why := errors.New("no metadata service")
	cfg := Local("http://127.0.0.1:1")
	cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, why
	})
	d, err := New(Config{AWS: cfg, Prefix: "n"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Invoke(t.Context(), 0, []byte(`{}`)); !errors.Is(err, platform.Denied) || !errors.Is(err, why) {
		t.Errorf("Invoke = %v", err)
	}
}

func TestFunctionErrors(t *testing.T) {
	for _, tt := range []struct {
		name, payload, tail string
		kind                platform.Kind
		reason              string
	}{
		{"timeout", `{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: ID Error: Task timed out after 1.00 seconds"}`, "", platform.Timeout, "Sandbox.Timedout"},
		{"timeout, older form", `{"errorMessage":"2024-01-01T00:00:00Z ID Task timed out after 3.00 seconds"}`, "", platform.Timeout, ""},
		{"a function that says so", `{"errorType":"errorString","errorMessage":"Task timed out after 3 tries"}`, "", platform.FunctionError, "errorString"},
		{"exit", `{"errorType":"Runtime.ExitError","errorMessage":"x"}`, "", platform.Exited, "Runtime.ExitError"},
		{"out of memory", `{"errorType":"Runtime.ExitError","errorMessage":"x"}`,
			"REPORT RequestId: ID\tDuration: 5.00 ms\tBilled Duration: 5 ms\tStatus: error\tError Type: Runtime.OutOfMemory\n", platform.Exited, "Runtime.OutOfMemory"},
		{"too large", `{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"x"}`, "", platform.ResponseTooLarge, "Function.ResponseSizeTooLarge"},
		{"not JSON", `oops`, "", platform.FunctionError, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, _ := served(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Amz-Function-Error", "Unhandled")
				w.Header().Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString([]byte(tt.tail)))
				fmt.Fprint(w, tt.payload)
			})
			out, err := d.Invoke(t.Context(), 0, []byte(`{}`))
			var e *platform.Error
			if !errors.As(err, &e) || e.Kind != tt.kind || e.Reason != tt.reason {
				t.Errorf("Invoke = %v, want %v (%s)", err, tt.kind, tt.reason)
			}
			if string(out.Payload) != tt.payload {
				t.Errorf("payload %q", out.Payload)
			}
		})
	}
}
