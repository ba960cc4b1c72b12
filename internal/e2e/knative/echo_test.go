//go:build e2e

package knative

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// buildEcho builds the service to compare with, and returns its program.
func buildEcho(ctx context.Context, dir, arch string) (string, error) {
	program := filepath.Join(dir, "echo")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", program, "./testdata/echo")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build echo: %w\n%s", err, out)
	}
	return program, nil
}

// echo are services as those of nodes are, that take and give bytes over HTTP.
type echo struct {
	names    []string
	entrance string // address of the gateway
	http     *http.Client
}

// newEcho deploys services, until the test ends, whose pods go when nobody asked for
// anything for as long as the window.
func newEcho(t *testing.T, count int, window string) *echo {
	t.Helper()
	e := &echo{http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	t.Cleanup(e.http.CloseIdleConnections)
	all := at.any.Resource(services).Namespace(at.namespace)
	for k := range count {
		name := fmt.Sprint("echo-", k)
		container := fields{
			"image": at.echoImage, "ports": []any{fields{"name": "h2c", "containerPort": int64(8080)}},
			"resources": fields{"requests": fields{"cpu": "10m", "memory": "64Mi"}},
		}
		_, err := all.Create(t.Context(), &unstructured.Unstructured{Object: fields{
			"apiVersion": services.GroupVersion().String(), "kind": "Service",
			"metadata": fields{"name": name, "namespace": at.namespace},
			"spec": fields{"template": fields{
				"metadata": fields{"annotations": fields{"autoscaling.knative.dev/max-scale": "1", "autoscaling.knative.dev/window": window}},
				"spec":     fields{"containers": []any{container}, "timeoutSeconds": int64(60)},
			}},
		}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			if err := all.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
			now := int64(0)
			_ = at.api.CoreV1().Pods(at.namespace).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{LabelSelector: "serving.knative.dev/service=" + name})
		})
		e.names = append(e.names, name)
	}
	e.entrance = entrance(t, e.names[0])
	for _, name := range e.names {
		var err error
		for end := time.Now().Add(time.Minute); ; pause(t, 100*time.Millisecond) {
			if err = e.exchange(t.Context(), e.gateway, name, http.MethodGet, 1); err == nil {
				break
			}
			if time.Now().After(end) {
				t.Fatal(err)
			}
		}
	}
	return e
}

// entrance is the address at which requests to services go in: a service's own name is
// another one for that of the gateway.
func entrance(t *testing.T, service string) string {
	t.Helper()
	var name string
	await(t, time.Minute, "service "+service+" has an entrance", func() bool {
		s, err := at.api.CoreV1().Services(at.namespace).Get(t.Context(), service, metav1.GetOptions{})
		if err != nil {
			return false
		}
		name = s.Spec.ExternalName
		return name != "" && !strings.HasPrefix(name, service+".") // at first it names itself
	})
	parts := strings.Split(name, ".")
	if len(parts) < 2 {
		t.Fatalf("service %s is another name for %q, which is no service's", service, name)
	}
	if kubectl.value() != "" {
		return forward(t, parts[1], "service/"+parts[0], "80")[0]
	}
	ip, err := at.addressOf(t.Context(), parts[0]+"."+parts[1])
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort(ip, "80")
}

// gateway is where a service is reached through gateway and queue-proxy.
func (e *echo) gateway(string) (address string, err error) { return e.entrance, nil }

// pod is where its pod is reached.
func (e *echo) pod(name string) (address string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	pods, err := at.pods(ctx, "serving.knative.dev/service="+name)
	for _, pod := range pods {
		if pod.DeletionTimestamp == nil && pod.Status.PodIP != "" {
			return net.JoinHostPort(pod.Status.PodIP, "8080"), nil
		}
	}
	return "", fmt.Errorf("%s has no pod: %w", name, err)
}

// exchange sends or fetches bytes.
func (e *echo) exchange(ctx context.Context, way func(string) (string, error), name, method string, n int) error {
	address, err := way(name)
	if err != nil {
		return err
	}
	var body io.Reader
	if method == http.MethodPut {
		body = bytes.NewReader(page[:n])
	}
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("http://%s/?bytes=%d", address, n), body)
	if err != nil {
		return err
	}
	req.Host = name + "." + at.namespace + ".svc.cluster.local"
	res, err := e.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := io.Copy(io.Discard, res.Body)
	if err != nil || res.StatusCode != http.StatusOK || method == http.MethodGet && got != int64(n) {
		return fmt.Errorf("%s of %d bytes: %s, %d bytes, %w", method, n, res.Status, got, err)
	}
	return nil
}

// page are bytes to send.
var page = make([]byte, tenMiB)

// runs move as many bytes by HTTP as the links of a cache move for ten MiB: to every
// service a chunk each for a SET, and from as many as have data for a GET.
func (e *echo) runs(t *testing.T, name string, way func(string) (string, error)) []run {
	t.Helper()
	addresses := map[string]string{}
	for _, service := range e.names {
		address, err := way(service)
		if err != nil {
			t.Fatal(err)
		}
		addresses[service] = address
	}
	known := func(service string) (string, error) { return addresses[service], nil }
	all := func(method string, count int) func(context.Context) error {
		return func(ctx context.Context) error {
			g, ctx := errgroup.WithContext(ctx)
			for _, service := range e.names[:count] {
				g.Go(func() error { return e.exchange(ctx, known, service, method, tenMiB/data) })
			}
			return g.Wait()
		}
	}
	return []run{{name, "SET", all(http.MethodPut, data+spare)}, {name, "GET", all(http.MethodGet, data)}}
}
