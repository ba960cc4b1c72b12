// Package knative is the platform driver for Knative Serving, and for whatever else
// runs functions as HTTP services that are started for a request and kept while one
// is open (see package activation), such as Cloud Run.
package knative

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/infinicache/infinicache/internal/activation"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/wire"
)

// Config describes the deployed services and the way to them.
type Config struct {
	// Host is the host name of a node's service, with %d for the node's number:
	// cache-%d.default.svc.cluster.local.
	Host string
	// Gateway is the URL at which services are reached, with their host in the
	// Host header, like http://10.0.0.7. Empty reaches http://HOST itself, as from
	// inside the cluster.
	Gateway string
	// Audience is what identity tokens are made out to that go along with every request:
	// those of the service account of this machine. The gateway has to be Confidential
	// then, and but for TLS no HTTP proxy of the environment is between. Empty sends none.
	Audience string
	// Metadata is HOST or HOST:PORT of the metadata server, which gives tokens; empty
	// means 169.254.169.254.
	Metadata string
	// Session is the longest session, 1 s to 24 h; zero means 5 min. It must be
	// below what the platform allows a request.
	Session time.Duration
	// Memory is what an instance has, in bytes. It is declared, not checked.
	Memory int64
	// Notice is how long an instance has between hearing of its end and its end.
	Notice time.Duration
	// Name is what Capabilities displays; empty means "knative".
	Name string
	// Price is declared as given.
	Price platform.Price
	// Silence is how long an open invocation may say nothing before it is given up
	// as broken; zero means 20 s. Functions say something every 5 s.
	Silence time.Duration
	// Instances lists where the instances of all nodes answer by themselves, those
	// included that no service leads to any more; nil if that cannot be had.
	Instances func(ctx context.Context) ([]netip.AddrPort, error)
	// Transport makes the requests; nil makes one fit for many long requests.
	Transport http.RoundTripper
}

const (
	defaultSession = 5 * time.Minute
	// startPatience is how long the platform may take to start an instance, until
	// the first line of its answer.
	startPatience  = 60 * time.Second
	defaultSilence = 20 * time.Second
	// coldStart is what a pod needs to be scheduled and started, on a busy cluster.
	coldStart = 10 * time.Second
	// exitPatience is how long an instance that passed its limit may take to end.
	exitPatience = 2 * time.Second
	// maxRefusal bounds what is read of an answer that is none of the function's, and
	// what is told of a function's own failure, in bytes.
	maxRefusal = 1 << 10
)

// Driver invokes services. It holds idle connections until Close.
type Driver struct {
	cfg    Config
	client *http.Client
	own    *http.Transport // nil if the caller gave one
	tokens *tokens         // nil if none are sent
	caps   platform.Capabilities
	found  directory
}

var (
	_ platform.Inbound     = (*Driver)(nil)
	_ platform.Overlapping = (*Driver)(nil)
)

// New checks cfg, reporting every bad field at once. It makes no request.
func New(cfg Config) (*Driver, error) {
	if cfg.Session == 0 {
		cfg.Session = defaultSession
	}
	if cfg.Silence == 0 {
		cfg.Silence = defaultSilence
	}
	if cfg.Name == "" {
		cfg.Name = "knative"
	}
	if cfg.Metadata == "" {
		cfg.Metadata = defaultMetadata
	}
	var errs []error
	if strings.Count(cfg.Host, "%d") != 1 || strings.Count(cfg.Host, "%") != 1 {
		errs = append(errs, fmt.Errorf("field Host: %q given, a host name with one %%d allowed", cfg.Host))
	}
	if u, err := url.Parse(cfg.Gateway); cfg.Gateway != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		errs = append(errs, fmt.Errorf("field Gateway: %q given, a URL like http://10.0.0.7 allowed", cfg.Gateway))
	}
	if cfg.Audience != "" && !Confidential(cfg.Gateway) {
		errs = append(errs, fmt.Errorf("field Gateway: %q given, https://HOST or http:// and a private address allowed where identity tokens are sent", cfg.Gateway))
	}
	if cfg.Audience != "" && cfg.Instances != nil {
		errs = append(errs, errors.New("field Instances: given, none allowed where identity tokens are sent, which go to the gateway alone"))
	}
	if u, err := url.Parse("http://" + cfg.Metadata); err != nil || u.Host != cfg.Metadata {
		errs = append(errs, fmt.Errorf("field Metadata: %q given, HOST or HOST:PORT allowed", cfg.Metadata))
	}
	if cfg.Session < time.Second || cfg.Session > activation.MaxLimit {
		errs = append(errs, fmt.Errorf("field Session: %v given, 1s to %v allowed", cfg.Session, activation.MaxLimit))
	}
	if cfg.Memory < 0 {
		errs = append(errs, fmt.Errorf("field Memory: %d given, 0 or more allowed", cfg.Memory))
	}
	if cfg.Notice < 0 {
		errs = append(errs, fmt.Errorf("field Notice: %v given, 0 or more allowed", cfg.Notice))
	}
	if cfg.Silence < 0 {
		errs = append(errs, fmt.Errorf("field Silence: %v given, 0 or more allowed", cfg.Silence))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("knative driver: %w", err)
	}
	d := &Driver{cfg: cfg}
	if cfg.Transport == nil {
		d.own = newTransport()
		cfg.Transport = d.own
	}
	if cfg.Audience != "" {
		d.tokens = newTokens(cfg.Audience, cfg.Metadata)
		if u, err := url.Parse(cfg.Gateway); d.own != nil && (err != nil || u.Scheme != "https") {
			d.own.Proxy = nil
		}
	}
	d.client = &http.Client{
		Transport:     cfg.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	d.caps = platform.Capabilities{
		Name: cfg.Name, Inbound: true, ColdStart: coldStart, Notice: cfg.Notice, LongestSession: cfg.Session,
		Memory: cfg.Memory, MaxPayload: activation.MaxPayload, Price: cfg.Price,
	}
	return d, nil
}

