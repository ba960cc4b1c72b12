package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxAnswer bounds an answer, in bytes: the status of the largest pool is below
// it.
const maxAnswer = 16 << 20

// answerPatience is how long an answer may take that needs no work.
const answerPatience = 30 * time.Second

// Client asks one door. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
}

// NewClient makes a client of the door at address, host:port. Close ends its
// idle connections.
func NewClient(address string) *Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &Client{
		base: "http://" + address,
		http: &http.Client{
			Transport: &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 2},
		},
	}
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status asks what proxy and pool are doing.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.ask(ctx, http.MethodGet, "/status", &s)
	return s, err
}

// Ready returns nil if the cache can be used, else why not.
func (c *Client) Ready(ctx context.Context) error { return c.ask(ctx, http.MethodGet, "/readyz", nil) }

// Reclaim takes the instances of the nodes away, without notice if kill, and
// says how many there were. It waits until they are gone. The error matches
// ErrNoNode if the pool has no such node; then none was taken.
func (c *Client) Reclaim(ctx context.Context, nodes []int, kill bool) ([]Reclaimed, error) {
	query := nodeQuery(nodes)
	if kill {
		query.Set("kill", "true")
	}
	res, err := c.do(ctx, http.MethodPost, "/reclaim?"+query.Encode())
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var done reclaimed
	err = decode(res, &done)
	return done.Nodes, err
}

// Resize makes the pool have that many nodes and returns how many it had, when
// that is done; progress, if not nil, is told how far it has come. A resize stops
// where it is when ctx ends. The error matches ErrSize if the pool cannot have so
// many nodes, ErrBusy if another resize is under way, and errors.ErrUnsupported
// if it cannot be resized at all.
func (c *Client) Resize(ctx context.Context, nodes int, progress func(done, total int)) (before int, err error) {
	end, err := c.follow(ctx, "/resize?nodes="+strconv.Itoa(nodes), progress)
	return end.Before, err
}

// Drain has a pool move all that nodes hold to others, and give them nothing more
// until Admit; progress, if not nil, is told how far it has come. Nodes that are
// drained already are no error. A drain is given up when ctx ends. With an error
// the nodes go on as before; it matches ErrNoNode if there is no such node, ErrSize
// if too few others would be left, ErrBusy if a resize or another drain is under
// way, and errors.ErrUnsupported if there is no pool.
func (c *Client) Drain(ctx context.Context, nodes []int, progress func(done, total int)) error {
	_, err := c.follow(ctx, "/drain?"+nodeQuery(nodes).Encode(), progress)
	return err
}

// Admit gives drained nodes back to their pool. Nodes that are not drained are no
// error. The error matches ErrNoNode if there is no such node, ErrBusy if a resize or
// a drain is under way, and errors.ErrUnsupported if there is no pool.
func (c *Client) Admit(ctx context.Context, nodes []int) error {
	return c.ask(ctx, http.MethodPost, "/admit?"+nodeQuery(nodes).Encode(), nil)
}

func nodeQuery(nodes []int) url.Values {
	query := url.Values{}
	for _, node := range nodes {
		query.Add("node", strconv.Itoa(node))
	}
	return query
}

// follow asks for what takes its time, tells of its progress, and returns the line
// that ends the answer.
func (c *Client) follow(ctx context.Context, path string, progress func(done, total int)) (end line, err error) {
	res, err := c.do(ctx, http.MethodPost, path)
	if err != nil {
		return line{}, err
	}
	defer res.Body.Close()
	path = res.Request.URL.Path
	answer := json.NewDecoder(res.Body)
	for {
		var one line
		if err := answer.Decode(&one); err != nil {
			return line{}, fmt.Errorf("admin: %s: no end was told of: %w", path, noEOF(err))
		}
		switch {
		case one.Error != "":
			return line{}, fmt.Errorf("admin: %s: %s", path, one.Error)
		case one.last():
			return one, nil
		case progress != nil:
			progress(one.Done, one.Total)
		}
	}
}

// noEOF makes an end that comes too early look like one.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// ask makes one request whose answer comes soon, and decodes its JSON, unless
// into is nil.
func (c *Client) ask(ctx context.Context, method, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	res, err := c.do(ctx, method, path)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	return decode(res, into)
}

// do makes one request. An answer other than 200 is an error.
func (c *Client) do(ctx context.Context, method, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) { // its text repeats method and address
			err = failed.Err
		}
		return nil, fmt.Errorf("admin at %s: %w", strings.TrimPrefix(c.base, "http://"), err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10)) // what there is of an explanation
	text := strings.TrimSpace(string(body))
	if sentinel := refusals[res.StatusCode]; sentinel != nil && method == http.MethodPost {
		return nil, &refusedError{req.URL.Path, text, sentinel}
	}
	return nil, fmt.Errorf("admin: %s: %s: %s", req.URL.Path, res.Status, text)
}

// refusedError is a refusal with the door's own words, which say it all.
type refusedError struct {
	path, text string
	sentinel   error
}

func (e *refusedError) Error() string { return "admin: " + e.path + ": " + e.text }
func (e *refusedError) Unwrap() error { return e.sentinel }

// decode reads a whole answer.
func decode(res *http.Response, into any) error {
	path := res.Request.URL.Path
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("admin: %s: %w", path, err)
	}
	if len(body) > maxAnswer {
		return fmt.Errorf("admin: %s: answer is longer than %d bytes", path, maxAnswer)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("admin: %s: answer is not understood: %w", path, err)
	}
	return nil
}
