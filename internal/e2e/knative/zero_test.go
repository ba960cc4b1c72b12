//go:build e2e

package knative

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	client "github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/bench"
	"github.com/infinicache/infinicache/internal/ledger"
)

// sizes are of objects that meet every form: replicated, of one stripe, of several.
var sizes = []int{1 << 10, 200 << 10, 1 << 20, 5 << 20, 25 << 20}

// TestFromNothing deploys a pool where there is none, and has it used from outside
// and inside the cluster.
func TestFromNothing(t *testing.T) {
	t.Parallel()
	p := newPool(t, "zero", 6, nil)
	if told := p.deploy(); !strings.Contains(told, "nothing to change") && strings.Contains(told, "update") {
		t.Errorf("deployed again, it changes something:\n%s", told)
	}
	if out, _, err := infinicache(t.Context(), "deploy", "knative", "--pool", p.file, "--check"); err != nil {
		t.Errorf("--check: %v\n%s", err, out)
	}
	if n := len(p.status().Nodes); n != 6 {
		t.Errorf("the proxy has %d nodes, want 6", n)
	}
	c, l := p.client(), ledger.New()
	for k, size := range sizes {
		keys := l.Fill(t, c, fmt.Sprintf("size-%d", k), 3, size)
		if missed := l.ReadAll(t, c, keys); len(missed) > 0 {
			t.Errorf("objects of %d bytes are misses: %v", size, missed)
		}
	}
	t.Run("redis", func(t *testing.T) { useRedis(t, p) })
	t.Run("inside", func(t *testing.T) { useInside(t, p, c) })
	p.verdict(l)
}

// useRedis stores and reads with a Redis client, and sees that the other client
// agrees.
func useRedis(t *testing.T, p *pool) {
	r, c := p.redis(), p.client()
	for k, size := range sizes {
		key := fmt.Sprintf("redis-%d", k)
		want := ledger.BytesOf(key, 1, size)
		if err := r.Set(t.Context(), key, want, 0).Err(); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Get(t.Context(), key).Bytes(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("GET %s: %d bytes, %v", key, len(got), err)
		}
		if got, err := c.GetBytes(t.Context(), key); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the client library reads %s as %d bytes, %v", key, len(got), err)
		}
	}
	if n, err := r.Del(t.Context(), "redis-1", "redis-none").Result(); err != nil || n != 1 {
		t.Errorf("DEL: %d, %v", n, err)
	}
	if _, err := r.Get(t.Context(), "redis-1").Result(); !errors.Is(err, redis.Nil) {
		t.Errorf("GET of what is deleted: %v", err)
	}
}

// useInside has pods of the namespace use the cache.
func useInside(t *testing.T, p *pool, c *client.Client) {
	text := strings.Repeat("what is stored on one side is read on the other\n", 4000)
	_, err := at.api.CoreV1().ConfigMaps(at.namespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "inside"}, Data: map[string]string{"text": text},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	door := "--proxy=" + p.id + "-proxy:6377"
	inside(t, p, "put", "inside/put", "/in/text", door)
	if got, err := c.GetBytes(t.Context(), "inside/put"); err != nil || string(got) != text {
		t.Errorf("what was stored inside is read outside as %d bytes, %v", len(got), err)
	}
	if _, err := c.PutBytes(t.Context(), "inside/get", []byte(text)); err != nil {
		t.Fatal(err)
	}
	if got := inside(t, p, "get", "inside/get", door); got != text {
		t.Errorf("what was stored outside is read inside as %d bytes, %.200q", len(got), got)
	}
	var rows []bench.Row
	out := inside(t, p, "bench", door, "--admin="+p.id+"-proxy:9378", "--compare-redis=off",
		"--sizes=100KiB,1MiB", "--clients=2", "--seconds=1", "--json")
	_, list, _ := strings.Cut(out, "\n[") // what it says before is of standard error
	if err := json.Unmarshal([]byte("["+list), &rows); err != nil || len(rows) != 4 {
		t.Fatalf("bench prints %d rows, %v: %.500s", len(rows), err, out)
	}
	for _, row := range rows {
		if row.Errors > 0 || row.Ops == 0 {
			t.Errorf("bench inside: %d operations, %d errors: %s", row.Ops, row.Errors, row.FirstError)
		}
	}
}

// inside runs the command in a pod, with the file /in/text, and returns its output.
func inside(t *testing.T, p *pool, args ...string) string {
	t.Helper()
	pods := at.api.CoreV1().Pods(at.namespace)
	user, yes := int64(65532), true
	pod, err := pods.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: "inside-",
			Labels:       map[string]string{"infinicache.dev/client": p.id, "infinicache.dev/admin": p.id},
		},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers: []corev1.Container{{
				Name: "inside", Image: at.proxyImage, ImagePullPolicy: corev1.PullIfNotPresent, Args: args,
				SecurityContext: &corev1.SecurityContext{RunAsUser: &user, RunAsNonRoot: &yes},
				VolumeMounts:    []corev1.VolumeMount{{Name: "in", MountPath: "/in"}},
			}},
			Volumes: []corev1.Volume{{Name: "in", VolumeSource: corev1.VolumeSource{
				ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "inside"}},
			}}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	now := int64(0)
	defer func() {
		_ = pods.Delete(context.WithoutCancel(t.Context()), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	}()
	await(t, time.Minute, "the pod has ended", func() bool {
		got, err := pods.Get(t.Context(), pod.Name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		pod = got
		return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	})
	out, err := pods.GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(t.Context())
	if err != nil || pod.Status.Phase != corev1.PodSucceeded {
		t.Fatalf("infinicache %s in a pod: %s, %v: %s", strings.Join(args, " "), pod.Status.Phase, err, out)
	}
	return string(out)
}
