package knative

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

var rewrite = flag.Bool("rewrite", false, "write what is rendered to testdata instead of comparing")

// load reads a pool file of testdata.
func load(t *testing.T, name string) *Pool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestRendering compares all that is rendered from each pool file of testdata.
func TestRendering(t *testing.T) {
	for _, name := range []string{"small", "full", "cloudrun"} {
		p := load(t, name+".yaml")
		objects := append(p.Objects(), p.DeployerRoles()...)
		if p.CloudRun != nil {
			var err error
			if objects, err = p.CloudRunServices(); err != nil {
				t.Fatal(err)
			}
		}
		var got bytes.Buffer
		if err := WriteYAML(&got, objects); err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name+".golden")
		if *rewrite {
			if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s is rendered differently (-want +got):\n%s", name, diff)
		}
	}
}

// knativeService is what Knative's API has of a service, as far as it is rendered.
type knativeService struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Template struct {
			metav1.ObjectMeta `json:"metadata"`
			Spec              struct {
				corev1.PodSpec       `json:",inline"`
				ContainerConcurrency *int64 `json:"containerConcurrency"`
				TimeoutSeconds       *int64 `json:"timeoutSeconds"`
			} `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
}

// TestShapes reads every object strictly into the types of its API.
func TestShapes(t *testing.T) {
	types := map[string]func() any{
		"ServiceAccount":      func() any { return &corev1.ServiceAccount{} },
		"ConfigMap":           func() any { return &corev1.ConfigMap{} },
		"Service":             func() any { return &corev1.Service{} },
		"StatefulSet":         func() any { return &appsv1.StatefulSet{} },
		"NetworkPolicy":       func() any { return &networkingv1.NetworkPolicy{} },
		"PodDisruptionBudget": func() any { return &policyv1.PodDisruptionBudget{} },
		"Role":                func() any { return &rbacv1.Role{} },
		"ClusterRole":         func() any { return &rbacv1.ClusterRole{} },
	}
	for _, name := range []string{"small.yaml", "full.yaml"} {
		p := load(t, name)
		for _, u := range append(p.Objects(), p.DeployerRoles()...) {
			into := any(&knativeService{})
			if !isNode(u) {
				into = types[u.GetKind()]()
			}
			text, err := yaml.Marshal(u.Object)
			if err != nil {
				t.Fatal(err)
			}
			if err := yaml.UnmarshalStrict(text, into); err != nil {
				t.Errorf("%s: %s: %v", name, title(u), err)
			}
		}
	}
}

// find returns the object of a kind and name.
func find(t *testing.T, objects []*unstructured.Unstructured, name string) *unstructured.Unstructured {
	t.Helper()
	for _, u := range objects {
		if title(u) == name {
			return u
		}
	}
	t.Fatalf("no %s is rendered", name)
	return nil
}

func TestProxyReadsItsFile(t *testing.T) {
	for _, name := range []string{"small.yaml", "full.yaml"} {
		p := load(t, name)
		text, _, _ := unstructured.NestedString(find(t, p.Objects(), "configmap "+p.ProxyName()).Object, "data", poolFile)
		again, err := Decode([]byte(text))
		if err != nil {
			t.Fatalf("%s: the proxy's pool file: %v", name, err)
		}
		if diff := cmp.Diff(p, again); diff != "" {
			t.Errorf("%s: the proxy reads another pool (-deployed +read):\n%s", name, diff)
		}
	}
}

// TestFingerprint sees that the proxy restarts for what it reads, and for nothing
// else.
func TestFingerprint(t *testing.T) {
	before := load(t, "small.yaml").fingerprint()
	for name, change := range map[string]func(*Pool){
		"nodes": func(p *Pool) { p.Nodes++ }, "memory": func(p *Pool) { p.Memory *= 2 }, "shape": func(p *Pool) { p.Shape = "1+1" },
		"keep": func(p *Pool) { p.Keep = Warm }, "window": func(p *Pool) { p.Window.Duration += time.Second },
		"gateway": func(p *Pool) { p.Gateway = "http://10.0.0.1" }, "links": func(p *Pool) { p.Links = Dial },
	} {
		p := load(t, "small.yaml")
		if change(p); p.fingerprint() == before {
			t.Errorf("another %s does not restart the proxy", name)
		}
	}
	for name, change := range map[string]func(*Pool){
		"image": func(p *Pool) { p.Image = "other" }, "cpu": func(p *Pool) { p.CPU = "2" },
		"spread": func(p *Pool) { p.Spread = None }, "labels": func(p *Pool) { p.Labels = map[string]string{"a": "b"} },
	} {
		p := load(t, "small.yaml")
		if change(p); p.fingerprint() != before {
			t.Errorf("another %s restarts the proxy", name)
		}
	}
}

func TestNoticeFitsTimeout(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{
		15 * time.Second: 10 * time.Second, 30 * time.Second: 25 * time.Second, time.Hour: 25 * time.Second,
	} {
		p := &Pool{Timeout: metav1.Duration{Duration: timeout}}
		if got := p.Notice(); got != want {
			t.Errorf("with a timeout of %v the notice is %v, want %v", timeout, got, want)
		}
	}
}

func TestFaults(t *testing.T) {
	_, err := Decode([]byte(`
platform: lambda
prefix: Cache
nodes: 5000
memory: 1MiB
namespace: a/b
image: ""
proxyImage: "two words"
links: both
keep: forever
retention: 5m
window: 2s
timeout: 2h
cpu: lots
spread: wide
unavailable: 9000
gateway: ftp://x
clusterDomain: a_b
storage: 1MiB
storageClass: A_B
proxyCPU: "0"
proxyMemory: 1MiB
proxyFlags: [shape, --admin=x]
clients: some
systemNamespaces: [A]
labels: {infinicache.dev/pool: mine}
cloudRun: {network: default, tokens: gcloud}
`))
	if err == nil {
		t.Fatal("a pool that is wrong in everything is accepted")
	}
	for _, field := range []string{
		"platform", "prefix", "nodes", "memory", "namespace", "image", "proxyImage", "links", "keep", "retention", "window",
		"timeout", "cpu", "spread", "unavailable", "gateway", "clusterDomain", "storage", "storageClass", "proxyCPU", "proxyMemory",
		"proxyFlags", "clients", "systemNamespaces", "labels", "cloudRun.tokens",
	} {
		if !strings.Contains("\n"+err.Error(), "\n"+field+": ") {
			t.Errorf("no complaint about %s in:\n%v", field, err)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 27 { // one each, two about proxyFlags
		t.Errorf("%d complaints, want 27:\n%v", n, err)
	}
}

// TestWrongTypes sees that what cannot be read is told in a pool file's own words, all of
// it at once.
func TestWrongTypes(t *testing.T) {
	_, err := Decode([]byte(`platform: knative
nodez: 3
nodes: many
memory: [1]
window: 60
timeout: soon
startAsleep: "yes"
proxyFlags: --shape=2+2
systemNamespaces: [a, {b: c}]
labels: {a: [b]}
cloudRun: {network: default, net: a}
`))
	want := `line 2: nodez: no such field
line 3: nodes: "many" given, a whole number allowed
line 4: memory: a list given, a number of bytes like 256MiB allowed
line 5: window: 60 given, a time like 90s allowed
line 6: timeout: "soon" given, a time like 90s allowed
line 7: startAsleep: "yes" given, true or false allowed
line 8: proxyFlags: "--shape=2+2" given, a list allowed
line 9: systemNamespaces[1]: a mapping given, a text allowed
line 10: labels.a: a list given, a text allowed
line 11: cloudRun.net: no such field`
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Errorf("complaints (-want +got):\n%s", diff)
	}
	_, err = Decode([]byte("nodes: 4\nmemory: 1GiB\nnodes: 5\n"))
	if want := "line 3: nodes: given twice, once allowed"; fmt.Sprint(err) != want {
		t.Errorf("a field given twice: %v, want %s", err, want)
	}
	if _, err := Decode([]byte("nodes: 5\nshape: 4+2\n")); err == nil || !strings.Contains(err.Error(), `nodes: "5" given, 6 or more with shape 4+2 allowed`) {
		t.Errorf("fewer nodes than chunks: %v", err)
	}
	for _, number := range []string{"cpu: 1", "namespace: 123456", "labels: {team: 42}"} {
		if _, err := Decode([]byte(number)); err == nil || strings.Contains(err.Error(), "line") {
			t.Errorf("%s: %v, want no more than that other fields are missing", number, err)
		}
	}
}

func TestQueueProxyPortsAreFree(t *testing.T) {
	for _, port := range append(append([]int{8022}, queueProxyHTTP...), queueProxyMetrics...) {
		if port == HTTPPort || port == LinkPort {
			t.Errorf("port %d of the node is the queue-proxy's", port)
		}
	}
}
