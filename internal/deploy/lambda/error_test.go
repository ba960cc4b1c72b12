package lambda

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/infinicache/infinicache/internal/emulator"
	driver "github.com/infinicache/infinicache/internal/platform/lambda"
)

// scripted makes a Deployer whose platform is h, and counts the calls it gets.
func scripted(t *testing.T, h http.HandlerFunc, changes ...func(*Config)) (*Deployer, *atomic.Int64) {
	t.Helper()
	var calls atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		h(w, r)
	}))
	t.Cleanup(srv.Close)
	cfg := Config{Pool: load(t, shortFile), Archive: archive(t, "v1"), AWS: driver.Local(srv.URL)}
	for _, change := range changes {
		change(&cfg)
	}
	d, err := newDeployer(cfg, tempo{poll: time.Millisecond, backoff: time.Millisecond, attempts: 3})
	if err != nil {
		t.Fatal(err)
	}
	return d, &calls
}

// refuse answers as the platform does that refuses something.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("X-Amzn-ErrorType", code)
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"Type":"User","Message":%q}`, message)
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		name, code, message string
		status              int
		kind                Kind
		calls               int64 // of the one that fails
		want                string
	}{
		{"denied", "AccessDeniedException", "User: u is not authorized to perform: lambda:CreateFunction on resource: r because no identity-based policy allows it", 403, Denied, 1, "--policy deployer"},
		{"may not pass the role", "AccessDeniedException", "User: u is not authorized to perform: iam:PassRole on resource: r", 403, Denied, 1, "allow iam:PassRole"},
		{"wrong key", "UnrecognizedClientException", "The security token included in the request is invalid.", 403, Credentials, 1, "AWS_PROFILE"},
		{"expired", "ExpiredTokenException", "The security token included in the request is expired", 403, Credentials, 1, "aws sso login"},
		{"too fast", "TooManyRequestsException", "Rate exceeded", 429, Throttled, 3, "goes on where it was"},
		{"role too new", "InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda.", 400, Role, 3, "--policy trust"},
		{"concurrency", "InvalidParameterValueException", "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [100].", 400, Quota, 1, "Service Quotas"},
		{"code storage", "CodeStorageExceededException", "Code storage limit exceeded.", 400, Quota, 1, "Service Quotas"},
		{"too large", "RequestEntityTooLargeException", "Request must be smaller than 70167211 bytes", 413, TooLarge, 1, "strip"},
		{"unzips too large", "InvalidParameterValueException", "Unzipped size must be smaller than 262144000 bytes", 400, TooLarge, 1, "strip"},
		{"subnet", "InvalidSubnetIDException", "no such subnet", 502, Network, 3, "one VPC"},
		{"parameter", "InvalidParameterValueException", "The runtime parameter of provided.al2 is no longer supported", 400, Refused, 1, "change the pool file"},
		{"changed by somebody", "ResourceConflictException", "The operation cannot be performed at this time. An update is in progress for resource: arn", 409, Busy, 3, "nobody else"},
		{"broken", "ServiceException", "x", 500, Unavailable, 3, "run the same again"},
		{"unknown", "", "", 418, Refused, 1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var creations atomic.Int64
			d, _ := scripted(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					fmt.Fprint(w, `{"Functions":[]}`)
					return
				}
				creations.Add(1)
				refuse(w, tt.status, tt.code, tt.message)
			}, func(c *Config) { c.Pool.Nodes = 1 })
			plan, err := d.Plan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			err = d.Apply(t.Context(), plan)
			if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), "create function cache-0: ") || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.message) {
				t.Errorf("Apply = %v, want %v with %q", err, tt.kind, tt.want)
			}
			if n := creations.Load(); n != tt.calls {
				t.Errorf("%d attempts, want %d", n, tt.calls)
			}
		})
	}
}

func TestNoCredentials(t *testing.T) {
	d, calls := scripted(t, func(http.ResponseWriter, *http.Request) {}, func(c *Config) {
		c.AWS.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New("no role of this machine")
		})
	})
	if _, err := d.Plan(t.Context()); !errors.Is(err, Credentials) || !strings.Contains(err.Error(), "no role of this machine") {
		t.Errorf("Plan = %v", err)
	}
	findings := check(t, d)
	if len(findings) != 1 || findings[0].Status != Failure || !strings.Contains(findings[0].Mend, "AWS_PROFILE") {
		t.Errorf("found %+v", findings)
	}
	if n := calls.Load(); n != 0 {
		t.Errorf("%d calls were made without credentials", n)
	}
}

func TestNobodyAnswers(t *testing.T) {
	d, _ := scripted(t, nil)
	srv := httptest.NewServer(http.NotFoundHandler())
	url := srv.URL
	srv.Close()
	cfg := d.cfg
	cfg.AWS = driver.Local(url)
	gone, err := newDeployer(cfg, d.tempo)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gone.Plan(t.Context()); !errors.Is(err, Unreachable) || !strings.Contains(err.Error(), "list functions") {
		t.Errorf("Plan = %v", err)
	}
	if f := found(t, check(t, gone), "platform"); f.Status != Failure || !strings.Contains(f.Mend, "region") {
		t.Errorf("platform: %+v", f)
	}
}

// TestSomethingElseAnswers has a web server, and worse, in the platform's place.
func TestSomethingElseAnswers(t *testing.T) {
	chunk := bytes.Repeat([]byte(" "), 1<<20)
	for name, answer := range map[string]http.HandlerFunc{
		"page":    func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>Welcome</html>") },
		"refusal": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>no</html>", http.StatusForbidden) },
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(chunk); err != nil {
					return // the deployment hung up
				}
			}
		},
	} {
		d, _ := scripted(t, answer)
		d.tempo.attempts = 1
		_, err := d.Plan(t.Context())
		if !errors.Is(err, Unreachable) || !strings.Contains(err.Error(), "does not speak the API of AWS Lambda (HTTP ") || !strings.Contains(err.Error(), "--endpoint") {
			t.Errorf("%s: Plan = %v", name, err)
		}
	}
}

// TestSilenceIsBoundedAndTold has a platform that takes calls and never answers, and
// one that refuses some.
func TestSilenceIsBoundedAndTold(t *testing.T) {
	for want, tt := range map[string]struct {
		patience time.Duration
		answer   http.HandlerFunc
	}{
		"does not answer":             {20 * time.Millisecond, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		"answers 503 Service Unavail": {time.Minute, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }},
	} {
		var mu sync.Mutex
		var told []string
		d, calls := scripted(t, tt.answer, func(c *Config) {
			c.Progress = func(_, total int, doing string) {
				mu.Lock()
				defer mu.Unlock()
				if total == 0 {
					told = append(told, doing)
				}
			}
		})
		impatient := d.tempo
		impatient.patience, impatient.attempts = tt.patience, 3
		d, err := newDeployer(d.cfg, impatient)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Plan(t.Context()); !errors.Is(err, Unavailable) {
			t.Errorf("%s: Plan = %v", want, err)
		}
		if n := calls.Load(); n != 3 {
			t.Errorf("%s: %d calls", want, n)
		}
		if len(told) != 1 || !strings.Contains(told[0], want) {
			t.Errorf("told %q, want one with %q", told, want)
		}
	}
}

func TestNewReportsEveryBadField(t *testing.T) {
	_, err := New(Config{AtOnce: 3})
	if err == nil {
		t.Fatal("New accepts it")
	}
	for _, field := range []string{"AtOnce", "region", "AWS.Credentials"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("complaint lacks %s: %v", field, err)
		}
	}
}

// TestTagsThatMayNotBeRead sees that a function is nobody's to change unless its
// tags say so.
func TestTagsThatMayNotBeRead(t *testing.T) {
	d, _ := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/functions") {
			fmt.Fprint(w, `{"Functions":[{"FunctionName":"cache-0"}]}`)
			return
		}
		fmt.Fprint(w, `{"Configuration":{"FunctionName":"cache-0","State":"Active"},"TagsError":{"ErrorCode":"AccessDeniedException","Message":"no"}}`)
	})
	_, err := d.Plan(t.Context())
	var denied *Error
	if !errors.As(err, &denied) || denied.Kind != Denied || denied.Action != "lambda:ListTags" {
		t.Errorf("Plan = %v", err)
	}
}

// TestChangeThatFails has the platform take a change and fail at it later.
func TestChangeThatFails(t *testing.T) {
	for _, state := range []string{`"State":"Failed","StateReason":"no addresses"`, `"State":"Active","LastUpdateStatus":"Failed","LastUpdateStatusReason":"no addresses"`} {
		var looks atomic.Int64
		d, _ := scripted(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodPost:
				w.WriteHeader(http.StatusCreated)
				fmt.Fprint(w, `{}`)
			case strings.HasSuffix(r.URL.Path, "/functions"):
				fmt.Fprint(w, `{"Functions":[]}`)
			case looks.Add(1) < 3:
				fmt.Fprint(w, `{"Configuration":{"State":"Pending"}}`)
			default:
				fmt.Fprintf(w, `{"Configuration":{%s}}`, state)
			}
		}, func(c *Config) { c.Pool.Nodes = 1 })
		plan, err := d.Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Apply(t.Context(), plan); !errors.Is(err, Failed) || !strings.Contains(err.Error(), "no addresses") {
			t.Errorf("%s: Apply = %v", state, err)
		}
		if n := looks.Load(); n != 3 {
			t.Errorf("%s: looked %d times", state, n)
		}
	}
}

func TestEveryKindHasItsWords(t *testing.T) {
	for k := Kind(0); k < kinds; k++ {
		if k.String() == "" || mends[k] == "" && k != Clash {
			t.Errorf("kind %d is %q and is mended by %q", k, k, mends[k])
		}
	}
}

// TestDenialsNameTheAction has each call that a deployment makes be denied.
func TestDenialsNameTheAction(t *testing.T) {
	for _, operation := range []string{
		"ListFunctions", "GetFunction", "CreateFunction", "PutFunctionConcurrency", "UpdateFunctionConfiguration",
		"UpdateFunctionCode", "TagResource", "DeleteFunctionConcurrency", "DeleteFunction",
	} {
		control := slowly
		control.Faults = []emulator.Fault{{
			Operation: operation, Status: http.StatusForbidden, Type: "AccessDeniedException",
			Message: "User: arn:aws:iam::1:user/x is not authorized to perform: lambda:" + operation + " on resource: y",
		}}
		e := embedded(t, control)
		attempt := func(d *Deployer) error {
			plan, err := d.Plan(t.Context())
			if err != nil {
				return err
			}
			return d.Apply(t.Context(), plan)
		}
		err := attempt(deployer(t, e, "v1"))
		if err == nil {
			err = attempt(deployer(t, e, "v2", func(c *Config) {
				c.Pool.Nodes, c.Pool.Memory, c.Pool.Concurrency, c.Pool.Tags, c.LoseObjects = 2, 512<<20, 0, map[string]string{"a": "b"}, true
			}))
		}
		var denied *Error
		if !errors.As(err, &denied) || denied.Kind != Denied || denied.Action != "lambda:"+operation || !strings.Contains(denied.Mend, "--policy deployer") {
			t.Errorf("%s: %v", operation, err)
		}
	}
}
