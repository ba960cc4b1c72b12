package lambda

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"

	driver "github.com/infinicache/infinicache/internal/platform/lambda"
)

// tempo is how fast a deployment works.
type tempo struct {
	// control and read are the least times between two calls: the platform takes
	// 15 control calls a second over all of them, and 100 that read a function.
	// Others may be making some.
	control, read time.Duration
	// poll is the time between two looks at a change that is under way.
	poll time.Duration
	// backoff is the longest pause before a call is tried again, and attempts are
	// how many times it is tried.
	backoff  time.Duration
	attempts int
	// patience bounds one attempt, which may upload a program.
	patience time.Duration
}

var usualTempo = tempo{
	control: time.Second / 12, read: time.Second / 50, poll: time.Second, backoff: 10 * time.Second, attempts: 10, patience: 2 * time.Minute,
}

// retryer has calls tried again that met a throttle, a function that is being
// changed, or a role that is too new.
func (t tempo) retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = t.attempts
		o.MaxBackoff = t.backoff
		o.Backoff = retry.NewExponentialJitterBackoff(t.backoff)
		// A deployment that is paced needs no second budget that ends it early.
		o.RateLimiter = ratelimit.None
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(hopeless)}, o.Retryables...)
		o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(passing))
	})
}

// hopeless tells of a host without an address, such as a region that does not
// exist, and of one where nobody listens.
func hopeless(err error) aws.Ternary {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound || errors.Is(err, syscall.ECONNREFUSED) {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}

// passing tells of errors that go away by themselves.
func passing(err error) aws.Ternary {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return aws.UnknownTernary
	}
	switch text := api.ErrorMessage(); {
	case strings.Contains(text, cannotBeAssumed):
		return aws.TrueTernary
	case kindsOfCodes[api.ErrorCode()] == Busy && !exists(err):
		return aws.TrueTernary
	case kindsOfCodes[api.ErrorCode()] == Throttled:
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

// exists tells whether err says that what was to be created is there.
func exists(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && (api.ErrorCode() == "ResourceAlreadyExistsException" ||
		api.ErrorCode() == "ResourceConflictException" && strings.Contains(strings.ToLower(api.ErrorMessage()), "already exist"))
}

// pacedClient keeps calls, repeated ones too, below the platform's rates.
type pacedClient struct {
	next          aws.HTTPClient
	control, read pacer
	// trouble is told of calls that are likely to be made again, at most every
	// troubleEvery.
	trouble func(string)
	told    pacer
}

// troubleEvery is enough to see why a deployment takes long.
const troubleEvery = 3 * time.Second

var readsFunction = regexp.MustCompile(`^/[^/]+/functions/[^/]+$`)

// Do makes a call when its turn comes.
func (c *pacedClient) Do(req *http.Request) (*http.Response, error) {
	p := &c.control
	if req.Method == http.MethodGet && readsFunction.MatchString(req.URL.Path) {
		p = &c.read
	}
	if err := p.wait(req.Context()); err != nil {
		return nil, err
	}
	res, err := c.next.Do(req)
	switch {
	case err == nil:
		driver.BoundAnswer(res)
		if res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= 500 {
			c.tell("the platform answers " + res.Status)
		}
	case req.Context().Err() == nil && hopeless(err) != aws.FalseTernary:
		c.tell(fmt.Sprintf("the platform does not answer: %v", err))
	}
	return res, err
}

func (c *pacedClient) tell(text string) {
	if c.told.now() {
		c.trouble(text)
	}
}

// pacer gives turns, one every so often.
type pacer struct {
	every time.Duration
	mu    sync.Mutex
	next  time.Time
}

// wait returns when it is the caller's turn, or when ctx ends.
func (p *pacer) wait(ctx context.Context) error {
	p.mu.Lock()
	turn := p.next
	if now := time.Now(); turn.Before(now) {
		turn = now
	}
	p.next = turn.Add(p.every)
	p.mu.Unlock()
	return sleep(ctx, time.Until(turn))
}

// now takes a turn if it has come.
func (p *pacer) now() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Before(p.next) {
		return false
	}
	p.next = now.Add(p.every)
	return true
}

// sleep waits, or returns when ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
