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

// Client asks the door of one proxy. It is safe for concurrent use.
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
			Timeout:   30 * time.Second,
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

// Reclaim takes a node's instances away and returns how many there were. The
// error matches ErrNoNode if the pool has no such node.
func (c *Client) Reclaim(ctx context.Context, node int) (int, error) {
	var done reclaimed
	err := c.ask(ctx, http.MethodPost, "/reclaim?node="+url.QueryEscape(strconv.Itoa(node)), &done)
	return done.Instances, err
}

// ask makes one request and decodes its JSON answer, unless into is nil.
func (c *Client) ask(ctx context.Context, method, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) { // its text repeats method and address
			err = failed.Err
		}
		return fmt.Errorf("admin at %s: %w", strings.TrimPrefix(c.base, "http://"), err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("admin: %s: %w", path, err)
	}
	if len(body) > maxAnswer {
		return fmt.Errorf("admin: %s: answer is longer than %d bytes", path, maxAnswer)
	}
	if res.StatusCode != http.StatusOK {
		text := strings.TrimSpace(string(body[:min(len(body), 1<<10)]))
		if method == http.MethodPost && res.StatusCode == http.StatusNotFound {
			return fmt.Errorf("admin: %s: %w", path, ErrNoNode)
		}
		return fmt.Errorf("admin: %s: %s: %s", path, res.Status, text)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("admin: %s: answer is not understood: %w", path, err)
	}
	return nil
}
