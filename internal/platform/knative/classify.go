package knative

import (
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/infinicache/infinicache/internal/activation"
	"github.com/infinicache/infinicache/internal/platform"
)

// kindOf is what a request means that got no answer.
func kindOf(err error) platform.Kind {
	var token *tokenError
	if errors.As(err, &token) {
		return token.kind
	}
	var lookup *net.DNSError
	if errors.As(err, &lookup) && lookup.IsNotFound {
		return platform.NotFound // inside a cluster a service's name exists with it
	}
	return platform.Unavailable
}

// refusal is what an answer means that began no session. What the function itself
// says counts; the rest was said by the platform on the way to it.
func refusal(res *http.Response) platform.Kind {
	if res.Header.Get(activation.Header) != "" {
		switch res.StatusCode {
		case http.StatusConflict:
			return platform.Busy
		case http.StatusBadRequest:
			return platform.BadRequest
		case http.StatusRequestEntityTooLarge:
			return platform.TooLarge
		}
		return platform.Unavailable
	}
	switch res.StatusCode {
	case http.StatusNotFound:
		return platform.NotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		return platform.Denied
	case http.StatusTooManyRequests:
		return platform.Throttled
	case http.StatusRequestEntityTooLarge:
		return platform.TooLarge
	case http.StatusServiceUnavailable:
		// No instance could be started, or the queue before it is full.
		return platform.NotReady
	}
	return platform.Unavailable
}

// mend is what to do about a platform that does not let this proxy in, as the beginning
// of a message; empty if it says something else.
func (d *Driver) mend(kind platform.Kind, status int) string {
	switch {
	case kind != platform.Denied:
		return ""
	case d.tokens == nil:
		return "no identity token was sent: "
	case status == http.StatusUnauthorized:
		return fmt.Sprintf("the identity token is not taken, the service's custom audiences have to list %s: ", d.cfg.Audience)
	}
	return "the service account of the proxy's machine needs the role roles/run.invoker on the service: "
}