// newTransport makes a transport for as many long requests as there are nodes, over
// HTTP/1.1: a connection each, so that none waits for another's.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 4,
		IdleConnTimeout:     60 * time.Second,
	}
}

// Close closes idle connections. Invocations in flight go on, and so does asking for a
// token, for 5 s at most.
func (d *Driver) Close() error {
	if d.own != nil {
		d.own.CloseIdleConnections()
	}
	return nil
}

// Capabilities implements platform.Driver.
func (d *Driver) Capabilities() platform.Capabilities { return d.caps }

// Invoke implements platform.Driver.
func (d *Driver) Invoke(ctx context.Context, node int, payload []byte) (platform.Outcome, error) {
	return d.InvokeInbound(ctx, node, payload, func(wire.Call) {})
}

// InvokeInbound implements platform.Inbound.
func (d *Driver) InvokeInbound(ctx context.Context, node int, payload []byte, called func(wire.Call)) (platform.Outcome, error) {
	return d.invoke(ctx, d.base(node), node, payload, called)
}

// invoke runs a session of whatever is at the base of a URL.
func (d *Driver) invoke(ctx context.Context, base string, node int, payload []byte, called func(wire.Call)) (platform.Outcome, error) {
	fail := func(kind platform.Kind, out platform.Outcome, reason string, err error) (platform.Outcome, error) {
		if ctx.Err() != nil {
			kind, reason = platform.Canceled, ""
			if err = context.Cause(ctx); !errors.Is(err, ctx.Err()) {
				err = fmt.Errorf("%w: %w", ctx.Err(), err)
			}
		}
		return out, &platform.Error{Kind: kind, Node: node, Reason: reason, Outcome: out, Err: err}
	}
	if ctx.Err() != nil {
		return fail(platform.Canceled, platform.Outcome{}, "", nil)
	}
	if n := len(payload); n > activation.MaxPayload {
		return fail(platform.TooLarge, platform.Outcome{}, "", fmt.Errorf("%d bytes, at most %d allowed", n, activation.MaxPayload))
	}
	// The stream is bounded by what it says, not by a time in all: whoever says
	// nothing for too long is gone.
	held, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	silence := time.AfterFunc(startPatience, func() { giveUp(errSilent) })
	defer silence.Stop()

	began := time.Now()
	res, err := d.open(held, base, node, payload)
	if err != nil {
		return fail(kindOf(err), platform.Outcome{}, "", because(held, err))
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || res.Header.Get(activation.Header) == "" {
		text, _ := io.ReadAll(io.LimitReader(res.Body, maxRefusal)) // what there is of an explanation
		kind := refusal(res)
		return fail(kind, platform.Outcome{}, told(res.Status), errors.New(d.mend(kind, res.StatusCode)+strings.TrimSpace(told(string(text)))))
	}
	end, err := read(res.Body, called, func() { silence.Reset(d.cfg.Silence) })
	out := d.outcome(end, time.Since(began))
	switch {
	case err != nil:
		return fail(platform.Unavailable, out, "", because(held, err))
	case end.Failure != nil:
		if end.Failure.Fault == activation.TimedOut {
			// The instance ends with its connection; the next invocation must not
			// reach it.
			silence.Reset(exitPatience)
			_, _ = io.Copy(io.Discard, res.Body)
		}
		out.Payload = []byte(end.Failure.Message)
		// A panic brings its stack, and anybody's function what it likes.
		return fail(failures[end.Failure.Fault], out, told(string(end.Failure.Fault)), errors.New(told(end.Failure.Message)))
	}
	return out, nil
}

// errSilent is why an invocation is given up of which nothing is heard.
var errSilent = errors.New("nothing is heard from the instance")

// because is why an invocation was given up, if it was, else err.
func because(held context.Context, err error) error {
	if cause := context.Cause(held); cause != nil {
		return cause
	}
	return err
}

// failures says what a function's own failures are; others are Unavailable.
var failures = map[activation.Fault]platform.Kind{
	activation.Failed:   platform.FunctionError,
	activation.TooLarge: platform.FunctionError,
	activation.TimedOut: platform.Timeout,
}

// Next implements platform.Overlapping.
func (d *Driver) Next(ctx context.Context, node int) (string, error) {
	return d.who(ctx, d.base(node), node)
}

// drain reads what is left of a short answer, so that its connection can be used
// again.
func drain(res *http.Response) { _, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxRefusal)) }

