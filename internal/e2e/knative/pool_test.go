//go:build e2e

package knative

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	client "github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/admin"
	"github.com/infinicache/infinicache/internal/ledger"
)

// pool is a deployed pool.
type pool struct {
	t        *testing.T
	id       string
	settings map[string]any // of the pool file
	file     string
	at       struct{ client, redis, admin string }
}

// fields are of a pool file.
type fields = map[string]any

// newPool writes a pool file, deploys it, and has the pool deleted when the test ends.
// Fields change what is usual here: small nodes with short windows, of which four pools
// have room on two processors while each has its pods twice.
func newPool(t *testing.T, id string, nodes int, change fields) *pool {
	t.Helper()
	p := &pool{t: t, id: id, file: filepath.Join(t.TempDir(), id+".yaml"), settings: fields{
		"platform": "knative", "prefix": id + "-", "nodes": nodes, "namespace": at.namespace,
		"memory": "256MiB", "cpu": "1m", "window": "30s", "timeout": "300s", "clients": "all",
		"image": at.nodeImages[0], "proxyImage": at.proxyImage, "proxyCPU": "20m", "proxyMemory": "256MiB",
	}}
	maps.Copy(p.settings, change)
	p.write(nil)
	if err := at.volume(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.destroy)
	p.deploy()
	p.connect()
	return p
}

// write changes fields of the pool file.
func (p *pool) write(change fields) {
	p.t.Helper()
	maps.Copy(p.settings, change)
	text, err := json.Marshal(p.settings) // which is YAML
	if err == nil {
		err = os.WriteFile(p.file, text, 0o644)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// deploy runs infinicache deploy knative and returns what it tells.
func (p *pool) deploy(args ...string) (told string) {
	p.t.Helper()
	out, told, err := infinicache(p.t.Context(), append([]string{"deploy", "knative", "--pool", p.file}, args...)...)
	if err != nil {
		p.t.Fatal(err)
	}
	return out + told
}

// destroy deletes the pool. A test that failed tells what the proxy's log says.
func (p *pool) destroy() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if p.t.Failed() {
		p.t.Logf("log of the proxy of %s:\n%s", p.id, p.log(ctx))
	}
	if _, _, err := infinicache(ctx, "deploy", "knative", "--pool", p.file, "--destroy", "--with-data"); err != nil {
		p.t.Errorf("destroy: %v", err)
	}
	p.hurry(ctx)
}

// hurry ends the pods of a pool that is deleted, which would go on for half a minute.
func (p *pool) hurry(ctx context.Context) {
	now := int64(0)
	_ = at.api.CoreV1().Pods(at.namespace).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{LabelSelector: p.selector("node")})
}

// log is the end of the proxy's log.
func (p *pool) log(ctx context.Context) string {
	lines := int64(80)
	text, err := at.api.CoreV1().Pods(at.namespace).GetLogs(p.id+"-proxy-0", &corev1.PodLogOptions{TailLines: &lines}).DoRaw(ctx)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// connect finds the proxy's doors.
func (p *pool) connect() {
	p.t.Helper()
	const clientPort, redisPort, adminPort = "6377", "6378", "9378"
	ip, err := at.addressOf(p.t.Context(), p.id+"-proxy")
	if err != nil {
		p.t.Fatal(err)
	}
	p.at.client, p.at.redis, p.at.admin = net.JoinHostPort(ip, clientPort), net.JoinHostPort(ip, redisPort), net.JoinHostPort(ip, adminPort)
	if kubectl.value() != "" {
		to := forward(p.t, at.namespace, "service/"+p.id+"-proxy", clientPort, redisPort, adminPort)
		p.at.client, p.at.redis, p.at.admin = to[0], to[1], to[2]
	}
	// Where the way to a service is made only now, or there is none, a connection may
	// end elsewhere, so that it proves nothing.
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && p.t.Context().Err() == nil; {
		if _, err = p.ask(); err == nil {
			return
		}
		pause(p.t, 100*time.Millisecond)
	}
	p.t.Fatalf("the proxy is not reached at %s: %v\nIf the address of a service cannot be reached from here, needed is %s: %s",
		p.at.admin, err, kubectl.name, kubectl.meaning)
}

// client makes a client of the pool, until the test ends.
func (p *pool) client() *client.Client {
	p.t.Helper()
	c, err := client.New(client.Config{Proxies: []string{p.at.client}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	return c
}

// redis makes a Redis client of the pool, until the test ends.
func (p *pool) redis() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: p.at.redis, ReadTimeout: time.Minute, DisableIdentity: true})
	p.t.Cleanup(func() { c.Close() })
	return c
}

