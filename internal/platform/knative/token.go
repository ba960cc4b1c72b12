package knative

import (
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
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/infinicache/infinicache/internal/platform"
)

// tokenHeader carries an identity token. Cloud Run reads it before Authorization, and
// takes the signature away before it passes the request on: no node can use the token.
const tokenHeader = "X-Serverless-Authorization"

const (
	defaultMetadata = "169.254.169.254"
	// tokenPatience is how long the metadata server may take.
	tokenPatience = 5 * time.Second
	// tokenLife is how long a token is valid at most, whatever it says.
	tokenLife = time.Hour
	// tokenEarly is how long before its end another token is asked for, and tokenSpent
	// from when on before its end it is not sent.
	tokenEarly = 5 * time.Minute
	tokenSpent = 30 * time.Second
	// tokenAgain is how long nothing is asked for after an answer, while the token there
	// is can be sent.
	tokenAgain = 30 * time.Second
	// maxToken bounds what the metadata server answers, in bytes.
	maxToken = 16 << 10
)

// Confidential tells whether tokens may be sent to a gateway: over TLS, or to this
// machine or a private network by address. A name can be looked up as anything.
func Confidential(gateway string) bool {
	u, err := url.Parse(gateway)
	if err != nil || u.Scheme != "http" {
		return err == nil && u.Scheme == "https"
	}
	at, err := netip.ParseAddr(u.Hostname())
	at = at.Unmap()
	return err == nil && (at.IsPrivate() || at.IsLoopback())
}

// tokens are the identity tokens of this machine for one audience, one at a time.
type tokens struct {
	audience string
	url      string
	client   *http.Client
	flight   singleflight.Group

	mu      sync.Mutex
	token   string
	expires time.Time
	next    time.Time // when another is asked for
}

// newTokens makes tokens that come from a metadata server. It makes no request.
func newTokens(audience, metadata string) *tokens {
	// The format is the one that Google's libraries ask for: the short one lacked the
	// account's address on some machines.
	query := url.Values{"audience": {audience}, "format": {"full"}}
	return &tokens{
		audience: audience,
		url:      "http://" + metadata + "/computeMetadata/v1/instance/service-accounts/default/identity?" + query.Encode(),
		client: &http.Client{
			// Straight there, whatever proxy the environment names.
			Transport: &http.Transport{
				DialContext:       (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
				DisableKeepAlives: true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Timeout:       tokenPatience,
		},
	}
}

// get returns a token that is valid for tokenSpent at least. It waits only if there is
// none, with all who ask meanwhile; one that nears its end is renewed beside. An error
// that is not ctx's is a *tokenError.
func (t *tokens) get(ctx context.Context) (string, error) {
	now := time.Now()
	t.mu.Lock()
	token, valid, due := t.token, now.Before(t.expires.Add(-tokenSpent)), !now.Before(t.next)
	t.mu.Unlock()
	if valid && !due {
		return token, nil
	}
	// It is asked for on behalf of all, so it does not end with the first. What goes
	// wrong is told once there is no token left.
	fetched := t.flight.DoChan("", func() (any, error) { return t.fetch(context.WithoutCancel(ctx)) })
	if valid {
		return token, nil
	}
	select {
	case r := <-fetched:
		token, _ = r.Val.(string)
		return token, r.Err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// fetch asks for a token and keeps it.
func (t *tokens) fetch(ctx context.Context) (string, error) {
	token, expires, err := t.ask(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next = time.Now().Add(tokenAgain)
	if err != nil {
		return "", err
	}
	t.token, t.expires = token, expires
	if early := expires.Add(-tokenEarly); early.After(t.next) {
		t.next = early
	}
	return token, nil
}

// tokenError is why there is no token.
type tokenError struct {
	kind   platform.Kind
	reason string
}

func (e *tokenError) Error() string {
	return "no identity token: " + e.reason +
		" (the proxy has to run on a machine of Google Cloud that has a service account; cloudRun.tokens: none in the pool file does without tokens)"
}

// ask makes one request. What may pass is NotReady: nothing was sent to a function.
func (t *tokens) ask(ctx context.Context) (token string, expires time.Time, err error) {
	fail := func(kind platform.Kind, format string, args ...any) (string, time.Time, error) {
		return "", time.Time{}, &tokenError{kind, told(fmt.Sprintf(format, args...))}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url, nil)
	if err != nil {
		return fail(platform.Denied, "%v", err)
	}
	req.Header.Set("Metadata-Flavor", "Google")
	res, err := t.client.Do(req)
	if err != nil {
		return fail(platform.NotReady, "the metadata server does not answer: %v", err)
	}
	defer res.Body.Close()
	switch status := res.StatusCode; {
	case status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return fail(platform.NotReady, "the metadata server answers %d", status)
	case status != http.StatusOK:
		return fail(platform.Denied, "the metadata server answers %d", status)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxToken+1))
	if err != nil {
		return fail(platform.NotReady, "the metadata server's answer was cut: %v", err)
	}
	if len(text) > maxToken {
		return fail(platform.Denied, "the metadata server's answer has more than %d bytes", maxToken)
	}
	token = strings.TrimSpace(string(text))
	if expires, err = expiry(token, t.audience); err != nil {
		return fail(platform.Denied, "the metadata server's answer is none: %v", err)
	}
	now := time.Now()
	if latest := now.Add(tokenLife); expires.After(latest) {
		expires = latest
	}
	if !now.Before(expires.Add(-tokenSpent)) {
		return fail(platform.Denied, "the metadata server gave one that ends at %s, and it is %s: is this machine's clock right?",
			expires.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return token, expires, nil
}

// tokenForm is a JSON Web Token, its claims apart.
var tokenForm = regexp.MustCompile(`^eyJ[-\w]+\.([-\w]+)\.[-\w]+$`)

// expiry is when a token for an audience expires, by its own word: who gets it checks
// the signature.
func expiry(token, audience string) (time.Time, error) {
	parts := tokenForm.FindStringSubmatch(token)
	if parts == nil {
		return time.Time{}, errors.New("not a JSON Web Token")
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}, errors.New("its claims are not base64")
	}
	var claims struct {
		Audience string `json:"aud"`
		Expires  int64  `json:"exp"`
	}
	if json.Unmarshal(text, &claims) != nil {
		return time.Time{}, errors.New("its claims are not understood")
	}
	if claims.Audience != audience {
		return time.Time{}, errors.New("it is for another audience")
	}
	return time.Unix(claims.Expires, 0), nil
}

// tokenInText finds tokens, whole or cut off, in what is told.
var tokenInText = regexp.MustCompile(`eyJ[-.\w]{8,}`)

// told is as much of a text from outside as goes to logs, with no token in it: a
// gateway may answer with what it was sent.
func told(text string) string {
	return tokenInText.ReplaceAllString(text[:min(len(text), maxRefusal)], "(token)")
}