// hostOf is the host of a node's service.
func (d *Driver) hostOf(node int) string { return fmt.Sprintf(d.cfg.Host, node) }

// base begins the URLs of a node's service.
func (d *Driver) base(node int) string {
	if d.cfg.Gateway != "" {
		return strings.TrimSuffix(d.cfg.Gateway, "/")
	}
	return "http://" + d.hostOf(node)
}

// request makes a request for a node's service, with a token where they are sent.
func (d *Driver) request(ctx context.Context, method, base string, node int, path string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, base+path, body)
	if err != nil {
		return nil, err
	}
	req.Host = d.hostOf(node)
	if d.tokens != nil {
		token, err := d.tokens.get(ctx)
		if err != nil {
			return nil, err
		}
		req.Header.Set(tokenHeader, "Bearer "+token)
	}
	return req, nil
}

// open makes the request, once, and returns when the answer begins.
func (d *Driver) open(ctx context.Context, base string, node int, payload []byte) (*http.Response, error) {
	// Neither a body that cannot be had again nor a POST without one has the
	// transport make a second attempt once something was sent.
	var body io.Reader
	inHeader := len(payload) > 0 && len(payload) <= activation.MaxHeaderPayload
	if !inHeader {
		body = struct{ io.Reader }{bytes.NewReader(payload)}
	}
	req, err := d.request(ctx, http.MethodPost, base, node, activation.Path, body)
	if err != nil {
		return nil, err
	}
	if inHeader {
		req.Header.Set(activation.PayloadHeader, base64.StdEncoding.EncodeToString(payload))
	} else {
		req.ContentLength = int64(len(payload))
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set(activation.LimitHeader, strconv.FormatInt(d.cfg.Session.Milliseconds(), 10))
	return d.client.Do(req)
}

// read reads the stream until its last event. heard is called for each line.
func read(body io.Reader, called func(wire.Call), heard func()) (activation.End, error) {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 4<<10), activation.MaxLine)
	for lines.Scan() {
		heard()
		var e activation.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return activation.End{}, fmt.Errorf("the answer is not understood: %w", err)
		}
		if e.End != nil {
			return *e.End, nil
		}
		if e.Call != nil {
			if err := check(e.Call); err != nil {
				return activation.End{}, err
			}
			called(*e.Call)
		}
	}
	if err := lines.Err(); err != nil {
		return activation.End{}, fmt.Errorf("the answer was cut: %w", err)
	}
	return activation.End{}, fmt.Errorf("the answer was cut: %w", io.ErrUnexpectedEOF)
}

// check refuses calls to anything but an address: a name would be looked up by this
// side.
func check(c *wire.Call) error {
	if err := c.Check(); err != nil {
		return err
	}
	if at, err := netip.ParseAddrPort(c.Address); err != nil || at.Port() == 0 {
		return wire.Errorf(wire.CodeProtocol, "call to %.100q, an IP address with a port is allowed", c.Address)
	}
	return nil
}

// outcome is what is known of a session. Nobody says what it cost: that follows from
// how long the request was open.
func (d *Driver) outcome(end activation.End, open time.Duration) platform.Outcome {
	out := platform.Outcome{
		Payload:   end.Payload,
		Duration:  duration(end.Milliseconds),
		Init:      duration(end.InitMilliseconds),
		Cold:      end.InitMilliseconds > 0,
		RequestID: end.Request,
		Estimated: true,
	}
	out.Billed = max(open, out.Duration+out.Init)
	if q := d.cfg.Price.Quantum; q > 0 {
		out.Billed = (out.Billed + q - 1).Truncate(q)
	}
	return out
}

// duration reads milliseconds; nonsense is 0.
func duration(ms float64) time.Duration {
	if !(ms > 0 && ms < float64(activation.MaxLimit.Milliseconds())) {
		return 0
	}
	return time.Duration(ms * float64(time.Millisecond))
}