// ask asks the proxy what it does, if it is ready, by a connection of its own: one to
// a pod that was killed is silent for long.
func (p *pool) ask() (admin.Status, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 3*time.Second)
	defer cancel()
	door := admin.NewClient(p.at.admin)
	defer door.Close()
	if err := door.Ready(ctx); err != nil {
		return admin.Status{}, err
	}
	return door.Status(ctx)
}

// status is what the proxy says of itself.
func (p *pool) status() admin.Status {
	p.t.Helper()
	s, err := p.ask()
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// selector matches the pods of a part of the pool.
func (p *pool) selector(part string) string {
	return "infinicache.dev/pool=" + p.id + ",app.kubernetes.io/component=" + part
}

// pods are those of the nodes, by node; those that end only if wanted.
func (p *pool) pods(ending bool) map[string][]corev1.Pod {
	p.t.Helper()
	list, err := at.pods(p.t.Context(), p.selector("node"))
	if err != nil {
		p.t.Fatal(err)
	}
	all := map[string][]corev1.Pod{}
	for _, pod := range list {
		if node := pod.Labels["infinicache.dev/node"]; ending || pod.DeletionTimestamp == nil {
			all[node] = append(all[node], pod)
		}
	}
	return all
}

// up is how many nodes have a pod that is ready.
func (p *pool) up() (count int) {
	p.t.Helper()
	for _, pods := range p.pods(false) {
		for _, pod := range pods {
			for _, c := range pod.Status.Conditions {
				if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
					count++
				}
			}
		}
	}
	return count
}

// kill deletes a pod; with a negative grace the pod has the time it was given.
func (p *pool) kill(pod string, grace int64) {
	p.t.Helper()
	options := metav1.DeleteOptions{}
	if grace >= 0 {
		options.GracePeriodSeconds = &grace
	}
	if err := at.api.CoreV1().Pods(at.namespace).Delete(p.t.Context(), pod, options); err != nil {
		p.t.Fatal(err)
	}
}

// settled waits until nothing is left to repair.
func (p *pool) settled() {
	p.t.Helper()
	quiet, last := 0, uint64(0)
	await(p.t, time.Minute, "all repaired", func() bool {
		s := p.status()
		quiet++
		if done := s.Faults.RepairedChunks + s.Faults.MovedChunks; s.Catalog.RepairsWaiting > 0 || done != last {
			quiet, last = 0, done
		}
		return quiet >= 30
	})
}

// verdict fails the test for what must not be: wrong bytes, misses that nobody
// explains, and misses at all but for the causes that are allowed.
func (p *pool) verdict(l *ledger.Ledger, allowed ...string) {
	p.t.Helper()
	l.Judge(p.t)
	if n := p.status().Traffic.UnexplainedMisses; n > 0 {
		p.t.Errorf("%d misses are not explained", n)
	}
	for cause, n := range l.Misses {
		if !strings.Contains(" "+strings.Join(allowed, " ")+" ", " "+cause+" ") {
			p.t.Errorf("%d reads of what was stored were misses: %s", n, cause)
		}
	}
}

// kept says how many objects are still there.
func kept(t *testing.T, l *ledger.Ledger, c *client.Client, keys []string) string {
	t.Helper()
	return fmt.Sprintf("%d of %d", len(keys)-len(l.ReadAll(t, c, keys)), len(keys))
}
