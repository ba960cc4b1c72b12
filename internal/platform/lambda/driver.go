// Package lambda is the platform driver for AWS Lambda, and for whatever speaks
// its Invoke API at another endpoint URL, such as package emulator.
package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/infinicache/infinicache/internal/platform"
)

const (
	// MaxPayload and MaxResponse are the service's limits on a synchronous
	// invocation, in bytes.
	MaxPayload  = 6 << 20
	MaxResponse = 6<<20 + 100

	// MaxTimeout is the longest that a function may be configured to run.
	MaxTimeout = 15 * time.Minute

	// margin is what a call may take beyond the function's own timeout: a cold
	// start, which has a limit of its own, and the network.
	margin = 30 * time.Second
)

// Config describes the deployed functions and the way to them.
type Config struct {
	// AWS gives region, credentials and, if it is not the public service, the
	// base endpoint. Its HTTP client is used if it has one; otherwise the driver
	// makes one fit for many long calls. Its retry settings are ignored.
	AWS aws.Config

	// Prefix begins every function's name; the node's number follows.
	Prefix string
	// Tenants tells that there is one function for all nodes, in tenant-isolation
	// mode: see Address. An instance serves one tenant only, and a concurrent
	// invocation of a tenant starts a second one, as with functions of their own.
	Tenants bool

	// Timeout is the functions' configured timeout, 1 s to 15 min; zero means
	// 15 min. A call is given up some time after it.
	Timeout time.Duration
	// Memory is the functions' configured memory in bytes. It is declared, not
	// checked.
	Memory int64
	// Reserved is the concurrency reserved for each node; zero means none.
	// With 1, no second instance of a node runs. With Tenants it is each node's
	// share of what their function has.
	Reserved int
	// Sessions bounds the calls that are in flight at once; zero means no bound.
	// Functions that reserve nothing share the account's concurrency with others.
	// A call beyond it is Throttled at once, and never made.
	Sessions int
	// Notice is declared as given: 500 ms for a function that registers an
	// internal extension, zero for others.
	Notice time.Duration
	// Name is what Capabilities displays; empty means "lambda".
	Name string
	// Price is declared as given.
	Price platform.Price
}

// Driver invokes functions. It holds idle connections until Close.
type Driver struct {
	client    *lambda.Client
	prefix    string
	tenants   bool
	limit     time.Duration
	budget    budget
	caps      platform.Capabilities
	transport *http.Transport // nil if the caller gave an HTTP client
}

var _ platform.Driver = (*Driver)(nil)

// New checks cfg, reporting every bad field at once. It makes no call.
func New(cfg Config) (*Driver, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = MaxTimeout
	}
	if cfg.Name == "" {
		cfg.Name = "lambda"
	}
	var errs []error
	switch {
	case cfg.Prefix == "":
		errs = append(errs, errors.New("field Prefix: none given"))
	case cfg.Tenants && TenantFunction(cfg.Prefix) == "":
		errs = append(errs, fmt.Errorf("field Prefix: %q given, with Tenants one that is more than dashes allowed", cfg.Prefix))
	}
	if cfg.Timeout < time.Second || cfg.Timeout > MaxTimeout {
		errs = append(errs, fmt.Errorf("field Timeout: %v given, 1s to %v allowed", cfg.Timeout, MaxTimeout))
	}
	if cfg.Memory < 0 {
		errs = append(errs, fmt.Errorf("field Memory: %d given, 0 or more allowed", cfg.Memory))
	}
	if cfg.Reserved < 0 {
		errs = append(errs, fmt.Errorf("field Reserved: %d given, 0 or more allowed", cfg.Reserved))
	}
	if cfg.Sessions < 0 {
		errs = append(errs, fmt.Errorf("field Sessions: %d given, 0 or more allowed", cfg.Sessions))
	}
	if cfg.AWS.Region == "" {
		errs = append(errs, errors.New("AWS.Region: none given"))
	}
	if cfg.AWS.Credentials == nil {
		errs = append(errs, errors.New("AWS.Credentials: none given"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("lambda driver: %w", err)
	}

	d := &Driver{prefix: cfg.Prefix, tenants: cfg.Tenants, limit: cfg.Timeout + margin, budget: budget{most: int64(cfg.Sessions)}}
	d.caps = platform.Capabilities{
		Name:           cfg.Name,
		Freezes:        true,
		SecondInstance: cfg.Reserved != 1,
		TellsExit:      true,
		Notice:         cfg.Notice,
		LongestSession: cfg.Timeout,
		Memory:         cfg.Memory,
		MaxPayload:     MaxPayload,
		MaxResponse:    MaxResponse,
		Price:          cfg.Price,
	}
	cfg.AWS.Credentials = credentials{cfg.AWS.Credentials}
	d.client = lambda.NewFromConfig(cfg.AWS, func(o *lambda.Options) {
		// An attempt that is repeated behind the caller's back starts a second
		// instance of the node.
		o.Retryer = aws.NopRetryer{}
		if cfg.AWS.HTTPClient == nil {
			d.transport = newTransport()
			o.HTTPClient = &http.Client{Transport: boundedTransport{d.transport}}
		}
	})
	return d, nil
}

// Local returns the AWS part of a Config for a platform on this machine that
// serves the Invoke API at url and checks no signatures.
func Local(url string) aws.Config {
	return aws.Config{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(url),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local", Source: "local"}, nil
		}),
	}
}

