package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

const (
	// queueEvery is how often queue-proxy is asked whether it drains.
	queueEvery = 200 * time.Millisecond
	// queueFailures is after how many questions without an answer nobody is asked
	// any more: there is no queue-proxy here.
	queueFailures = 50
	// queuePatience is how long an answer may take.
	queuePatience = 2 * time.Second
	// draining is what queue-proxy says when its pod ends.
	draining = "shutting down"
)

// awaitDraining returns when Knative's queue-proxy says that the pod ends, or when
// ctx ends. It is at one of the addresses, and asked by client. It keeps SIGTERM from this process for its
// own draining time, but tells its state to who asks as the kubelet's probes do; so
// the end is known some 30 s earlier.
func awaitDraining(ctx context.Context, client *http.Client, at []string, log *slog.Logger) {
	defer client.CloseIdleConnections()
	tick := time.NewTicker(queueEvery)
	defer tick.Stop()
	for asked, failures := 0, 0; failures < queueFailures; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		ends, err := drains(ctx, client, at[asked%len(at)])
		switch {
		case ends:
			return
		case err != nil:
			failures++
			asked++ // the next one may be it
		default:
			failures = 0
		}
	}
	log.Info("no queue-proxy answers; the end will be told by SIGTERM alone", "address", at)
	<-ctx.Done()
}

// drains asks once.
func drains(ctx context.Context, client *http.Client, addr string) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/", nil)
	if err != nil {
		return false, err
	}
	req.Header.Set("User-Agent", "kube-probe/infinicache-node")
	res, err := client.Do(req)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	// It answers 503, too, while this process is not ready.
	text, err := io.ReadAll(io.LimitReader(res.Body, 256))
	return res.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(text), draining), err
}
