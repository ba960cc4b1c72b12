package knative

import (
	"errors"
	"net"
	"net/http"

	"github.com/infinicache/infinicache/internal/activation"
	"github.com/infinicache/infinicache/internal/platform"
)

// kindOf is what a request means that got no answer.
func kindOf(err error) platform.Kind {
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
			return platform.Throttled
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