// newTransport makes a transport for as many long calls as there are nodes. It
// has no time limit on a call, which a context bounds; it keeps idle connections
// from being forgotten on the way (NAT does after 350 s); and it pings a silent
// HTTP/2 connection, which otherwise stalls all calls on it for minutes.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   true,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		MaxIdleConns:        0, // no limit
		MaxIdleConnsPerHost: 4096,
		IdleConnTimeout:     90 * time.Second,
	}
}

// Close closes idle connections. Calls in flight go on.
func (d *Driver) Close() error {
	if d.transport != nil {
		d.transport.CloseIdleConnections()
	}
	return nil
}

// Capabilities returns the declared table.
func (d *Driver) Capabilities() platform.Capabilities { return d.caps }

// Address says how a node is invoked: by a function of its own, named by prefix
// and number, and no tenant; or by the function of all nodes, with that name as
// the tenant id.
func Address(prefix string, node int, tenants bool) (function, tenant string) {
	name := prefix + strconv.Itoa(node)
	if tenants {
		return TenantFunction(prefix), name
	}
	return name, ""
}

// TenantFunction names the one function of all nodes: the prefix without dashes
// and underscores at its end.
func TenantFunction(prefix string) string { return strings.TrimRight(prefix, "-_") }

// Invoke runs one session; see platform.Driver.
func (d *Driver) Invoke(ctx context.Context, node int, payload []byte) (platform.Outcome, error) {
	switch {
	case ctx.Err() != nil:
		return refused(node, platform.Canceled, ended(ctx))
	case node < 0:
		return refused(node, platform.NotFound, errors.New("negative node number"))
	case len(payload) > MaxPayload:
		return refused(node, platform.TooLarge, fmt.Errorf("%d bytes, limit %d", len(payload), MaxPayload))
	case len(payload) > 0 && !json.Valid(payload):
		return refused(node, platform.BadRequest, errors.New("payload is not JSON"))
	}
	if err := d.budget.take(); err != nil {
		return platform.Outcome{}, &platform.Error{Kind: platform.Throttled, Node: node, Reason: budgetReason, Err: err}
	}
	defer d.budget.giveBack()
	bounded, cancel := context.WithTimeoutCause(ctx, d.limit, errStalled)
	defer cancel()
	function, tenant := Address(d.prefix, node, d.tenants)
	in := &lambda.InvokeInput{
		FunctionName:   aws.String(function),
		InvocationType: types.InvocationTypeRequestResponse,
		LogType:        types.LogTypeTail,
		Payload:        payload,
	}
	if tenant != "" {
		in.TenantId = aws.String(tenant)
	}
	began := time.Now()
	out, err := d.client.Invoke(bounded, in)
	if err != nil {
		return platform.Outcome{}, serviceError(ctx, bounded, node, err)
	}
	requestID, _ := awsmiddleware.GetRequestIDMetadata(out.ResultMetadata)
	o := outcome(out, requestID, time.Since(began))
	if out.FunctionError != nil {
		return o, functionError(node, o, aws.ToString(out.LogResult))
	}
	return o, nil
}

// refused is the answer to a call that was not made.
func refused(node int, kind platform.Kind, err error) (platform.Outcome, error) {
	return platform.Outcome{}, &platform.Error{Kind: kind, Node: node, Err: err}
}

// outcome reads what the service tells of a session. A log tail without a report
// line, or with one in another form, leaves an estimate of the billed time.
func outcome(out *lambda.InvokeOutput, requestID string, waited time.Duration) platform.Outcome {
	o := platform.Outcome{Payload: out.Payload, RequestID: requestID}
	r, ok := parseTail(aws.ToString(out.LogResult))
	if !ok {
		o.Billed = ceil(waited, time.Millisecond)
		o.Estimated = true
		return o
	}
	o.Billed, o.Duration, o.Init = r.billed, r.duration, r.init
	o.Cold = r.init > 0
	o.MaxMemory = r.maxMemory
	return o
}

// ceil rounds d up to a multiple of unit.
func ceil(d, unit time.Duration) time.Duration { return (d + unit - 1) / unit * unit }
